"""A real browser without a window."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ALONE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
"""The option by which a browser reaches this machine and no other."""
_NO_PAGE = "not an origin"
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
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def asked_hosts(log: Path) -> set[str]:
    """Return the hosts that pages asked for anything, by the browser's own log of the network (`--log-net-log=`).

    What the browser asks on its own account (updates, its clock) has no page as its origin and is left out.
    """
    found: set[str] = set()
    for event in json.loads(log.read_text("utf-8"))["events"]:
        reported = event.get("params") or {}
        if "url" not in reported or reported.get("initiator", _NO_PAGE) == _NO_PAGE:
            continue
        host = urlsplit(reported["url"]).hostname
        if host is not None:
            found.add(host)
    return found
