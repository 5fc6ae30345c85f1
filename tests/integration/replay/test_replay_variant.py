"""The program of a TradingReplay's pod, a process with its own key, beside a running system over a real NATS server."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bellwether.local import replay_variant
from bellwether.market_data.service import create as market_data
from bellwether.messages.market_data import Coverage, GetCoverage
from bellwether.messages.parts import FilePart, FileState
from bellwether.messages.scheduling import (
    GetReplayReport,
    PutReplayReport,
    ReplayReports,
)
from bellwether.render.kubernetes.training_jobs import FUTILE
from bellwether.render.nats import REPLAY_JOB
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.job_calls import Peers
from bellwether.runtime.service import Service
from bellwether.scheduling.replay_reports import add_replay_reports
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from harness.nats import nats_server
from harness.replayed import declared, until
from harness.system import System, running

pytestmark = pytest.mark.integration

SYMBOLS = ["AAPL", "IBM"]
SPEC: dict[str, Any] = {
    "market": {"calendar": "XNYS"},
    "symbols": SYMBOLS,
    "clock": {"mode": "replay", "from": "2009-01-02"},
    "trading": {"mode": "simulated", "currency": "USD", "initialCash": "100000"},
}
REPORTS = ("put_replay_report", "get_replay_report", "list_replay_reports", "retain_replay_reports")
ROWS = {
    "market-data": SERVICES["market-data"],
    "scheduler": ServiceRow("scheduler", "keeps reports", serves=REPORTS, volume=True),
}


def keeper(context: ServiceContext) -> Service:
    """Return a scheduler that keeps reports and does nothing else."""
    service = Service("scheduler", context)
    add_replay_reports(service)
    return service


def plan(folder: Path, provider: str) -> Path:
    document = {
        "asOf": datetime.now(UTC).isoformat(),
        "bars": "image" if provider == "replay" else "system",
        "declaration": {"metadata": {"name": "demo"}, "spec": {**SPEC, "data": {"provider": provider}}},
        "from": "2009-01-02",
        "name": "sizes",
        "to": "2009-01-30",
        "uid": "0d2f6c1e-aaaa",
        "variants": [[], [["trading.sizing.value", "much"]]],
    }
    file = folder / f"{provider}.json"
    file.write_text(json.dumps(document))
    return file


async def program(url: str, keys: Path, file: Path, index: int) -> tuple[int, dict[str, Any]]:
    """Return with what the program ended and what it said last."""
    written = file.with_suffix(f".{index}.said")
    environment = {
        **os.environ,
        "BELLWETHER_KEYS_DIR": str(keys),
        "BELLWETHER_NATS_URL": url,
        "JOB_COMPLETION_INDEX": str(index),
        "TMPDIR": str(keys.parent),
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bellwether", "replay-variant", "--plan", str(file), "--write", str(written)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await child.communicate()
    assert child.returncode is not None
    assert written.exists(), said.decode()
    return child.returncode, json.loads(written.read_text())


async def page(system: System) -> str:
    asked = GetReplayReport("sizes", 0, "index.html")
    found = await system.call("scheduler", "get_replay_report", asked, FilePart)
    assert len(found.content) == found.total
    return gzip.decompress(found.content).decode()


async def test_bars_of_the_system_give_the_replay_that_recorded_bars_give(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats", rows=ROWS) as server:
        keys = server.write_keys(tmp_path / "keys")
        builds = {"market-data": market_data, "scheduler": keeper}
        async with running(
            builds, data_dir=tmp_path / "data", declaration=declared(**SPEC), connect=server.connect, rows=ROWS
        ) as system:

            async def loaded() -> bool:
                reported = await system.call("market-data", "get_coverage", GetCoverage(SYMBOLS), Coverage)
                return set(reported.last) == set(SYMBOLS)

            await until(loaded)
            code, recorded = await program(server.url, keys, plan(tmp_path, "replay"), 0)
            assert code == replay_variant.DONE, recorded
            listed = await system.call("scheduler", "list_replay_reports", None, ReplayReports)
            assert [(one.replay, one.variants) for one in listed.replays] == [("sizes", [0])]
            first = await page(system)
            assert first.startswith("<!doctype html>")
            assert "Replay of demo, 2009-01-02 to 2009-01-30" in first

            code, fetched = await program(server.url, keys, plan(tmp_path, "csv"), 0)
            assert code == replay_variant.DONE, fetched
            assert len(fetched.pop("bars")) == 64
            assert fetched == recorded
            assert set(recorded) >= {
                "finalEquity",
                "totalReturn",
                "buyAndHoldReturn",
                "maxDrawdown",
                "trades",
                "hitRate",
            }
            assert (recorded["sessions"], "noReport" in recorded) == (20, False)

            code, reported = await program(server.url, keys, plan(tmp_path, "replay"), 1)
            assert code == FUTILE
            assert reported["error"].startswith("spec.vary trading.sizing.value=much: spec.trading.sizing.value")

            # Its key opens nothing but what it needs.
            async with server.connected(REPLAY_JOB) as bus:
                peers = Peers(bus, REPLAY_JOB, patience=0.0)
                with pytest.raises(RpcError) as refused:
                    await peers.request("scheduler", "list_replay_reports", None, ReplayReports)
                assert refused.value.code == "UNAVAILABLE"
                wrong = PutReplayReport("sizes", "../x", 0, "index.html", "0", 0, 1, b"x")
                with pytest.raises(RpcError) as refused:
                    await peers.request("scheduler", "put_replay_report", wrong, FileState)
                assert refused.value.code == "REPORT_REFUSED"


def test_a_figure_that_is_not_defined_is_left_out() -> None:
    nothing = {"value": None, "undefined": "there is no session"}
    performance = {"max_drawdown": {"value": -0.25}, "sharpe": nothing, "total_return": {"value": 0.1}}
    report = {
        "curves": [{"name": "demo", "performance": performance}],
        "judgement": {"base_hit_rate": None, "hit_rate": nothing, "signals": 0},
    }
    total = {
        "equity": "1.5",
        "sessions": 0,
        "filled": 0,
        "ledger_violations": [],
        "without": {"TSLA": "no bars"},
        "slots_failed": 0,
    }
    assert replay_variant.figures_of(total, report) == {
        "amiss": "TSLA: no bars",
        "finalEquity": "1.5",
        "maxDrawdown": "-0.25",
        "sessions": 0,
        "signals": 0,
        "totalReturn": "0.1",
        "trades": 0,
    }
