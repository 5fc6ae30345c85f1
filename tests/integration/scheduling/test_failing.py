"""A session that cannot be closed for a reason that lasts: people read of it until it is mended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bellwether.gateway import service as gateway
from bellwether.gateway.settings import GatewaySettings
from bellwether.messages.scheduling import Jobs
from bellwether.runtime.tasks import end_tasks
from bellwether.scheduling.clockwork import LASTING, LEAST_TRIES
from bellwether.topology import SERVICES
from bellwether.trading import service as trading
from harness.clock import Present
from harness.nats import nats_server
from harness.system import System, running
from harness.until import DEADLINE
from integration.gateway.test_halt import TOKEN, connected
from integration.scheduling.floor import CLOSE, OPEN, present
from integration.scheduling.live import Maker
from integration.trading.peers import ROWS, Peers, declaration

pytestmark = pytest.mark.integration

ALL_ROWS = {**ROWS, "gateway": replace(SERVICES["gateway"], requires=("paper-trading",))}
BREAK = "CREATE TRIGGER broken BEFORE INSERT ON {} BEGIN SELECT RAISE(ABORT, 'as on a full disk'); END"
MEND = "DROP TRIGGER broken"


@dataclass
class Lab:
    """A live trader, scheduler and gateway on a real server; the test moves the clock."""

    system: System
    http: httpx.AsyncClient
    clock: Present
    go_on: Callable[[], None]
    """Has the scheduler look at its clock from now on."""

    async def store(self, service: str, statement: str) -> None:
        """Change what the store of a service does."""
        store = self.system.services[service].context.store
        assert store is not None
        await store.transact(lambda tx: tx.connection.exec_driver_sql(statement))

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the gateway's status once it is as wanted."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found: dict[str, Any] = (await self.http.get("/v1/status", timeout=60)).json()
                if found["slots"] is not None and found["safety"]["safe"] is not None and holds(found):
                    return found
                await asyncio.sleep(0.05)

    async def close(self) -> str | None:
        found: Jobs = await self.system.call("scheduler", "list_jobs", {}, Jobs)
        return {job.id: job.status for job in found.jobs}.get("session_close-20260105")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    clock, maker = present(), Maker(own_schedule=False)
    builds = {
        **Peers().builds(),
        "paper-trading": trading.create,
        "scheduler": maker,
        "gateway": partial(gateway.create, settings=GatewaySettings(host="127.0.0.1", port=0, token=TOKEN)),
    }
    system = declaration(data={"provider": "csv", "csv": {"directory": "bars"}}, clock={"mode": "live"})
    options: dict[str, Any] = {"declaration": system, "rows": ALL_ROWS, "clock": clock}
    async with (
        nats_server(tmp_path / "nats", rows=ALL_ROWS) as server,
        running(builds, data_dir=tmp_path / "data", connect=server.connect, **options) as runs,
        connected(runs) as http,
    ):
        await maker.clockwork().tick()
        clock.instant = OPEN
        await maker.clockwork().tick()
        clock.instant = CLOSE
        tasks: set[asyncio.Task[None]] = set()
        yield Lab(runs, http, clock, lambda: tasks.add(asyncio.create_task(maker.clockwork().turn())))
        await end_tasks(tasks, DEADLINE)


@pytest.mark.parametrize(
    ("service", "table", "words", "claimed"),
    [
        ("paper-trading", "ledger_events", r"paper-trading\.session_close failed", "running"),
        ("scheduler", "slots", "the scheduler failed with IntegrityError", None),
    ],
)
async def test_a_close_that_goes_on_failing_is_in_the_status_until_it_is_done(
    lab: Lab, service: str, table: str, words: str, claimed: str | None
) -> None:
    await lab.store(service, BREAK.format(table))
    lab.go_on()
    # At first it may be a restart.
    found = await lab.until(lambda status: (status["slots"]["failing"] or {"tries": 0})["tries"] >= LEAST_TRIES)
    assert found["safety"] == {"safe": True, "refusals": []}
    failing = found["slots"]["failing"]
    assert (failing["step"], failing["session"], failing["code"]) == ("close", "2026-01-05", "INTERNAL")
    assert (failing["since"], failing["lasting"]) == ("2026-01-05T21:00:00Z", False)
    lab.clock.instant = CLOSE + LASTING
    found = await lab.until(lambda status: not status["safety"]["safe"])
    (refusal,) = found["safety"]["refusals"]
    assert (refusal["code"], refusal["value"]) == ("SESSION_STUCK", "INTERNAL")
    assert re.match(
        r"the close of session 2026-01-05 has failed since 2026-01-05T21:00:00Z, \d+ times or more: "
        rf"INTERNAL: {words}; its log has the reason",
        refusal["message"],
    )
    assert await lab.close() == claimed
    await lab.store(service, MEND)
    found = await lab.until(lambda status: status["slots"]["failing"] is None)
    assert found["safety"] == {"safe": True, "refusals": []}
    assert await lab.close() == "completed"
