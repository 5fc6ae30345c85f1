"""The old script's command line, without a system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "compatibility" / "run_predictions.py"


@pytest.mark.parametrize(
    ("words", "code", "reported"), [(["--help"], 0, "usage:"), (["--all"], 2, "usage:"), ([], 1, "")]
)
def test_an_option_is_no_share_and_a_system_that_is_unreachable_is_said(
    words: list[str], code: int, reported: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"TRADING_SOCKET_DIR": str(tmp_path)},
    )
    assert done.returncode == code, done.stderr
    assert reported in done.stdout
    assert "Traceback" not in done.stderr
