"""What a running compact process must not have in memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.nats import free_port

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "replay.yaml"
FORBIDDEN = (
    "pandas",
    "exchange_calendars",
    "yfinance",
    "sklearn",
    "alembic",
    "requests",
    "rich",
    "aiohttp",
    "pydantic.v1",
    "scipy",
    "skops",
    "skl2onnx",
    "bokeh_sampledata",
    "cel",
    "sqlalchemy.orm",
    "kubernetes",
    "kopf",
)
DEADLINE = 150.0
IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
FILLED = re.compile(r"^  20..-..-..  .* [1-9]\d* fills$", re.MULTILINE)


def test_a_running_system_that_has_traded_has_not_imported_what_is_large(tmp_path: Path) -> None:
    said, imports = tmp_path / "said", tmp_path / "imports"
    # The option holds for this process alone: children (training, checks) do not inherit it.
    command = [sys.executable, "-X", "importtime", "-m", "bellwether", "run", str(SAMPLE)]
    command += ["--port", str(free_port()), "--data", str(tmp_path / "state")]
    with said.open("wb") as out, imports.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | {"COLUMNS": "200"})
    try:
        end = time.monotonic() + DEADLINE
        while not FILLED.search(said.read_text()):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end, f"no fill in {DEADLINE:g} s; it said: {said.read_text()}"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
    imported = set(IMPORTED.findall(imports.read_text()))
    assert {"numpy", "onnxruntime", "fastapi", "sqlalchemy", "nats"} <= imported, "the list of imports is not whole"
    # nats-py asks for aiohttp, FastAPI for pydantic.v1, and both hear that there is none: only the question is listed.
    imported -= {"aiohttp", "pydantic.v1"}
    large = {name for name in imported for root in FORBIDDEN if name == root or name.startswith(root + ".")}
    assert not large, f"imported in a process that runs all services: {sorted(large)}"
