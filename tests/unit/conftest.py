"""What holds for every unit test: no process is started to check a file, and the command line is built once."""

from __future__ import annotations

import contextlib
import io
import subprocess
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main

from bellwether.cli.main import main


def _checked(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
    """Return what a process of its own would write and end with."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command[3:])
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


_built = cache(typer.main.get_command)


@pytest.fixture(autouse=True)
def commands_are_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have typer keep what it makes of an app: else ninety commands are made for each one typed."""
    monkeypatch.setattr(typer.main, "get_command", _built)


@pytest.fixture(autouse=True)
def files_are_checked_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `load_system` check a file here: a process of its own takes a second each time."""
    monkeypatch.setattr("bellwether.local.files.subprocess", SimpleNamespace(run=_checked))
