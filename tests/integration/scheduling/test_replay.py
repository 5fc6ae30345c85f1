from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bellwether.messages.reporting import Reports, StoredReport
from bellwether.messages.scheduling import Job, ReplayState, SlotJobs
from bellwether.messages.trading import Account, LedgerCheck, Orders
from bellwether.runtime.errors import RpcError
from bellwether.scheduling import service as scheduling
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store
from bellwether.trading import service as trading
from harness.system import System, running
from integration.trading.peers import LAST, ROWS, Peers, declaration

pytestmark = pytest.mark.integration

BUILDS = {"paper-trading": trading.create, "scheduler": scheduling.create}


async def replayed(system: System, until: Callable[[ReplayState], bool] | None = None) -> ReplayState:
    """Wait until the replay is complete (or as wanted), for at most 60 seconds."""
    async with asyncio.timeout(60):
        while True:
            state: ReplayState = await system.call("scheduler", "get_replay", {}, ReplayState)
            if until(state) if until is not None else state.state in ("complete", "failed"):
                return state
            await asyncio.sleep(0.02)


def ledger_of(folder: Path) -> list[tuple[Any, ...]]:
    """Return the ledger's events as they are stored, without the run."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        rows = connection.execute("SELECT seq, key, at, data FROM ledger_events ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


async def whole(folder: Path, system: TradingSystem, **options: Any) -> list[tuple[Any, ...]]:
    """Run a replay to its end and return its ledger."""
    builds = {**Peers().builds(), **BUILDS}
    async with running(builds, data_dir=folder, declaration=system, rows=ROWS, sampling=0.0, **options) as running_one:
        state = await replayed(running_one)
        assert state.state == "complete", state.error
        assert state.sessions_done == state.sessions_total
    return ledger_of(folder)


async def test_a_replay_fills_orders_and_its_ledger_holds(tmp_path: Path) -> None:
    peers = Peers()
    builds = {**peers.builds(), **BUILDS}
    async with running(builds, data_dir=tmp_path, declaration=declaration(), rows=ROWS) as system:
        state = await replayed(system)
        assert state.state == "complete"
        assert state.sessions_total == 20
        check = await system.call("paper-trading", "check_ledger", None, LedgerCheck)
        assert check.violations == []
        assert check.fills > 5
        assert check.duplicate_orders == 0
        filled = await system.call("paper-trading", "list_orders", {"status": "filled", "limit": 500}, Orders)
        assert {order.reason for order in filled.orders} >= {"signal"}
        assert all(order.fill_price and order.commission for order in filled.orders)
        job = await system.call("scheduler", "execute_job", {"job_id": "prediction_generation-20090105"}, Job)
        assert job.status == "completed"


async def test_group_commit_gives_the_same_ledger(tmp_path: Path) -> None:
    one = await whole(tmp_path / "each", declaration())
    assert one == await whole(tmp_path / "grouped", declaration(), group_commit=True)
    assert len(one) > 50


class Snapshots:
    """Copies both databases after every transaction that changed something: the states a kill can leave behind."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source = source
        self.target = target
        self.seen: dict[tuple[Any, ...], Path] = {}

    def take(self) -> None:
        state = (*self._look("ledger.db", _LEDGER_STATE), *self._look("slots.db", _SLOTS_STATE))
        if None in state or state in self.seen:
            return
        folder = self.target / f"{len(self.seen):04d}"
        folder.mkdir(parents=True)
        for name in ("ledger.db", "slots.db"):
            with closing(sqlite3.connect(self.source / name)) as old, closing(sqlite3.connect(folder / name)) as new:
                old.backup(new)
        self.seen[state] = folder

    def _look(self, name: str, query: str) -> tuple[Any, ...]:
        with closing(sqlite3.connect(self.source / name)) as connection:
            found: tuple[Any, ...] = connection.execute(query).fetchone()
            return found


_LEDGER_STATE = (
    "SELECT (SELECT count(*) FROM ledger_events), (SELECT count(*) FROM decisions), (SELECT count(*) FROM inbox)"
)
_SLOTS_STATE = (
    "SELECT (SELECT run FROM replay), (SELECT coalesce(cursor, '-') FROM replay), "
    "(SELECT coalesce(group_concat(name || status), '-') FROM slots)"
)


async def test_a_replay_killed_at_any_instant_and_resumed_has_the_same_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = declaration(
        clock={"mode": "replay", "from": "2009-01-02", "to": "2009-01-06", "pace": "0s"},
        trading={"exit": {"onSell": True, "horizonSessions": 1}},
    )
    snapshots = Snapshots(tmp_path / "whole", tmp_path / "killed")
    original = Store.transact

    async def transact(self: Store, work: Any, **options: Any) -> Any:
        result = await original(self, work, **options)
        if (tmp_path / "whole" / "slots.db").exists() and (tmp_path / "whole" / "ledger.db").exists():
            snapshots.take()
        return result

    monkeypatch.setattr(Store, "transact", transact)
    expected = await whole(tmp_path / "whole", system)
    monkeypatch.undo()
    assert any(key.startswith("filled:") for _, key, _, _ in expected)
    assert len(snapshots.seen) > 40
    for folder in snapshots.seen.values():
        assert await whole(folder, system) == expected, folder


async def test_a_peer_that_is_unreachable_holds_the_replay_but_does_not_fail_it(tmp_path: Path) -> None:
    peers = Peers(
        away={
            "get_coverage": 2,
            "load_model": 2,
            "get_opening_prices": 2,
            "publish_bars": 1,
            "get_bars": 2,
            "generate_predictions": 2,
            "record_outcomes": 1,
        }
    )
    system = declaration(clock={"mode": "replay", "from": "2009-01-02", "to": "2009-01-08", "pace": "0s"})
    builds = {**peers.builds(), **BUILDS}
    async with running(builds, data_dir=tmp_path / "away", declaration=system, rows=ROWS, sampling=0.0) as running_one:
        state = await replayed(running_one)
        assert state.state == "complete"
        assert state.error is None
        reported: SlotJobs = await running_one.call("scheduler", "list_slots", {}, SlotJobs)
        assert reported.since is None
        assert reported.jobs[0].name == "evening_analysis-20090108"
        assert {one.status for one in reported.jobs} == {"completed"}
        found: StoredReport = await running_one.call("scheduler", "get_report", {"verify": True}, StoredReport)
        assert (found.report.session, found.equal) == (date(2009, 1, 8), None)
        assert {one.status for one in found.report.slots} == {"completed"}
        account: Account = await running_one.call("paper-trading", "get_account", {}, Account)
        assert found.report.account.equity == account.equity
        listed: Reports = await running_one.call("scheduler", "list_reports", {}, Reports)
        assert (listed.total, listed.reports[0].summary) == (5, found.report.summary)
    assert set(peers.away.values()) == {0}
    assert ledger_of(tmp_path / "away") == await whole(tmp_path / "here", system)


async def test_without_bars_the_replay_waits_and_says_so(tmp_path: Path) -> None:
    peers = Peers(away={"get_coverage": 1_000_000})
    builds = {**peers.builds(), **BUILDS}
    async with running(builds, data_dir=tmp_path, declaration=declaration(), rows=ROWS) as system:
        state = await replayed(system, lambda state: state.error is not None)
        assert state.state == "waiting"
        assert await system.call("scheduler", "list_slots", {}, SlotJobs) == SlotJobs(None, [])
        assert "get_coverage is unreachable on purpose" in str(state.error)
        slot = "prediction_generation-20090105"
        for method, asked in (
            ("execute_job", {"job_id": slot}),
            ("execute_slot", {"slot": slot}),
            ("execute_slot", {"task": "prediction_generation", "minute": "2009-01-05T14:15:00Z"}),
        ):
            with pytest.raises(RpcError, match="REPLAY_CONDUCTS: prediction_generation"):
                await system.call("scheduler", method, asked, Job)


async def test_a_replay_that_begins_after_its_newest_bars_ends_and_says_so_before_a_model_is_made(
    tmp_path: Path,
) -> None:
    system = declaration(clock={"mode": "replay", "from": "2020-01-02", "pace": "0s"})
    builds = {**Peers(away={"load_model": 1_000_000}).builds(), **BUILDS}
    async with running(builds, data_dir=tmp_path, declaration=system, rows=ROWS) as running_one:
        state = await replayed(running_one)
        assert (state.state, state.error) == ("failed", f"clock.from is 2020-01-02, and the newest bars are of {LAST}")


async def test_a_step_that_is_refused_for_good_fails_the_replay_with_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwether.scheduling.conductor.LONGEST_PAUSE", 0.01)
    system = declaration(tasks=[{"name": "morning_analysis", "anchor": "open", "offset": "-30m"}])
    peers = Peers(refused={"generate_predictions": "MODEL_LOOKAHEAD"})
    async with running({**peers.builds(), **BUILDS}, data_dir=tmp_path, declaration=system, rows=ROWS) as running_one:
        state = await replayed(running_one)
        assert state.state == "failed"
        assert "morning_analysis-20090102" in str(state.error)
        assert "MODEL_LOOKAHEAD" in str(state.error)


@pytest.mark.parametrize(
    ("method", "code"), [("load_model", code) for code in ("HISTORY_TOO_SHORT", "NO_RECIPE", "TRAINING_FAILED")]
)
async def test_a_replay_that_can_never_begin_fails_with_the_words(tmp_path: Path, method: str, code: str) -> None:
    builds = {**Peers(refused={method: code}).builds(), **BUILDS}
    options: dict[str, Any] = {"data_dir": tmp_path, "declaration": declaration(), "rows": ROWS}
    async with running(builds, **options, complete_data=True) as system:
        state = await replayed(system)
        assert (state.state, state.error) == ("failed", f"{method} is refused on purpose")


async def test_a_slot_in_which_every_prediction_failed_is_failed_and_the_replay_goes_on_and_says_so(
    tmp_path: Path,
) -> None:
    peers = Peers(unpredictable={"AAA": "INTERNAL: it broke", "BBB": "INTERNAL: it broke", "CCC": "INTERNAL: it broke"})
    system = declaration(clock={"mode": "replay", "from": "2009-01-02", "to": "2009-01-05", "pace": "0s"})
    async with running({**peers.builds(), **BUILDS}, data_dir=tmp_path, declaration=system, rows=ROWS) as running_one:
        state = await replayed(running_one)
        assert (state.state, state.slots_failed) == ("complete", 4)
        assert state.first_failed.startswith(
            "morning_analysis-20090102: PREDICTIONS_FAILED: every prediction failed: AAA"
        )
        job = await running_one.call("scheduler", "execute_job", {"job_id": "prediction_generation-20090105"}, Job)
        assert job.status == "failed"
        assert "BBB: INTERNAL: it broke" in str(job.last_error)


async def test_one_symbol_that_fails_of_several_is_counted_and_fails_no_slot(tmp_path: Path) -> None:
    peers = Peers(unpredictable={"BBB": "INTERNAL: it broke"})
    system = declaration(clock={"mode": "replay", "from": "2009-01-02", "to": "2009-01-02", "pace": "0s"})
    async with running({**peers.builds(), **BUILDS}, data_dir=tmp_path, declaration=system, rows=ROWS) as running_one:
        state = await replayed(running_one)
        assert (state.slots_failed, state.predictions_failed) == (0, 2)


async def test_an_order_stores_the_trace_that_its_fill_joins(tmp_path: Path) -> None:
    sent: list[bytes] = []
    builds = {**Peers().builds(), **BUILDS}
    async with running(builds, data_dir=tmp_path, declaration=declaration(), rows=ROWS) as system:
        await system.context.bus.subscribe("bw.trace.paper-trading", lambda message: sent.append(message.body))
        await replayed(system)
        await system.services["paper-trading"].context.telemetry.flush()
    spans = [
        span
        for body in sent
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    consumed = {span.span_id: span for span in spans if span.name == "prediction_generated process"}
    signals = [span for span in spans if span.name == "fill" and span.parent_span_id in consumed]
    assert signals
    for fill in signals:
        parent = consumed[fill.parent_span_id]
        assert parent.trace_id == fill.trace_id
        assert {"bellwether.order_id", "bellwether.outcome"} <= {one.key for one in parent.attributes}
        assert "bellwether.order_id" in {one.key for one in fill.attributes}
        reported = [span.name for span in spans if span.parent_span_id == fill.span_id]
        assert reported == ["order_filled publish"]
