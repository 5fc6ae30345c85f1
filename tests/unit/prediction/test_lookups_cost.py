"""What a session's lookups cost, in steps of SQLite's machine: no more after years than after months."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from sqlalchemy import create_engine, insert
from sqlalchemy.pool import StaticPool

from bellwether.messages.reporting import GetSessionDecisions
from bellwether.prediction import store, tables
from bellwether.prediction.judged import TRADING_BATCH
from bellwether.prediction.lookups import Lookups
from bellwether.prediction.session import session_decisions
from bellwether.storage.store import Transaction

RUN = "run"
BEGIN = date(2009, 1, 1)
SYMBOLS = ("AAPL", "IBM", "MSFT")


@contextmanager
def history(sessions: int) -> Iterator[Transaction]:
    """Decisions of so many days in an empty database, all of them settled but the last day's."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        for number in range(sessions):
            day = (BEGIN + timedelta(days=number)).isoformat()
            for symbol in SYMBOLS:
                found = {"run": RUN, "id": f"{TRADING_BATCH}-{day}-{symbol}"}
                decided: dict[str, Any] = {
                    "symbol": symbol,
                    "as_of": day,
                    "action": "BUY",
                    "target_session": day,
                    "outcome_session": day if number == sessions - 1 else None,
                    "prediction": msgspec.json.encode(store.Judged("", symbol, 0.5, 0.5, None, 5)),
                    "canonical": b"{}",
                    "sha256": "",
                }
                connection.execute(insert(tables.decisions), [found | decided])
                came = {"session": day, "rose": 1, "probability": 0.5, "base_rate": 0.5}
                connection.execute(insert(tables.outcomes), [found | came])
        yield Transaction(connection)
    engine.dispose()


def steps(tx: Transaction, work: Callable[[], object]) -> int:
    """Return how many steps of SQLite's virtual machine some work takes."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    tx.driver.set_progress_handler(count, 1)
    try:
        work()
    finally:
        tx.driver.set_progress_handler(None, 1)
    return counted


def test_a_session_of_a_long_run_costs_what_one_of_a_short_run_does() -> None:
    costs = []
    for sessions in (100, 1000):
        last = BEGIN + timedelta(days=sessions - 1)
        with history(sessions) as tx:
            asked = GetSessionDecisions(last, [], 20)
            reported = session_decisions(tx, RUN, asked)
            due = store.due(tx, RUN, last)
            assert (len(reported.settled), len(reported.days), len(due)) == (3, 20, 3)
            costs.append(
                (steps(tx, partial(session_decisions, tx, RUN, asked)), steps(tx, partial(store.due, tx, RUN, last)))
            )
    (report_before, due_before), (report_after, due_after) = costs
    assert report_before > 100
    assert due_before > 10
    assert (report_after, due_after) == (report_before, due_before)


async def test_a_replay_is_asked_about_its_sessions_in_any_order() -> None:
    with history(30) as tx:

        async def transact(work: Callable[[Transaction], Any]) -> Any:
            return work(tx)

        lookups = Lookups(cast("Any", SimpleNamespace(transact=transact)), cast("Any", None))
        call = cast("Any", SimpleNamespace(run=RUN))
        judged = []
        for number in (4, 9, 2):
            asked = GetSessionDecisions(BEGIN + timedelta(days=number), [])
            judged.append(len((await lookups.get_session_decisions(asked, call)).days))
        assert judged == [5, 10, 3]
        asked = GetSessionDecisions(BEGIN + timedelta(days=4), [], 0)
        assert (await lookups.get_session_decisions(asked, call)).days == []
