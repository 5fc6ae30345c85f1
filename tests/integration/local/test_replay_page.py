"""The page of a replay in a real browser: as wide as a desk and as narrow as a phone, with nothing asked of anybody."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from bellwether.reporting.page import replay_page
from bellwether.reporting.replay import compose_replay
from harness.browser import dumped
from unit.reporting.test_replay_page import replay_rows

pytestmark = pytest.mark.integration

# The page may run no script, so the one that measures stands around it.
FRAMES = """<!doctype html><body><pre id="seen"></pre>
<iframe src="index.html" width="1100" height="900"></iframe><iframe src="index.html" width="390" height="800"></iframe>
<script>addEventListener("load", () => { seen.textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(
  ({ contentDocument: page, contentWindow: shown }) => ({
    width: page.documentElement.scrollWidth, shown: shown.innerWidth, heading: page.querySelector("h1").textContent,
    charts: [...page.querySelectorAll("svg")].map((one) => Math.round(one.getBoundingClientRect().width)),
    asked: shown.performance.getEntriesByType("resource").map((one) => one.name) }))); });</script>"""


def test_the_page_fits_wide_and_narrow_windows_and_asks_nothing_of_another_host(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(replay_page(compose_replay(replay_rows())))
    (tmp_path / "frames.html").write_text(FRAMES)
    options = ("--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND")
    done = dumped((tmp_path / "frames.html").as_uri(), tmp_path / "profile", *options, milliseconds=5000)
    reported = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert reported is not None, done.stderr
    wide, narrow = json.loads(unescape(reported.group(1)))
    for seen in (wide, narrow):
        assert seen["heading"].startswith("Replay of <banks>, 2009-01-05")
        assert seen["asked"] == []
        assert seen["width"] <= seen["shown"], "nothing hangs over the side"
        assert len(seen["charts"]) >= 2
        assert all(0 < width <= seen["shown"] for width in seen["charts"])
    assert wide["charts"][0] > 2 * narrow["charts"][0]
