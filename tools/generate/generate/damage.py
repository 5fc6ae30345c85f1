"""Bars damaged on purpose, one kind of damage at a time, as sources damage them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import msgspec

from bellwether.market.sessions import load_calendar
from bellwether.messages.market_data import Bar
from bellwether.quality.evidence import Evidence

CALENDAR = load_calendar("XNYS")
replaced = msgspec.structs.replace


def evidence(bars: Sequence[Bar], *, last: date | None = None, **more: object) -> Evidence:
    """Return the evidence of these bars the morning after their newest, or after `last`."""
    newest = last or bars[-1].session
    after = CALENDAR.next_session(CALENDAR.session_on(newest).close)  # type: ignore[union-attr]
    sessions = [session.day for session in CALENDAR.sessions(bars[0].session, newest)]
    values: dict[str, object] = {
        "symbol": "AAA",
        "as_of": after.open - timedelta(minutes=30),
        "bars": list(bars),
        "sessions": sessions,
        "expected": newest,
        "closed": newest,
    }
    return Evidence(**(values | more))  # type: ignore[arg-type]


def scaled(bar: Bar, factor: float, shares: float = 1.0) -> Bar:
    """Return a bar with all prices times a factor, and the volume times another."""
    return Bar(
        bar.session, bar.open * factor, bar.high * factor, bar.low * factor, bar.close * factor, bar.volume * shares
    )


def _untold_split(bars: list[Bar], rng: random.Random) -> list[Bar]:
    at, ratio = rng.randrange(-60, -1), rng.choice((2.0, 3.0, 4.0, 5.0, 7.0, 10.0))
    return [*bars[:at], *(scaled(bar, 1.0 / ratio, ratio) for bar in bars[at:])]


def _hundredfold(bars: list[Bar], rng: random.Random) -> list[Bar]:
    at = rng.randrange(-60, 0)
    return [scaled(bar, 100.0) if index == len(bars) + at else bar for index, bar in enumerate(bars)]


def _wrong_price(bars: list[Bar], rng: random.Random) -> list[Bar]:
    at, factor = rng.randrange(-60, -1), rng.choice((0.44, 0.6, 1.7, 2.3))
    return [scaled(bar, factor) if index == len(bars) + at else bar for index, bar in enumerate(bars)]


def _gap(bars: list[Bar], rng: random.Random) -> list[Bar]:
    at = rng.randrange(-19, -4)
    return bars[:at] + bars[at + 3 :]


def _stale(bars: list[Bar], rng: random.Random) -> list[Bar]:
    return bars[: -rng.randrange(2, 6)]


def _order(bars: list[Bar], rng: random.Random) -> list[Bar]:
    places = set(rng.sample(range(len(bars) - 60, len(bars)), 2))
    return [
        replaced(bar, high=bar.low, low=bar.high + 0.05) if index in places else bar for index, bar in enumerate(bars)
    ]


def _repeated(bars: list[Bar], rng: random.Random) -> list[Bar]:
    at = rng.randrange(len(bars) - 59, len(bars) - 2)
    return [replaced(bars[at], session=bar.session) if at < index <= at + 2 else bar for index, bar in enumerate(bars)]


def _no_volume(bars: list[Bar], rng: random.Random) -> list[Bar]:
    places = set(rng.sample(range(len(bars) - 20, len(bars)), 6))
    return [replaced(bar, volume=0.0) if index in places else bar for index, bar in enumerate(bars)]


def _not_a_number(bars: list[Bar], rng: random.Random) -> list[Bar]:
    at = rng.randrange(len(bars))
    return [replaced(bar, close=float("nan")) if index == at else bar for index, bar in enumerate(bars)]


def _frozen(bars: list[Bar], rng: random.Random) -> list[Bar]:
    days = rng.randrange(12, 20)
    kept = bars[-days].close
    return [
        replaced(bar, open=kept, high=kept, low=kept, close=kept) if index >= len(bars) - days else bar
        for index, bar in enumerate(bars)
    ]


def _thousands(bars: list[Bar], rng: random.Random) -> list[Bar]:
    return [
        replaced(bar, volume=bar.volume / 1000.0) if index >= len(bars) - 5 else bar for index, bar in enumerate(bars)
    ]


def _future(bars: list[Bar], rng: random.Random) -> list[Bar]:
    day = CALENDAR.after(bars[-1].session, 1).day
    return [*bars, replaced(bars[-1], session=day, volume=bars[-1].volume + 1.0)]


DAMAGE: dict[str, tuple[str, Callable[[list[Bar], random.Random], list[Bar]]]] = {
    "a split that the source does not tell": ("untold_split", _untold_split),
    "one row in hundredths (pence for pounds)": ("hundredfold_step", _hundredfold),
    "one row with a wrong price (times 0.44 to 2.3)": ("large_step", _wrong_price),
    "three sessions missing among the newest 20": ("missing_sessions", _gap),
    "the newest 2 to 5 bars missing": ("stale", _stale),
    "high and low exchanged in two rows": ("price_order", _order),
    "a row repeated twice": ("repeated_rows", _repeated),
    "6 of the newest 20 sessions without volume": ("no_volume", _no_volume),
    "a close that is no number": ("not_finite", _not_a_number),
    "the price frozen for 12 sessions or more": ("flat_prices", _frozen),
    "volume in thousands for five sessions": ("volume_step", _thousands),
    "a bar of a session that is not over": ("clock_skew", _future),
}
"""Per kind of damage: the rule that should name it, and what does it."""
