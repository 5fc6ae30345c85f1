"""A real browser without a window."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def dumped(url: str, profile: Path, *options: str, milliseconds: int) -> subprocess.CompletedProcess[str]:
    """Open a page; its document after so many milliseconds of the page's own time is in `stdout`.

    Skips the test on a machine without a browser.
    """
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("there is no Chromium to look with")
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *options),
        *(f"--virtual-time-budget={milliseconds}", "--dump-dom", url),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
