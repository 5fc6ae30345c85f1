"""Fixtures of the tests beside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integration.trading.peers import Peers
from integration.trading.trader import Trader, started


@pytest.fixture
async def trader(tmp_path: Path) -> AsyncIterator[Trader]:
    peers = Peers()
    async with started(tmp_path, peers) as system:
        yield Trader(system, peers)
