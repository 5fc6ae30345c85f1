"""What a source's new statement changes of what is stored: a pure function, before anything is written.

Stored rows are as traded: later splits are undone, by the ratios that the source states or that are inferred. A row
that says what is stored makes no new version. A statement that cannot be understood holds the symbol back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType

from bellwether.market.sessions import Calendar
from bellwether.market_data import merging, restated, sifting
from bellwether.market_data.actions import Action, Doubt, half_unit, infer_actions
from bellwether.market_data.known import Hold, Intake, Kept, Known, Origin, Rules, Stored
from bellwether.market_data.rows import Loaded, OddRow, SourceRow
from bellwether.messages.market_data import Bar

PLACES = 4
OLD = 250
"""A doubt with so many later rows is history: the bars begin after it. A newer one holds the symbol back."""
FEW = 5
"""As history counts a doubt with so few rows before it, too."""
MOST_WITHDRAWN = 0.1
"""Rows that the source no longer has are withdrawn, unless it lost more than this share at once."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a statement means by itself, without what is stored.

    Attributes:
        rows: those that can be used, as traded.
        actions: that are stated or inferred, those before the usable history left out.
        begin: the first session of the usable history.
        hold: why the symbol is to be held back, and from when on.
        odd: rows that were left out.
        notes: what else people should know.
    """

    rows: tuple[sifting.Traded, ...] = ()
    actions: tuple[Action, ...] = ()
    begin: date = date.min
    hold: Hold | None = None
    odd: tuple[OddRow, ...] = ()
    notes: tuple[str, ...] = ()


def read_statement(
    loaded: Loaded, calendar: Calendar | None, stored: Mapping[date, Kept] = MappingProxyType({})
) -> Reading:
    """Return what a statement means; without a calendar its days are not judged.

    A statement of the newest rows alone goes on from the stored bars before them.
    """
    days = [row.session for row in loaded.rows]
    why = None if calendar is None or not days else sifting.calendar_problem(days, calendar)
    if why is not None:
        return Reading(hold=Hold(days[0], "CALENDAR", f"{loaded.source}: {why}"), odd=loaded.odd)
    sifted, odd = sifting.without_odd_scale(loaded.rows)
    if loaded.states_actions:
        traded, actions = sifting.as_traded(sifted, adjusted=loaded.split_adjusted)
        doubts: list[Doubt] = []
    else:
        read = infer_actions(sifted)
        traded, actions, doubts = [sifting.Traded(row, 1.0) for row in sifted], list(read.actions), list(read.doubts)
    has_actions = loaded.states_actions or loaded.split_adjusted
    doubts += sifting.jumps([one.row for one in traded], actions, splits_stated=has_actions)
    earlier = [kept.bar for day, kept in stored.items() if day < days[0]] if days else []
    if earlier and traded and not any(row.session in stored for row in sifted):
        # Without a session in common, nothing else compares the two.
        doubts += sifting.jumps([_as_row(earlier[-1]), traded[0].row], actions, splits_stated=has_actions)
    begin, hold = _judged(days, doubts, loaded.source, len(earlier))
    return Reading(
        rows=tuple(
            one for one in traded if one.row.session >= begin and (hold is None or one.row.session < hold.since)
        ),
        actions=tuple(action for action in actions if action.session >= begin),
        begin=begin,
        hold=hold,
        odd=(*loaded.odd, *odd),
        notes=tuple(f"history begins with {begin}: {doubt.message}" for doubt in doubts if doubt.session == begin),
    )


def take_in(stored: Stored, loaded: Loaded, rules: Rules, now: datetime) -> Intake:
    """Return what a statement changes, and whether the symbol is held back."""
    reading = read_statement(loaded, rules.calendar, stored.bars)
    if not reading.rows:
        hold = reading.hold or stored.hold
        if hold is not None and stored.hold is not None:
            hold = replace(hold, since=min(hold.since, stored.hold.since))
        if hold is not None and hold.code == "CALENDAR":
            hold = replace(hold, since=min([hold.since, *stored.bars]))
        return Intake(hold=hold, odd=reading.odd, notes=reading.notes)
    rows = [one.row for one in reading.rows]
    change = restated.compare({day: kept.bar.close for day, kept in stored.bars.items()}, rows)
    if isinstance(change, Doubt):
        return Intake(hold=_held_now(stored, change, loaded.source, rules, now), odd=reading.odd)
    origin: Origin = "stated" if loaded.states_actions else "inferred"
    read = [Known(action, origin) for action in reading.actions]
    merged = merging.merge(stored.actions, read, merging.Statement(change, rows, stored.bars, rules.calendar))
    if isinstance(merged, Doubt):
        return Intake(hold=_held_now(stored, merged, loaded.source, rules, now), odd=reading.odd)
    bars = _changed(stored, [one.times(change.on(one.row.session)) for one in reading.rows], loaded, rules)
    gone, notes = _gone(stored, reading, loaded)
    return Intake(bars, gone, merged.added, merged.dropped, reading.hold, reading.odd, (*reading.notes, *notes))


def _gone(stored: Stored, reading: Reading, loaded: Loaded) -> tuple[tuple[date, ...], tuple[str, ...]]:
    """Return the stored sessions that the source has no more, and what is to be said of them."""
    before = [day for day in stored.bars if day < reading.begin]
    there = {row.session for row in loaded.rows} | {one.session for one in reading.odd}
    first, last = reading.rows[0].row.session, reading.rows[-1].row.session
    missing = [day for day in stored.bars if first < day < last and day not in there and day >= reading.begin]
    if len(missing) <= max(FEW, MOST_WITHDRAWN * len(stored.bars)):
        return (*before, *missing), ()
    return tuple(before), (f"{len(missing)} stored sessions are missing in {loaded.source}: they are kept",)


def _judged(days: Sequence[date], doubts: Sequence[Doubt], source: str, stored_before: int) -> tuple[date, Hold | None]:
    """Return the session that the usable history begins with, and the hold that newer doubts mean."""
    begin, hold = date.min, None
    for doubt in sorted(doubts, key=lambda one: one.session):
        later = sum(day >= doubt.session for day in days)
        if later >= OLD or stored_before + len(days) - later <= FEW < later:
            begin = doubt.session
        elif hold is None:
            hold = Hold(doubt.session, doubt.code, f"{source}: {doubt.message}")
    return begin, hold


def _held_now(stored: Stored, doubt: Doubt, source: str, rules: Rules, now: datetime) -> Hold:
    """Return the hold for a statement as a whole: from today, or the session after the newest stored bar."""
    today = rules.calendar.local_day(now)
    since = min([today, *(day + timedelta(days=1) for day in list(stored.bars)[-1:])])
    if stored.hold is not None:
        since = min(since, stored.hold.since)
    return Hold(since, doubt.code, f"{source}: {doubt.message}")


def _changed(stored: Stored, traded: Sequence[sifting.Traded], loaded: Loaded, rules: Rules) -> tuple[Bar, ...]:
    unit = half_unit((row.close for row in loaded.rows), PLACES)
    found = []
    for one in traded:
        kept = stored.bars.get(one.row.session)
        bar = one.row.bar
        if kept is None:
            found.append(bar)
            continue
        final = rules.final(bar.session, loaded.recorded_at)
        was_final = rules.final(bar.session, kept.recorded_at)
        if was_final and not final:
            continue
        if _says_the_same(kept.bar, bar, unit * one.scale if one.scale != 1.0 else 0.0):
            if final and not was_final:
                found.append(_confirmed(kept.bar, bar))
        else:
            found.append(bar)
    return tuple(found)


def _as_row(bar: Bar) -> SourceRow:
    return SourceRow(bar.session, bar.open, bar.high, bar.low, bar.close, bar.volume)


def _confirmed(kept: Bar, stated: Bar) -> Bar:
    return Bar(kept.session, kept.open, kept.high, kept.low, kept.close, stated.volume)


def _says_the_same(kept: Bar, stated: Bar, rounding: float) -> bool:
    """Whether two bars are equal; in restated units within rounding, and whatever the volume."""
    pairs = [(kept.open, stated.open), (kept.high, stated.high), (kept.low, stated.low), (kept.close, stated.close)]
    allowed = 2.0 * rounding
    same = all(abs(old - new) <= allowed + 1.0e-6 * old for old, new in pairs)
    return same and (rounding > 0.0 or abs(kept.volume - stated.volume) <= 1.0e-6 * kept.volume)
