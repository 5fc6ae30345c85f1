"""What came of the decisions of the newest sessions, for the session's report: each session is read once."""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from datetime import date
from fractions import Fraction
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
    """A session in which decisions came out; none of the judged batch: no sums."""

    sums: OutcomeDay | None
    said: list[tuple[float, int]]


class _Bins:
    """How often the close rose, by the probability that it would; the sums are exact, so that days can be taken out."""

    def __init__(self) -> None:
        self._sums: dict[int, Fraction] = defaultdict(Fraction)
        self._counts: Counter[int] = Counter()
        self._rose: Counter[int] = Counter()

    def put_in(self, said: list[tuple[float, int]], sign: int = 1) -> None:
        for probability, rose in said:
            place = int(probability * BINS)
            self._sums[place] += sign * Fraction(probability)
            self._counts[place] += sign
            self._rose[place] += sign * rose

    def take_out(self, said: list[tuple[float, int]]) -> None:
        self.put_in(said, -1)

    def read(self) -> list[CalibrationBin]:
        return [
            CalibrationBin(place / BINS, count, float(self._sums[place]) / count, self._rose[place])
            for place, count in sorted(self._counts.items())
            if count
        ]


class Judged:
    """The newest sessions with outcomes, as the last question left them; used inside transactions of one store.

    `changed` names what has to be read again. It may name too much: a transaction that was rolled back does no harm.
    """

    def __init__(self) -> None:
        self._window: tuple[str, int] | None = None
        self._until = ""
        self._sessions: list[str] = []
        self._days: dict[str, _Day] = {}
        self._bins = _Bins()
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
            self._window, self._sessions, self._days, self._bins = (run, count), [], {}, _Bins()
            self._changed = {str(row[0]) for row in found}
        self._until = until
        for day in sorted(one for one in self._changed if one <= until):
            self._take(tx, run, day)
        self._changed = {one for one in self._changed if one > until}
        for day in self._sessions[:-count]:
            self._bins.take_out(self._days.pop(day).said)
        del self._sessions[:-count]
        sums = (self._days[day].sums for day in self._sessions)
        return [day for day in sums if day is not None], self._bins.read()

    def _take(self, tx: Transaction, run: str, day: str) -> None:
        if tx.driver.execute("SELECT 1 FROM outcomes WHERE run = ? AND session = ?", (run, day)).fetchone() is None:
            return
        if day in self._days:
            self._bins.take_out(self._days[day].said)
        else:
            insort(self._sessions, day)
        judged = (run, day, day, TRADING_BATCH, TRADING_BATCH)
        row = tx.driver.execute(DAYS, judged).fetchone()
        sums = None if row is None else OutcomeDay(date.fromisoformat(row[0]), *row[1:])
        said = tx.driver.execute(_SAID, judged).fetchall()
        self._bins.put_in(said)
        self._days[day] = _Day(sums, said)
