"""The dashboard in a real browser, with the gateway's own answers."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from bellwether.topology import SERVICES
from harness.browser import dumped
from unit.gateway.conftest import opened
from unit.gateway.samples import ANSWERS, SYSTEM, Seen

pytestmark = pytest.mark.integration


async def test_the_page_shows_account_services_and_what_is_wrong(tmp_path: Path) -> None:
    spec = SYSTEM.spec.model_copy(update={"gateway": SYSTEM.spec.gateway.model_copy(update={"open_reads": True})})
    async with opened(tmp_path, ANSWERS, Seen(), SYSTEM.model_copy(update={"spec": spec})) as gateway:
        url = str(gateway.stranger.base_url)
        done = await asyncio.to_thread(dumped, url, tmp_path / "profile", milliseconds=8000)
    for words in (
        "100,136.40 USD",
        "paper-trading",
        "warning: memory of system is 85 % of the container's limit",
    ):
        assert words in done.stdout, done.stderr
    # All services are of this process, whose memory counts once.
    services = re.search(r'id="services".*?</table>', done.stdout, re.DOTALL)
    assert services is not None, done.stdout
    assert len(re.findall(r"\d MiB<", services[0])) == 1
    first = next(iter(SERVICES))
    assert services[0].count(f">with {first}<") == services[0].count(">healthy<") - 1
