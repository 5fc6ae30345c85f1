"""What came of the decisions of the newest sessions, for the session's report: each session is read once."""

from __future__ import annotations

import math
from bisect import insort
from datetime import date
from typing import NamedTuple

from bellwether.messages.prediction import BUY_ACTIONS, SELL_ACTIONS
from bellwether.messages.reporting import CalibrationBin, OutcomeDay
from bellwether.storage.store import Transaction

TRADING_BATCH = "prediction_generation"
"""The task whose decisions are judged: others repeat them for looking at."""
BINS = 20

_BUYS = ", ".join(f"'{action}'" for action in BUY_ACTIONS)
_SELLS = ", ".join(f"'{action}'" for action in SELL_ACTIONS)
# By itself SQLite looks outcomes up by id, which reads all of a run; they are wanted by session.
OUTCOMES = "outcomes o INDEXED BY outcomes_of_session"
JUDGED = (
    f"FROM {OUTCOMES} JOIN decisions d ON d.run = o.run AND d.id = o.id "
    "WHERE o.run = ? AND o.session >= ? AND o.session <= ? AND o.id >= ? || '-' AND o.id < ? || '.' "
)
DAYS = (
    "SELECT o.session, count(*), sum(o.rose), "
    f"sum(d.action IN ({_BUYS})), sum(d.action IN ({_BUYS}) AND o.rose), "
    f"sum(d.action IN ({_SELLS})), sum(d.action IN ({_SELLS}) AND o.rose), "
    "sum((o.probability - o.rose) * (o.probability - o.rose)), "
    f"sum((o.base_rate - o.rose) * (o.base_rate - o.rose)) {JUDGED} GROUP BY o.session ORDER BY o.session"
)
_SAID = f"SELECT o.probability, o.rose {JUDGED} ORDER BY +o.id"
_NEWEST = "SELECT DISTINCT session FROM outcomes WHERE run = ? AND session <= ? ORDER BY session DESC LIMIT ?"


class _Day(NamedTuple):
    """A session that settled decisions; none of the judged batch: no sums."""

    sums: OutcomeDay | None
    said: list[tuple[float, int]]


class Judged:
    """The newest sessions with outcomes, as the last question left them; used inside transactions of one store.

    `changed` names what has to be read again. It may name too much: a transaction that was rolled back does no harm.
    """

    def __init__(self) -> None:
        self._window: tuple[str, int] | None = None
        self._until = ""
        self._sessions: list[str] = []
        self._days: dict[str, _Day] = {}
        self._changed: set[str] = set()

    def changed(self, session: date) -> None:
        """Have the outcomes of a session read again."""
        self._changed.add(session.isoformat())

    def forget(self) -> None:
        """Read everything again."""
        self._window = None

    def read(
        self, tx: Transaction, run: str, session: date, count: int
    ) -> tuple[list[OutcomeDay], list[CalibrationBin]]:
        """Return the sums of the newest `count` sessions with outcomes until one, oldest first, and their bins."""
        until = session.isoformat()
        if self._window != (run, count) or until < self._until:
            found = tx.driver.execute(_NEWEST, (run, until, count)).fetchall()
            self._window, self._sessions, self._days = (run, count), [], {}
            self._changed = {str(row[0]) for row in found}
        self._until = until
        for day in sorted(one for one in self._changed if one <= until):
            self._take(tx, run, day)
        self._changed = {one for one in self._changed if one > until}
        for day in self._sessions[:-count]:
            del self._days[day]
        del self._sessions[:-count]
        kept = [self._days[day] for day in self._sessions]
        return [day.sums for day in kept if day.sums is not None], _bins(kept)

    def _take(self, tx: Transaction, run: str, day: str) -> None:
        if tx.driver.execute("SELECT 1 FROM outcomes WHERE run = ? AND session = ?", (run, day)).fetchone() is None:
            return
        if day not in self._days:
            insort(self._sessions, day)
        judged = (run, day, day, TRADING_BATCH, TRADING_BATCH)
        row = tx.driver.execute(DAYS, judged).fetchone()
        sums = None if row is None else OutcomeDay(date.fromisoformat(row[0]), *row[1:])
        self._days[day] = _Day(sums, tx.driver.execute(_SAID, judged).fetchall())


def _bins(days: list[_Day]) -> list[CalibrationBin]:
    probabilities: dict[int, list[float]] = {}
    rose: dict[int, int] = {}
    for day in days:
        for probability, up in day.said:
            place = int(probability * BINS)
            probabilities.setdefault(place, []).append(probability)
            rose[place] = rose.get(place, 0) + up
    return [
        CalibrationBin(place / BINS, len(said), math.fsum(said) / len(said), rose[place])
        for place, said in sorted(probabilities.items())
    ]
