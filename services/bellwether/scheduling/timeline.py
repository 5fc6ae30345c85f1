"""The order of a replay: every open, close and due slot of its sessions, one step each. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal

import msgspec

from bellwether.market.sessions import Calendar
from bellwether.market.slots import TaskRule, slot_of

Kind = Literal["close", "open", "slot"]

_RANK: dict[Kind, int] = {"close": 0, "open": 1, "slot": 2}
"""At the same instant a session closes before another opens, and work sees what both have done."""

Key = tuple[datetime, int, int, str]


class Step(msgspec.Struct, frozen=True):
    """One step of a replay.

    Attributes:
        at: domain time, UTC.
        kind: a session's open or close, or a slot.
        session: the session's day.
        position: of the task among the declared ones; 0 for open and close.
        task: the slot's task, empty for open and close.
    """

    at: datetime
    kind: Kind
    session: date
    position: int = 0
    task: str = ""

    @property
    def key(self) -> Key:
        """What orders steps; tasks of the same instant come in the declared order."""
        return (self.at, _RANK[self.kind], self.position, _digits(self.session))

    @property
    def name(self) -> str:
        """`<what>-<YYYYMMDD>`: a slot's own name, or session_open and session_close."""
        what = self.task if self.kind == "slot" else f"session_{self.kind}"
        return f"{what}-{_digits(self.session)}"


@lru_cache(maxsize=64)
def _digits(day: date) -> str:
    return day.isoformat().replace("-", "")


class Timeline:
    """All steps in order, as numbers: 12 bytes each, where an object with its instant takes 150.

    Attributes:
        sessions: the days, oldest first.
    """

    def __init__(
        self, keys: Sequence[tuple[datetime, int, int, int]], days: Sequence[date], tasks: Sequence[str]
    ) -> None:
        """Take in the steps' instants, ranks, positions and numbers of their sessions, in order."""
        self.sessions = tuple(days)
        self._whats: list[tuple[Kind, int, str]] = [("close", 0, ""), ("open", 0, "")]
        self._whats += [("slot", position, task) for position, task in enumerate(tasks)]
        self._at = array("d", [at.timestamp() for at, *_ in keys])
        self._codes = array("I", [len(self._whats) * session + rank + position for _, rank, position, session in keys])
        self._closes = array("I", [index for index, (_, rank, *_) in enumerate(keys) if rank == _RANK["close"]])

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, index: int) -> Step:
        session, what = divmod(self._codes[index], len(self._whats))
        kind, position, task = self._whats[what]
        return Step(datetime.fromtimestamp(self._at[index], UTC), kind, self.sessions[session], position, task)

    def after(self, cursor: Key | None) -> int:
        """Return the index of the first step behind a cursor; the cursor's own step need not exist any more."""
        return 0 if cursor is None else bisect_right(self, cursor, key=lambda step: step.key)

    def sessions_closed(self, index: int) -> int:
        """Return how many sessions have closed when the first `index` steps are done."""
        return bisect_left(self._closes, index)


def timeline(tasks: Sequence[TaskRule], calendar: Calendar, first: date, last: date) -> Timeline:
    """Return the steps of all sessions from one day to another, both included.

    A slot belongs to its session, also where it is due on another day.

    Raises:
        ValueError: when two tasks have the same name.
        OutsideCalendar: when the days are not inside the calendar's table.
    """
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise ValueError("two tasks have the same name: a slot's name must say which one it is")
    sessions = calendar.sessions(first, last)
    keys: list[tuple[datetime, int, int, int]] = []
    for number, session in enumerate(sessions):
        keys.append((session.close, _RANK["close"], 0, number))
        keys.append((session.open, _RANK["open"], 0, number))
        for position, task in enumerate(tasks):
            keys.append((slot_of(task, session, calendar.timezone).due, _RANK["slot"], position, number))
    return Timeline(sorted(keys), [session.day for session in sessions], names)


def cursor_text(key: Key) -> str:
    """Return a cursor as the text that is stored."""
    at, rank, position, day = key
    return f"{at.astimezone(UTC).isoformat()} {rank} {position} {day}"


def parse_cursor(text: str) -> Key:
    """Return the cursor that a stored text says.

    Raises:
        ValueError: when it is not one.
    """
    parts = text.split(" ")
    if len(parts) != 4:
        raise ValueError(f"{text!r} is not a cursor of a replay")
    return datetime.fromisoformat(parts[0]), int(parts[1]), int(parts[2]), parts[3]
