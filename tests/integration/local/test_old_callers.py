"""A live system of seven shares for callers of the old one: its sockets, and both systems side by side.

The client here is written from the old system's shapes alone and imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli.client import HttpClient
from bellwether.cli.comparing import GatewaySide
from bellwether.cli.main import main
from bellwether.market.sessions import load_calendar
from harness import csv_bars
from harness.nats import free_port
from harness.redis import Redis, installed

pytestmark = pytest.mark.integration

SYMBOLS = ["CBA.AX", "ANZ.AX", "NAB.AX", "WBC.AX", "MQG.AX", "COL.AX", "BHP.AX"]
COMPATIBILITY = Path(__file__).parents[3] / "compatibility"
DEADLINE = 150.0
SYSTEM = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {{name: callers}}
spec:
  market: {{calendar: XASX}}
  symbols: [{symbols}]
  data: {{provider: csv, csv: {{directory: {bars}}}}}
  compatibility: {{socketDirectory: {sockets}}}
"""


@dataclass(frozen=True)
class Live:
    """The running system: where its sockets and its gateway are."""

    sockets: Path
    url: str
    token: str


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("callers")
    calendar = load_calendar("XASX")
    # Too few bars to train a model on: none comes to serve while the two are compared.
    last = calendar.previous_session(datetime.now(UTC) - timedelta(hours=1)).day
    for number, symbol in enumerate(SYMBOLS):
        csv_bars.write(folder / "bars", symbol, calendar, last, count=70, price=40.0 + number)
    # A socket's path has 107 bytes at most.
    sockets = Path(f"/tmp/bw-old-{os.getpid()}")
    file, said = folder / "callers.yaml", folder / "said"
    file.write_text(SYSTEM.format(symbols=", ".join(SYMBOLS), bars=folder / "bars", sockets=sockets))
    command = [sys.executable, "-m", "bellwether", "run", str(file), "--data", str(folder / "s")]
    command += ["--port", str(free_port())]
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        end = time.monotonic() + DEADLINE
        while not re.search(r"^  bars  +ANZ.AX BHP.AX", said.read_text(), re.MULTILINE):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end, said.read_text()
            time.sleep(0.1)
        answer = json.loads((folder / "s" / "run.json").read_text())
        yield Live(sockets, answer["url"], answer["token"])
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert not list(sockets.glob("*.sock"))
    finally:
        process.kill()
        process.wait(DEADLINE)
        sockets.rmdir()


def old_call(live: Live, service: str, method: str, *, pieces: int = 1, size: int = 32_768, **params: Any) -> Any:
    """Send one JSON object without a newline or an end, in pieces; read once and return the reply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(DEADLINE)
        connection.connect(str(live.sockets / f"trading_{service}.sock"))
        data = json.dumps({"method": method, "params": params, "timestamp": time.time()}).encode()
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            connection.sendall(data[start : start + step])
        return json.loads(connection.recv(size))


SINGLE = ("prediction_id", "timestamp", "symbol", "market_data_available", "sentiment_data_available")
JOB = ("id", "type", "schedule_time", "params", "status", "next_run", "last_run", "last_result", "last_error")
CBA = {"symbol": "CBA.AX"}
DOCUMENTED: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    ("prediction", "generate_predictions", {"symbols": SYMBOLS}, ("predictions", "summary")),
    ("prediction", "generate_single_prediction", CBA, SINGLE),
    ("prediction", "get_prediction", CBA, ("cache_age", "cached")),
    ("prediction", "get_buy_rate", {"timeframe": "day"}, ("buy_rate", "total_predictions", "buy_signals", "timeframe")),
    ("prediction", "clear_cache", {}, ("cleared_entries",)),
    ("market-data", "get_market_data", CBA, ("technical", "volume", "market_context")),
    ("sentiment", "analyze_sentiment", CBA, ("sentiment_score", "news_confidence", "news_quality_score")),
    ("ml-model", "load_model", {"model_name": "direction-lr", **CBA}, ()),
    ("ml-model", "predict", {"model_name": "direction-lr", "features": {"a": 1.0}, **CBA}, ()),
    ("paper-trading", "initialize_ig_markets", {}, ("status",)),
    ("paper-trading", "sync_positions", {}, ("synced_positions",)),
    (
        *("paper-trading", "execute_trade", {"action": "BUY", "quantity": 1, **CBA}),
        ("symbol", "action", "quantity", "timestamp", "trade_id", "ig_order_id", "status", "error"),
    ),
    ("data-quality", "validate_prediction_data", {"data": CBA}, ("valid", "quality_score", "issues")),
    ("data-quality", "monitor_data_quality", {}, ("overall_score", "symbols")),
    ("scheduler", "schedule_market_aware_job", {"job_id": "j1", "job_type": "custom", "params": {}}, JOB),
    ("scheduler", "execute_job", {"job_id": "j1"}, JOB),
    ("scheduler", "stop_all_jobs", {}, ()),
    ("backup", "create_backup", {}, ("backup_id", "timestamp", "type", "databases_backed_up", "size_mb", "status")),
    ("backup", "restore_backup", {"backup_id": "b1"}, ("status", "backup_id")),
    ("monitoring", "collect_system_metrics", {}, ("services", "system")),
    ("monitoring", "check_alerts", {}, ("alerts",)),
    ("prediction", "metrics", {}, ()),
    (
        *("prediction", "health", {}),
        ("predictor_loaded", "cache_size", "prediction_count", "buy_signal_count", "error_count", "current_buy_rate"),
    ),
]
"""The old system's calls, and what their results have."""
REFUSED = {"load_model", "predict", "initialize_ig_markets", "create_backup", "restore_backup"}
"""This system has no model, no IG account and no backup declared."""
ALSO_REFUSED_AT_ONCE = {"get_prediction", "schedule_market_aware_job", "execute_job"}
"""Beside `clear_cache` and `stop_all_jobs`."""


def wrong(method: str, reply: Any, keys: tuple[str, ...], refused: set[str]) -> str | None:
    """Return what a reply lacks of the old shape."""
    if not isinstance(reply["request_id"], int) or not isinstance(reply["execution_time"], float):
        return f"{method}: {reply}"
    if reply["status"] == "error":
        return None if method in refused and reply["error"] else f"{method}: {reply['error']}"
    lacking = set(keys) - set(reply["result"]) if keys else set()
    return f"{method} lacks {lacking}" if lacking else None


def test_each_documented_call_has_the_old_shape(live: Live) -> None:
    found = [
        wrong(method, old_call(live, service, method, **params), keys, REFUSED)
        for service, method, params, keys in DOCUMENTED
    ]
    assert [one for one in found if one is not None] == []
    unknown = old_call(live, "prediction", "predict_all")
    assert (unknown["status"], "execution_time" in unknown) == ("error", False)


def test_a_hundred_old_clients_at_once_with_requests_in_pieces_each_get_their_reply(live: Live) -> None:
    chance = random.Random(5)
    wanted = [(DOCUMENTED[number % len(DOCUMENTED)], chance.randrange(1, 12)) for number in range(100)]
    together = threading.Barrier(100)

    def ask(one: tuple[tuple[str, str, dict[str, Any], tuple[str, ...]], int]) -> str | None:
        (service, method, params, keys), pieces = one
        together.wait(DEADLINE)
        reply = old_call(live, service, method, pieces=pieces, **params)
        return wrong(method, reply, keys, REFUSED | ALSO_REFUSED_AT_ONCE)

    with ThreadPoolExecutor(100) as pool:
        assert [one for one in pool.map(ask, wanted) if one is not None] == []
    # The whole batch comes in the one read of 32 KiB.
    batch = old_call(live, "prediction", "generate_predictions", symbols=SYMBOLS)["result"]
    assert set(batch["predictions"]) == set(SYMBOLS)
    summary = {"total_symbols", "successful", "failed", "cache_hits", "fresh_predictions", "buy_rate"}
    assert summary <= set(batch["summary"])
    assert set(SINGLE) <= set(batch["predictions"]["CBA.AX"])


def test_a_reply_of_more_than_32_kib_is_whole_for_who_reads_to_the_end(live: Live) -> None:
    for _ in range(5):
        old_call(live, "prediction", "generate_predictions", force_refresh=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(DEADLINE)
        connection.connect(str(live.sockets / "trading_prediction.sock"))
        connection.sendall(json.dumps({"method": "list_decisions", "params": {"limit": 500}}).encode())
        data = b""
        while chunk := connection.recv(4096):
            data += chunk
    assert len(data) > 32_768
    assert len(json.loads(data)["result"]["decisions"]) >= 35


def test_the_old_managers_health_read_gets_a_whole_answer_of_every_service(live: Live) -> None:
    names = sorted(path.name[len("trading_") : -len(".sock")] for path in live.sockets.glob("*.sock"))
    assert {"prediction", "market-data", "paper-trading", "ml-model", "sentiment"} <= set(names)
    for name in names:
        health = old_call(live, name, "health", size=8192)["result"]
        assert health["service"] == name
        assert {"status", "uptime", "memory_usage", "cpu_usage", "last_error", "handlers"} <= set(health)


def test_the_old_script_prints_the_batch(live: Live) -> None:
    environ = os.environ | {"TRADING_SOCKET_DIR": str(live.sockets)}
    command = [sys.executable, str(COMPATIBILITY / "run_predictions.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()[:7]} == set(SYMBOLS)
    # There is neither news nor a model: what stands in for them is flagged.
    # That of a session that closed within the hour is missing, too.
    said = done.stdout.replace(" market_data_stale,", "").splitlines()[:7]
    assert all(line.endswith("  without sentiment, model") for line in said), done.stdout
    assert done.stdout.splitlines()[7].startswith("7 of 7 predicted")


@contextmanager
def stand_in(folder: Path, answers: Path) -> Iterator[None]:
    """Run the old system's stand-in."""
    command = [sys.executable, "-m", "harness.old_system", str(folder), str(answers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.communicate(timeout=DEADLINE)


def compared(live: Live, old: Path, state: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    arguments = ["--old", str(old), "--new", live.url, "--token", live.token, "--state", str(state), "-o", "json"]
    main(["compare", *arguments, "--sessions", "1", *more])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def plant(answers: dict[str, Any]) -> None:
    """Plant five differences; two shares stay as they are."""
    said = answers["predictions"]
    said["CBA.AX"]["action"] = "SELL" if said["CBA.AX"]["action"] != "SELL" else "BUY"
    said["ANZ.AX"]["current_price"] *= 0.9
    said["ANZ.AX"]["action"] = "SELL" if said["ANZ.AX"]["action"] != "SELL" else "BUY"
    answers["market_data"]["NAB.AX"]["technical"]["rsi"] += 20
    del said["WBC.AX"]
    said["MQG.AX"]["timestamp"] = "2026-01-05T00:00:00Z"


def test_side_by_side_names_five_planted_differences_and_none_on_equal_input(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = GatewaySide(HttpClient(live.url, live.token))
    assert set(new.symbols()) == set(SYMBOLS)
    answers = new.ask(SYMBOLS)
    assert set(answers["market_data"]) == set(answers["predictions"]) == set(SYMBOLS)
    file = tmp_path / "answers.json"
    old = Path(f"/tmp/bw-stand-in-{os.getpid()}")
    old.mkdir()
    try:
        file.write_text(json.dumps(answers))
        with stand_in(old, file):
            same = compared(live, old, tmp_path / "same.db", capsys, "--once")
            assert same["differences"] == []
            assert same["verdict"]["state"] == "safe"
            assert {one["equal_inputs"] for one in same["answers"]} == {True}
            plant(answers)
            file.write_text(json.dumps(answers))
            page = tmp_path / "compare.html"
            first = compared(live, old, tmp_path / "state.db", capsys, "--once", "--page", str(page))
            # What was kept counts: asking again for the session changes nothing.
            again = compared(live, old, tmp_path / "state.db", capsys, "--once")
        report = compared(live, old, tmp_path / "state.db", capsys, "--report")
    finally:
        for path in old.iterdir():
            path.unlink()
        old.rmdir()
    assert first == again == report
    assert {(one["symbol"], one["kind"], one["cause"]) for one in first["differences"]} == {
        ("CBA.AX", "action", "logic differs"),
        ("ANZ.AX", "price", "input differs"),
        ("ANZ.AX", "action", "input differs"),
        ("NAB.AX", "input", "input differs"),
        ("WBC.AX", "missing", "service differs"),
        ("MQG.AX", "stale", "service differs"),
    }
    (nab,) = [one for one in first["differences"] if one["symbol"] == "NAB.AX"]
    assert nab["words"].endswith("equal decisions on unequal input")
    assert first["verdict"]["state"] == "not safe"
    assert "equal decisions on unequal input" in page.read_text()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    if not installed():
        pytest.skip("redis-tools is not installed: python -m devcluster needs --install")
    server = Redis(tmp_path, free_port())
    server.start()
    yield server
    server.stop()


class Bridge:
    """A running `bellwether bridge redis` and what it says."""

    def __init__(self, live: Live, redis: Redis) -> None:
        environ = os.environ | {"BELLWETHER_REDIS_URL": redis.url, "BELLWETHER_TOKEN": live.token}
        command = [sys.executable, "-m", "bellwether", "bridge", "redis", "--url", live.url]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ)
        self.said: list[str] = []

    def until(self, part: str) -> None:
        """Wait for a line; the bridge's own deadline is that of the test."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if part in line:
                return
        pytest.fail(f"it ended without {part!r}: {self.said}")


def heard(subscribed: Any, channel: str) -> dict[str, Any]:
    """Return the next message of a channel."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        message = subscribed.get_message(ignore_subscribe_messages=True, timeout=1.0)
        if message is not None and message["channel"].decode() == channel:
            found: dict[str, Any] = json.loads(message["data"])
            return found
    pytest.fail(f"nothing on {channel}")


def listening(redis: Redis) -> Any:
    found: Any = redis.client().pubsub()  # type: ignore[no-untyped-call]
    found.psubscribe("trading:*")
    assert found.get_message(timeout=DEADLINE)["type"] == "psubscribe"
    return found


def test_the_old_redis_channels_get_the_events_also_after_redis_was_unreachable(
    live: Live, redis_server: Redis
) -> None:
    client = HttpClient(live.url, live.token)
    subscribed = listening(redis_server)
    bridge = Bridge(live, redis_server)
    try:
        bridge.until("bridging ")
        client.send("POST", "/v1/halt", {"reason": "to see it", "source": "cli"})
        answer = heard(subscribed, "trading:urgent:halt_changed")
        assert (answer["type"], answer["priority"], answer["source_service"]) == (
            "halt_changed",
            "urgent",
            "paper-trading",
        )
        assert answer["data"]["state"]["halted"] is True
        redis_server.stop()
        client.send("POST", "/v1/resume", {"reason": "seen", "source": "cli"})
        bridge.until("trying again")
        redis_server.start()
        subscribed = listening(redis_server)
        client.send("POST", "/v1/halt", {"reason": "again", "source": "cli"})
        while heard(subscribed, "trading:urgent:halt_changed")["data"]["reason"] != "again":
            pass
        assert "secret" not in "".join(bridge.said)
    finally:
        bridge.process.kill()
        bridge.process.wait(DEADLINE)
