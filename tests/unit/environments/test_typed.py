"""The tools that pages and the Makefile name: what they say to --help and to what is wrongly typed."""

from __future__ import annotations

import asyncio
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from environments.machine import ROOT

PAGES = [ROOT / name for name in ("Makefile", "README.md", "CONTRIBUTING.md")]
STARTED = re.compile(r"(?:python|\$\(PY\)) -m ([a-z.]+[a-z])")
NAMED = {name for page in [*PAGES, *(ROOT / "docs").glob("*.md")] for name in STARTED.findall(page.read_text("utf-8"))}
# Another test may have imported what is run here as a program.
pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules after import:RuntimeWarning")
TOOLS = sorted(name for name in NAMED if (ROOT / "tools" / name.partition(".")[0]).is_dir())


def started(words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a tool in this process, where it can start nothing and write nothing; return its exit code."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("it starts something")

    for owner, name in ((subprocess, "Popen"), (asyncio, "run"), (Path, "write_text")):
        monkeypatch.setattr(owner, name, refuse)
    tool, *arguments = words.split()
    monkeypatch.setattr(sys, "argv", [f"python -m {tool}", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(tool, run_name="__main__")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_every_tool_is_found() -> None:
    assert {"soak", "soak.gate", "soak.backups", "bench", "gate", "generate", "environments", "devcluster"} <= {*TOOLS}


@pytest.mark.parametrize("tool", TOOLS)
def test_help_says_what_it_does_and_starts_nothing(
    tool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(f"{tool} --help", monkeypatch) == 0
    written = capsys.readouterr()
    usage, *rest = [line for line in written.out.splitlines() if line.strip()]
    assert usage.lower().startswith(f"usage: python -m {tool} ")
    assert any(len(line.split()) >= 4 for line in rest), "it says in no sentence what it does"
    assert written.err == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *((f"{tool} --bogus", "--bogus") for tool in TOOLS),
        ("soak --process-kills many", "--process-kills"),
        ("soak.backups many", "seeds"),
        ("soak.gate 20 -1", "-1"),
        ("bench --only nothing", "no section 'nothing'"),
        ("environments sideways", "no such command 'sideways'"),
        ("devcluster up --level house", "'--level': 'house' is not one of"),
    ],
)
def test_what_is_wrongly_typed_is_one_line_and_ends_with_2(
    words: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(words, monkeypatch) == 2
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert line.startswith("error: ")
    assert expected in line
