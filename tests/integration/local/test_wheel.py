"""The wheel: one command installs `bellwether` with all that it needs, one removes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ""} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_command_installs_it_and_one_removes_it(tmp_path: Path) -> None:
    run(BIN / "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("bellwether-*.whl")
    tools = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    # The versions that the project is tested with, wherever its packages are taken from.
    pins = ROOT / "requirements" / "training.txt"
    run(BIN / "uv", "tool", "install", "--quiet", "--constraints", pins, "--python", sys.executable, wheel, **tools)
    program = tmp_path / "bin" / "bellwether"
    version = wheel.name.split("-")[1]
    assert run(program, "--version", **tools) == f"bellwether {version}\n"
    sample = ROOT / "manifests" / "samples" / "replay.yaml"
    assert run(program, "validate", sample, **tools).endswith("is valid\n")
    # The model's recipe, the calendar's tables and the page come with it.
    where = run(tmp_path / "tools/bellwether/bin/python", "-c", LOOK, **tools)
    assert where.split() == ["direction-lr.yaml", "XASX.json", "index.html"]
    run(BIN / "uv", "tool", "uninstall", "--quiet", "bellwether", **tools)
    assert not program.exists()
    assert not (tmp_path / "tools" / "bellwether").exists()


LOOK = """
from pathlib import Path
import bellwether
from bellwether.training.recipe import find_recipe
package = Path(bellwether.__file__).parent
print(find_recipe("direction-lr").name)
print((package / "market/tables/XASX.json").name if (package / "market/tables/XASX.json").exists() else "no table")
print((package / "gateway/static/index.html").name if (package / "gateway/static/index.html").exists() else "no page")
"""
