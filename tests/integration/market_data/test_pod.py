"""market-data's whole process and the child that asks Yahoo, in the memory that its pod has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil
import pytest

from bellwether.market.sessions import load_calendar
from bellwether.messages.market_data import Coverage
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.errors import RpcError
from bellwether.topology import SERVICES
from harness.memory_group import memory_group
from harness.nats import nats_server
from harness.system import System, running
from harness.yahoo import default_shares, standing_in
from integration.trading.peers import declaration

pytestmark = pytest.mark.integration

ROW = SERVICES["market-data"]
LIMIT_BYTES = ROW.resources.memory_mebibytes * 2**20
SYMBOLS = [f"S{number:02}.AX" for number in range(50)]
LOOK_SECONDS = 0.05
DEADLINE = 200.0
"""Fifty histories take 15 s on a quiet machine."""


async def test_the_first_history_of_fifty_symbols_stays_within_the_pods_memory(tmp_path: Path) -> None:
    declared = declaration(
        symbols=SYMBOLS,
        market={"calendar": "XASX"},
        data={"provider": "yahoo", "yahoo": {"requestsPerMinute": 600}},
        clock={"mode": "live"},
        trading={"currency": "AUD"},
    )
    (tmp_path / "system.json").write_bytes(encode_declaration(declared))
    async with (
        standing_in(tmp_path / "yahoo", default_shares(SYMBOLS, load_calendar("XASX"))) as yahoo,
        nats_server(tmp_path / "nats") as server,
        running({}, data_dir=tmp_path / "caller", connect=server.connect, declaration=declared) as caller,
    ):
        environment = {
            **os.environ,
            "BELLWETHER_NATS_URL": server.url,
            "BELLWETHER_KEYS_DIR": str(server.write_keys(tmp_path / "keys")),
            "BELLWETHER_DATA_DIR": str(tmp_path / "data"),
            "BELLWETHER_DECLARATION": str(tmp_path / "system.json"),
            "BELLWETHER_HEALTH_HOST": "127.0.0.1",
            "BELLWETHER_HEALTH_PORT": "0",
            "BELLWETHER_PROXY": yahoo.url,
            "BELLWETHER_CA_BUNDLE": str(yahoo.authority),
        }
        with memory_group(LIMIT_BYTES) as group, (tmp_path / "log").open("wb") as log:
            pod = _start(environment, log)
            if group is not None:
                group.take(pod.pid)
            try:
                highest = await _all_arrived(caller, pod)
            except TimeoutError:
                pytest.fail(f"not all symbols arrived; it said: {(tmp_path / 'log').read_text()[-4000:]}")
            finally:
                pod.kill()
                pod.wait()
        assert "was ended by signal" not in (tmp_path / "log").read_text(), "the process that asks Yahoo was ended"
    assert sum(highest.values()) <= LIMIT_BYTES, {name: f"{size / 2**20:.0f} MiB" for name, size in highest.items()}


def _start(environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bellwether", "serve", "--services", "market-data"]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


async def _all_arrived(caller: System, pod: subprocess.Popen[bytes]) -> dict[str, int]:
    """Wait for the bars of all symbols; return the most that the service and its child had resident, in bytes."""
    highest = {"service": 0, "child": 0}
    async with asyncio.timeout(DEADLINE):
        while True:
            assert pod.poll() is None, f"market-data ended with {pod.returncode}"
            service = psutil.Process(pod.pid)
            for name, processes in (("service", [service]), ("child", service.children())):
                highest[name] = max([highest[name], *map(_most_resident, processes)])
            with contextlib.suppress(RpcError):
                found: Coverage = await caller.call("market-data", "get_coverage", {}, Coverage)
                assert not found.errors, found.errors
                if set(found.first) == set(SYMBOLS):
                    return highest
            await asyncio.sleep(LOOK_SECONDS)


def _most_resident(process: psutil.Process) -> int:
    """Return the highest resident set that a process ever had; 0 for one that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
