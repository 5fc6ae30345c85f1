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
    command = [sys.executable, "-m", "bellwether", "run", str(file), "--data", str(folder / "s"), "--port", "18480"]
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        end = time.monotonic() + DEADLINE
        while not re.search(r"^  bars  +ANZ.AX BHP.AX", said.read_text(), re.MULTILINE):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end, said.read_text()
            time.sleep(0.1)
        told = json.loads((folder / "s" / "run.json").read_text())
        yield Live(sockets, told["url"], told["token"])
        process.terminate()
        assert process.wait(60) == 0
        assert not list(sockets.glob("*.sock"))
    finally:
        process.kill()
        process.wait(10)
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


def test_a_hundred_old_clients_at_once_get_whole_batches_and_health_in_one_read(live: Live) -> None:
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("prediction", "generate_predictions", {"symbols": SYMBOLS}),
        ("prediction", "generate_single_prediction", {"symbol": "CBA.AX"}),
        ("prediction", "get_buy_rate", {}),
        ("market-data", "get_market_data", {"symbol": "BHP.AX"}),
        ("sentiment", "analyze_sentiment", {"symbol": "BHP.AX"}),
        ("data-quality", "monitor_data_quality", {}),
        ("paper-trading", "sync_positions", {}),
        ("monitoring", "check_alerts", {}),
    ]
    old_call(live, "prediction", "generate_predictions", symbols=SYMBOLS)  # the first computes, the others read
    chance = random.Random(5)
    wanted = [calls[number % len(calls)] for number in range(100)]
    together = threading.Barrier(100)

    def ask(one: tuple[str, str, dict[str, Any]]) -> Any:
        pieces = chance.randrange(1, 12)
        together.wait(DEADLINE)
        return old_call(live, one[0], one[1], pieces=pieces, **one[2])

    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(ask, wanted))
    for (service, method, _), reply in zip(wanted, found, strict=True):
        # A made-up share has no news; that is an answer, too.
        told = reply["status"] == "success" or (service == "sentiment" and reply["error"])
        assert told, f"{service}.{method}: {reply}"
        assert isinstance(reply["request_id"], int)
        assert isinstance(reply["execution_time"], float)
    batch = found[0]["result"]
    assert set(batch["predictions"]) == set(SYMBOLS)
    assert batch["summary"]["successful"] == 7
    one = batch["predictions"]["CBA.AX"]
    assert {"prediction_id", "timestamp", "symbol", "market_data_available", "sentiment_data_available"} <= set(one)


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
            process.communicate(timeout=30)


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


def test_the_old_redis_channels_get_the_events_also_after_redis_was_away(live: Live, redis_server: Redis) -> None:
    client = HttpClient(live.url, live.token)
    subscribed = listening(redis_server)
    bridge = Bridge(live, redis_server)
    try:
        bridge.until("bridging ")
        client.send("POST", "/v1/halt", {"reason": "to see it", "source": "cli"})
        told = heard(subscribed, "trading:urgent:halt_changed")
        assert (told["type"], told["priority"], told["source_service"]) == ("halt_changed", "urgent", "paper-trading")
        assert told["data"]["state"]["halted"] is True
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
        bridge.process.wait(10)
