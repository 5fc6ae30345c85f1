"""Which of a statement's actions are news, and which known ones are no longer stated (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from bellwether.market.sessions import Calendar
from bellwether.market_data.actions import Action, Doubt
from bellwether.market_data.known import Kept, Known
from bellwether.market_data.restated import Restatement
from bellwether.market_data.rows import SourceRow

NEAR_DAYS = 8
"""An action is the same under another date at most so many days away: the date that was reported first stays."""
SAME_RATIO = 0.005
SAME_AMOUNT = 0.2
SMALLEST_SPLIT = 1.045
"""Earlier rows that are restated by less than this ratio were adjusted for a dividend."""
CONCLUSIVE = 1.3
"""From this ratio on the next session's price tells whether a restatement was a split."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What the merge looks at: how the rows differ from the stored ones, the rows, the stored bars, the sessions."""

    change: Restatement
    rows: Sequence[SourceRow]
    stored: Mapping[date, Kept]
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class Merged:
    """Actions that were not known, and known ones that are not stated any more."""

    added: tuple[Known, ...]
    dropped: tuple[Action, ...]


def merge(known: Sequence[Known], read: Sequence[Known], statement: Statement) -> Merged | Doubt:
    """Return what a statement changes of the known actions; a restatement of all history is an action, too.

    Dividends that were read are in the statement's units; they are put into those of their day.
    """
    read = [_in_units(one, statement) for one in read]
    steps = _restated(statement)
    if isinstance(steps, Doubt):
        return steps
    explaining = [one for one in known if any(_same(one.action, step) for step in steps)]
    fresh = [
        Known(step, "restated") for step in steps if not any(_same(one.action, step) for one in [*explaining, *read])
    ]
    matched = [one for one in known if any(_same(one.action, new.action) for new in read)]
    added = [new for new in read if not any(_same(one.action, new.action) for one in known)] + fresh
    gone = [
        one.action for one in known if one not in matched and one not in explaining and _would_be_stated(one, statement)
    ]
    # The same action with another value: the old one goes.
    for new in added:
        gone += [
            one.action
            for one in known
            if (one.action.session, one.action.kind) == (new.action.session, new.action.kind) and one.action not in gone
        ]
    return Merged(tuple(added), tuple(gone))


def _would_be_stated(one: Known, statement: Statement) -> bool:
    """Whether a statement that does not show a known action says by that, that there was none."""
    day, rows = one.action.session, statement.rows
    if one.origin == "restated":
        # Still to come when it was reported, and the source has taken it back: its rows are as before.
        last = statement.change.last
        return last is not None and last < day and statement.change.pieces[-1].ratio == 1.0
    if not rows[0].session < day <= rows[-1].session:
        return False
    stating = any(row.split is not None or row.dividend is not None for row in rows)
    return stating or all(row.adjusted_close is not None for row in rows if abs((row.session - day).days) <= NEAR_DAYS)


def _restated(statement: Statement) -> list[Action] | Doubt:
    """Return the actions that the statement's pieces mean, oldest first."""
    rows, stored = statement.rows, statement.stored
    found: list[Action] = []
    for older, newer in pairwise(statement.change.pieces):
        action = _action(newer.first, older.ratio / newer.ratio, _close_before(stored, newer.first))
        if action is not None:
            found.append(action)
    ratio, last = statement.change.pieces[-1].ratio, statement.change.last
    if ratio == 1.0 or last is None:
        return found
    stated = next(row.close for row in rows if row.session == last)
    following = next((row for row in rows if row.session > last), None)
    if following is not None and abs(math.log(ratio)) >= math.log(CONCLUSIVE):
        after, before = math.log(following.close / stated), math.log(following.close / stored[last].bar.close)
        if abs(after) > abs(before):
            return Doubt(
                following.session,
                "RESTATED",
                f"earlier rows are now stated at 1:{ratio:g} ({stored[last].bar.close:g} of {last} as {stated:g}), "
                f"but the price of {following.session} is {following.close:g}",
            )
    action = _action(statement.calendar.after(last, 1).day, ratio, stored[last].bar.close)
    return found if action is None else [*found, action]


def _action(session: date, ratio: float, close: float) -> Action | None:
    if 1.0 < ratio < SMALLEST_SPLIT:
        return Action(session, "dividend", amount=round(close * (1.0 - 1.0 / ratio), 4))
    if 1.0 / SMALLEST_SPLIT < ratio <= 1.0:
        return None
    return Action(session, "split", ratio=round(ratio, 6))


def _close_before(stored: Mapping[date, Kept], day: date) -> float:
    return next(kept.bar.close for session, kept in sorted(stored.items(), reverse=True) if session < day)


def _in_units(one: Known, statement: Statement) -> Known:
    if one.action.kind == "split":
        return one
    ratio = statement.change.on(one.action.session)
    return one if ratio == 1.0 else replace(one, action=replace(one.action, amount=one.action.amount * ratio))


def _same(one: Action, other: Action) -> bool:
    if one.kind != other.kind or abs((one.session - other.session).days) > NEAR_DAYS:
        return False
    if one.kind == "split":
        return abs(one.ratio / other.ratio - 1.0) <= SAME_RATIO
    return abs(one.amount - other.amount) <= SAME_AMOUNT * max(one.amount, other.amount)
