"""What came of the decisions of the newest sessions, for the session's report."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from math import fsum

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


def judged(tx: Transaction, run: str, session: date, count: int) -> tuple[list[OutcomeDay], list[CalibrationBin]]:
    """Return the sums of the newest `count` sessions with outcomes until one, oldest first, and their bins."""
    newest = [str(row[0]) for row in tx.driver.execute(_NEWEST, (run, session.isoformat(), count))]
    if not newest:
        return [], []
    within = (run, newest[-1], newest[0], TRADING_BATCH, TRADING_BATCH)
    days = [OutcomeDay(date.fromisoformat(row[0]), *row[1:]) for row in tx.driver.execute(DAYS, within)]
    bins: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for probability, rose in tx.driver.execute(_SAID, within):
        bins[int(probability * BINS)].append((probability, rose))
    return days, [
        CalibrationBin(place / BINS, len(said), fsum(one for one, _ in said) / len(said), sum(rose for _, rose in said))
        for place, said in sorted(bins.items())
    ]
