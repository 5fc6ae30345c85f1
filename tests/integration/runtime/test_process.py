"""A whole process as a supervisor sees it: probes, metrics, signals, logs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.nats import NatsServer, free_port, nats_server
from harness.parts import ROWS
from harness.until import DEADLINE

pytestmark = pytest.mark.integration
TESTS = Path(__file__).resolve().parents[2]


class Host:
    """The process and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process = process
        self._base = f"http://127.0.0.1:{port}"
        self._log = log

    async def get(self, path: str) -> httpx.Response | None:
        async with httpx.AsyncClient() as client:
            with contextlib.suppress(httpx.TransportError):
                return await client.get(self._base + path)
        return None

    async def until(self, path: str, status: int, words: str = "") -> str:
        async with asyncio.timeout(DEADLINE):
            while True:
                answer = await self.get(path)
                if answer is not None and answer.status_code == status and words in answer.text:
                    return answer.text
                await asyncio.sleep(0.02)

    async def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            out, _ = await self.process.communicate()
        return out.decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@contextlib.asynccontextmanager
async def host(tmp_path: Path, server: NatsServer) -> AsyncIterator[Host]:
    port = free_port()
    log = tmp_path / "process.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'services'}",
        "BELLWETHER_NATS_URL": server.url,
        "BELLWETHER_KEYS_DIR": str(server.write_keys(tmp_path / "keys")),
        "BELLWETHER_DATA_DIR": str(tmp_path / "data"),
        "BELLWETHER_HEALTH_HOST": "127.0.0.1",
        "BELLWETHER_HEALTH_PORT": str(port),
    }
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "harness.process_main", env=environment, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    try:
        yield Host(process, port, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_waits_for_nats_gets_ready_loses_it_and_ends_in_good_order(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats", ROWS, bootstrapped=False) as server:
        await server.kill()
        async with host(tmp_path, server) as found:
            assert await found.until("/livez", 200) == "alive\n"
            assert "not ready: shop, ledger" in await found.until("/readyz", 503)
            await server.start()
            await server.bootstrap()
            await found.until("/readyz", 200, "ready")
            text = await found.until("/metrics", 200)
            assert 'bellwether_bus_connected{service="shop"} 1.0' in text
            assert text.count("# TYPE bellwether_bus_connected gauge") == 1
            assert (await found.until("/elsewhere", 404)).startswith("no /elsewhere; there are /livez")
            await server.kill()
            await found.until("/readyz", 503, "no connection to the bus")
            await found.until("/livez", 200)
            await server.start()
            await found.until("/readyz", 200)
            out = await found.end()
            assert found.process.returncode == 0
            assert out == "unwanted: \n"
            lines = found.lines()
            assert all({"time", "level", "service", "msg"} <= set(line) for line in lines)
            assert [line["msg"] for line in lines if "has stopped" in line["msg"]] == [
                "ledger has stopped",
                "shop has stopped",
            ]


async def test_a_process_ends_soon_although_nats_is_unreachable(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats", ROWS) as server, host(tmp_path, server) as found:
        await found.until("/readyz", 200)
        await server.kill()
        await found.until("/readyz", 503)
        assert await found.end() == "unwanted: \n"
        assert found.process.returncode == 0


async def test_a_shutdown_call_ends_the_process(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats", ROWS) as server, host(tmp_path, server) as found:
        await found.until("/readyz", 200)
        caller = server.connect("cli")
        await caller.start()
        assert await caller.wait_connected(DEADLINE)
        answer = json.loads(
            await caller.request(
                "bw.rpc.shop.shutdown", b'{"request_id":"1","source":"cli","budget":60}', timeout=DEADLINE
            )
        )
        assert answer["result"] == {"status": "shutting_down"}
        async with asyncio.timeout(DEADLINE):
            await found.process.wait()
        await caller.close()
