from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from bellwether.messages.scheduling import Job, ReplayState
from bellwether.messages.trading import LedgerCheck, Orders
from bellwether.runtime.errors import RpcError
from bellwether.scheduling import service as scheduling
from bellwether.spec.models import TradingSystem
from bellwether.trading import service as trading
from harness.system import System, running
from integration.trading.peers import ROWS, Peers, declaration

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
    engine = create_engine(f"sqlite:///{folder / 'ledger.db'}")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT seq, key, at, data FROM ledger_events ORDER BY id")).all()
    engine.dispose()
    # Spans have random ids, so trace contexts differ from run to run; everything else must not.
    return [tuple(str(part).split('"traceparent"', maxsplit=1)[0] for part in row) for row in rows]


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
