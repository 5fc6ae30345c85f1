"""What is stored of a symbol, and what a statement changes of it: the values that intake and store exchange (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from bellwether.market.sessions import Calendar, OutsideCalendar
from bellwether.market_data.actions import Action
from bellwether.market_data.rows import OddRow
from bellwether.messages.market_data import Bar

Origin = Literal["stated", "inferred", "restated"]
"""How an action is known: the source states it, its adjusted closes step, or it restated its history."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored bar as traded, and when its source stated it."""

    bar: Bar
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """An action, and how it is known."""

    action: Action
    origin: Origin


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a symbol is held back, and from which session on."""

    since: date
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a symbol: its newest bars by session, in order, its actions, and why it is held back."""

    bars: Mapping[date, Kept] = field(default_factory=dict)
    actions: Sequence[Known] = ()
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """What is to be written, and what is reported.

    Attributes:
        bars: new versions as traded.
        withdrawn: sessions of which there is no bar any more.
        added: actions that were not known.
        dropped: actions that are not stated any more.
        hold: why the symbol is held back; None frees it.
        odd: rows that were left out.
        notes: what else people should know.
    """

    bars: tuple[Bar, ...] = ()
    withdrawn: tuple[date, ...] = ()
    added: tuple[Known, ...] = ()
    dropped: tuple[Action, ...] = ()
    hold: Hold | None = None
    odd: tuple[OddRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The exchange's sessions, and how long after a close a source's row is not final yet."""

    calendar: Calendar
    delay: timedelta

    def final(self, session: date, recorded_at: datetime) -> bool:
        """Whether a row that was recorded at an instant is its session's final bar."""
        try:
            found = self.calendar.session_on(session)
        except OutsideCalendar:
            return True
        return found is None or recorded_at >= found.close.astimezone(UTC) + self.delay

    def opened(self, session: date, recorded_at: datetime) -> bool:
        """Whether a row was recorded after its session's open."""
        found = self.calendar.session_on(session)
        return found is not None and recorded_at > found.open
