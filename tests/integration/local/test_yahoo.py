"""`bellwether run` on bars from (the stand-in for) Yahoo."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

from bellwether.market.declared import calendar_of
from bellwether.spec.market import Market
from e2e.days import Day
from harness.nats import free_port
from harness.yahoo.planted import on_calendar, planted, standing_in_beside
from harness.yahoo.shares import EXCHANGES
from integration.local.test_memory import FORBIDDEN, IMPORTED

pytestmark = pytest.mark.integration

SYSTEM = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: asx}
spec:
  market: {calendar: XASX}
  symbols: [BHP.AX, CBA.AX]
  data: {provider: yahoo, yahoo: {historyYears: 4}}
"""
SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "asx-banks.yaml"
PREPARE = timedelta(seconds=45)
"""So long before the minute of its open the session is declared: an edit of a system that runs, which is in force at
once, so that no start has to be done by then."""
DEADLINE = 240.0
T = TypeVar("T")
REACHED = re.compile(r"export (BELLWETHER_PROXY)=(\S+) (BELLWETHER_CA_BUNDLE)=(\S+)")


def eventually(found: Callable[[], T | None], said: Path) -> T:
    end = time.monotonic() + DEADLINE
    while not (match := found()):
        assert time.monotonic() < end, f"not within {DEADLINE:g} s; it said: {said.read_text()}"
        time.sleep(0.1)
    return match


@pytest.fixture
def reach(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Run the stand-in as a person does; give the variables that it says."""
    file, said = tmp_path / "asx.yaml", tmp_path / "yahoo.said"
    file.write_text(SYSTEM)
    command = [sys.executable, "-m", "harness.yahoo", str(file), "--port", "0", "--folder", str(tmp_path / "ca")]
    with said.open("wb") as out:
        yahoo = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        found = eventually(lambda: REACHED.search(said.read_text()), said).groups()
        yield {found[0]: found[1], found[2]: found[3]}
    finally:
        yahoo.terminate()
        yahoo.wait(DEADLINE)


def test_history_arrives_a_model_learns_from_it_and_the_process_that_stays_imports_nothing_large(
    tmp_path: Path, reach: dict[str, str]
) -> None:
    said, imports = tmp_path / "said", tmp_path / "imports"
    # The option holds for this process alone: the children that ask and train do not inherit it.
    command = [sys.executable, "-X", "importtime", "-m", "bellwether", "run", str(tmp_path / "asx.yaml")]
    command += ["--port", str(free_port()), "--data", str(tmp_path / "state")]
    with said.open("wb") as out, imports.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | reach | {"COLUMNS": "200"})
    try:
        eventually(lambda: re.search(r"^  bars        BHP\.AX CBA\.AX: 2\d{3}-", said.read_text(), re.MULTILINE), said)
        eventually(lambda: re.search(r"^  model       direction-lr", said.read_text(), re.MULTILINE), said)
        assert "none" not in said.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
    imported = set(IMPORTED.findall(imports.read_text()))
    assert "bellwether.market_data.yahoo.bars" in imported, "the list of imports is not whole"
    # Asked for and answered that there is none: the question is listed, nothing below it is.
    imported -= {"aiohttp", "pydantic.v1"}
    large = {name for name in imported for root in FORBIDDEN if name == root or name.startswith(root + ".")}
    assert not large, f"imported in a process that runs all services: {sorted(large)}"


def the_sample(day: Day, **override: str | bool) -> dict[str, Any]:
    """Return the sample with today as it is declared, and the tasks close around it."""
    document: dict[str, Any] = yaml.safe_load(SAMPLE.read_text("utf-8"))
    spec = document["spec"]
    spec["market"] = {"calendar": day.exchange, "overrides": [{"date": str(day.date), **override}]}
    spec["trading"]["currency"] = EXCHANGES[day.exchange][2]
    spec["data"]["yahoo"] = {"delay": "5s"}
    for task in spec["tasks"]:
        task["offset"] = "20s" if task["anchor"] == "close" else "-20s"
    return document


@contextmanager
def run(folder: Path, document: dict[str, Any], reach: dict[str, str]) -> Iterator[Path]:
    """Run a system; give the file of what it says."""
    said, file = folder / "said", folder / "asx.yaml"
    file.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "bellwether", "run", str(file)]
    command += ["--port", str(free_port()), "--data", str(folder / "state")]
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | reach | {"COLUMNS": "200"})
    try:
        yield said
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()


def declare(state: Path, spec: dict[str, Any]) -> None:
    """Edit the system that runs; return once it is in force."""
    reported = json.loads((state / "run.json").read_text())
    url, headers = f"{reported['url']}/v1/declaration?wait=30", {"Authorization": f"Bearer {reported['token']}"}
    edited = httpx.put(url, json={"generation": 2, "spec": spec}, headers=headers, trust_env=False, timeout=DEADLINE)
    assert edited.status_code == 200, edited.text
    assert edited.json()["missing"] == []


def filled_on(ledger: Path, day: Day) -> list[tuple[str]]:
    """Return the orders that were filled in a day's session."""
    with closing(sqlite3.connect(ledger)) as connection:
        found = connection.execute(
            "select order_id from orders where status = 'filled' and session = ?", (str(day.date),)
        )
        return found.fetchall()


@pytest.mark.timeout(900)
def test_the_sample_fills_orders_of_a_session_that_an_override_opens(tmp_path: Path) -> None:
    day = Day.today(("XASX", "XNYS"), range(4, 23))
    document = the_sample(day, closed=True)
    with standing_in_beside(tmp_path / "ca") as yahoo:
        reach = {"BELLWETHER_PROXY": yahoo.url, "BELLWETHER_CA_BUNDLE": str(yahoo.authority)}
        calendar = calendar_of(Market.model_validate(document["spec"]["market"]))
        yahoo.shares = planted(document["spec"]["symbols"], calendar, datetime.now(UTC))
        with run(tmp_path, document, reach) as said:
            eventually(lambda: re.search(r"^  model       direction-lr", said.read_text(), re.MULTILINE), said)
            opens = (datetime.now(UTC) + PREPARE).replace(second=0, microsecond=0) + timedelta(minutes=1)
            document = the_sample(day, open=day.clock(opens), close=day.clock(opens + timedelta(minutes=1)))
            on_calendar(yahoo, calendar_of(Market.model_validate(document["spec"]["market"])))
            declare(tmp_path / "state", document["spec"])
            (ledger,) = (tmp_path / "state").rglob("ledger.db")
            eventually(lambda: filled_on(ledger, day), said)
