"""The live scheduler that most tests begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from harness.clock import Present
from integration.scheduling.live import OPEN, Live, Maker, live
from integration.trading.peers import Peers


@pytest.fixture
async def scheduler(tmp_path: Path) -> AsyncIterator[Live]:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=True)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        yield one
