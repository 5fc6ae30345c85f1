"""`bellwether replay` ended by Ctrl-C says so by its code, and the same command goes on from there."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from harness.replayed import until
from harness.until import DEADLINE

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "replay.yaml"
COMMAND = [sys.executable, "-m", "bellwether", "replay", str(SAMPLE), "--to", "2010-12-31", "-o", "json"]
SESSIONS = 504
"""Of XNYS from 2009-01-02 to 2010-12-31: so many that a test which waits for a processor still finds it at work."""


def closed(data: Path) -> int:
    """Return how many sessions' books were closed; none before there is a ledger."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{data}/ledger.db?mode=ro", uri=True)) as ledger:
        return int(ledger.execute("SELECT count(*) FROM equity").fetchone()[0])
    return 0


def test_it_ends_with_130_and_goes_on_to_the_whole_sum(trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(trained, data / "ml-model")
    command = [*COMMAND, "--data", str(data)]

    async def has_started() -> bool:
        return closed(data) > 0

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            asyncio.run(until(has_started))
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert (process.returncode, said[0]) == (130, "")
    assert said[1].endswith("interrupted; the same command goes on from here\n")
    before = closed(data)
    assert 0 < before < SESSIONS
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert (found["sessions"], found["decisions"]) == (SESSIONS, SESSIONS * 4 * 2)
    assert found["ledger_violations"] == []


def test_the_rate_of_a_replay_that_is_over_at_the_first_look_is_by_the_time_that_it_took(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "ml-model")
    command = [*COMMAND, "--data", str(tmp_path), "--to", "2009-01-06"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert found["seconds"] > 0
    assert found["decisions_per_second"] == pytest.approx(24 / found["seconds"], rel=0.05)
