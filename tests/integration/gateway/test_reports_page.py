"""The page of session reports in a real browser, with the gateway's own answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.browser import dumped
from unit.gateway.conftest import opened
from unit.gateway.samples import ANSWERS, SYSTEM, Seen

pytestmark = pytest.mark.integration


async def test_a_report_is_drawn_with_what_was_due_refused_and_used(tmp_path: Path) -> None:
    spec = SYSTEM.spec.model_copy(update={"gateway": SYSTEM.spec.gateway.model_copy(update={"open_reads": True})})
    async with opened(tmp_path, ANSWERS, Seen(), SYSTEM.model_copy(update={"spec": spec})) as gateway:
        url = f"{gateway.stranger.base_url}/reports#2009-01-05"
        done = await asyncio.to_thread(dumped, url, tmp_path / "profile", milliseconds=8000)
    for words in (
        "Session 2009-01-05 of banks",
        "audit-20090105",
        "refused, NOTHING_TO_SELL: the symbol is not held",
        "“Apple recalls &lt;everything&gt;” (Wire, -0.60)",
        "Equity 100,500.00 USD",
        "bootstrap over blocks of 5 sessions",
    ):
        assert words in done.stdout, done.stderr
