"""A replay's report as the gateway shows it, in a real browser, wide and narrow: it asks nothing of any other host."""

from __future__ import annotations

import asyncio
import gzip
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bellwether.messages.parts import FilePart
from bellwether.reporting.page import replay_page
from bellwether.reporting.replay import compose_replay
from harness.browser import ALONE, asked_hosts, dumped
from harness.proxied import proxied
from harness.until import DEADLINE
from unit.gateway.conftest import TOKEN, opened
from unit.gateway.samples import ANSWERS, Seen
from unit.reporting.test_replay_page import replay_rows

pytestmark = pytest.mark.integration

PLANTED = '<!doctype html><title>x</title><img src="http://planted.invalid/x.png">'


def look(base: str, page: str, folder: Path, size: str) -> tuple[str, set[str]]:
    """Return what a browser made of the gateway's page, and which hosts it asked."""
    log = folder / "net.json"
    client = httpx.Client(
        base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=DEADLINE
    )
    with client, proxied(client) as url:
        options = (f"--window-size={size}", f"--log-net-log={log}", ALONE)
        done = dumped(f"{url}{page}", folder / "profile", *options, milliseconds=5000)
    return done.stdout, asked_hosts(log)


@pytest.mark.parametrize("size", ["1280,900", "390,844"])
async def test_the_report_opens_and_no_other_host_is_asked(tmp_path: Path, size: str) -> None:
    packed = {"sizes": gzip.compress(replay_page(compose_replay(replay_rows())).encode())}
    packed["planted"] = gzip.compress(PLANTED.encode())

    def part(asked: dict[str, Any]) -> FilePart:
        content = packed[asked["replay"]]
        return FilePart(content, len(content))

    answers = {**ANSWERS, "scheduler": {**ANSWERS["scheduler"], "get_replay_report": part}}
    async with opened(tmp_path / "gateway", answers, Seen()) as gateway:
        see = partial(look, str(gateway.http.base_url), size=size)
        shown, hosts = await asyncio.to_thread(see, "/reports/replays/sizes", tmp_path)
        assert "Replay of &lt;banks&gt;, 2009-01-05" in shown
        assert "<svg" in shown
        assert hosts == set()
        # What a page would ask of another host, the gateway's policy keeps it from.
        _, hosts = await asyncio.to_thread(see, "/reports/replays/planted", tmp_path)
        assert hosts == set()


def test_a_host_that_a_page_asks_is_seen(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PLANTED)
    log = tmp_path / "net.json"
    options = (f"--log-net-log={log}", ALONE)
    dumped((tmp_path / "page.html").as_uri(), tmp_path / "profile", *options, milliseconds=3000)
    assert "planted.invalid" in asked_hosts(log)
