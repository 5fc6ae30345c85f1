"""A run that is ended for a restore stays ended, also where something would start it again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from bellwether.local.detached import holder, running
from bellwether.local.restoring import stopped
from bellwether.local.state import RunDirectory

pytestmark = pytest.mark.integration

CHILD = """
import json, os, signal, sys
from pathlib import Path
from bellwether.local.state import RunDirectory, opened
root = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
with opened(root, fresh=False):
    with (root / "starts").open("a") as starts:
        starts.write("x")
    reported = {"url": "http://127.0.0.1:9", "token": "t", "pid": os.getpid()}
    RunDirectory(root).start_file.write_text("{}")
    RunDirectory(root).run_file.write_text(json.dumps(reported))
    print("up", flush=True)
    while True:
        signal.pause()
"""
SUPERVISOR = """
import sys
from pathlib import Path
from bellwether.local.detached import supervise
root = Path(sys.argv[2])
sys.exit(supervise([sys.executable, "-c", sys.argv[1], sys.argv[2]], [], root, print))
"""


def test_a_supervised_run_that_ends_badly_is_not_started_again(tmp_path: Path) -> None:
    root, said = tmp_path / "run", list[str]()
    command = [sys.executable, "-c", SUPERVISOR, CHILD, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "up\n"
        assert running(root) is not None
        asyncio.run(stopped(root, "20261127T211500Z", said.append))
        assert holder(root) is None
        assert supervisor.wait() == 1
    assert (RunDirectory(root).root / "starts").read_text() == "x"
    assert said[0].startswith("the halt was not acknowledged")
    assert said[1:] == ["the run has ended"]


def test_where_nothing_runs_nothing_is_ended(tmp_path: Path) -> None:
    said: list[str] = []
    asyncio.run(stopped(tmp_path, "20261127T211500Z", said.append))
    assert said == []
