"""`bellwether run` on bars from (the stand-in for) Yahoo."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
DEADLINE = 200.0
REACHED = re.compile(r"export (BELLWETHER_PROXY)=(\S+) (BELLWETHER_CA_BUNDLE)=(\S+)")


def eventually(found: Callable[[], re.Match[str] | None], said: Path) -> re.Match[str]:
    end = time.monotonic() + DEADLINE
    while (match := found()) is None:
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
        yahoo.wait(30)


def test_history_arrives_a_model_learns_from_it_and_the_process_that_stays_imports_nothing_large(
    tmp_path: Path, reach: dict[str, str]
) -> None:
    said, imports = tmp_path / "said", tmp_path / "imports"
    # The option holds for this process alone: the children that ask and train do not inherit it.
    command = [sys.executable, "-X", "importtime", "-m", "bellwether", "run", str(tmp_path / "asx.yaml")]
    command += ["--port", "18470", "--data", str(tmp_path / "state")]
    with said.open("wb") as out, imports.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | reach | {"COLUMNS": "200"})
    try:
        eventually(lambda: re.search(r"^  bars        BHP\.AX CBA\.AX: 2\d{3}-", said.read_text(), re.MULTILINE), said)
        eventually(lambda: re.search(r"^  model       direction-lr", said.read_text(), re.MULTILINE), said)
        assert "none" not in said.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
    imported = set(IMPORTED.findall(imports.read_text()))
    assert "bellwether.market_data.yahoo.bars" in imported, "the list of imports is not whole"
    imported.discard("aiohttp")
    large = {name for name in imported for root in FORBIDDEN if name == root or name.startswith(root + ".")}
    assert not large, f"imported in a process that runs all services: {sorted(large)}"
