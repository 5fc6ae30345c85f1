from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bellwether.spec.models import TradingSystem
from soak.evidence import Evidence
from soak.replays import days, undisturbed

DAYS = ("2009-01-02", "2009-02-27")


@pytest.fixture(scope="session")
def winter() -> TradingSystem:
    """Return the replay of the first 39 sessions of 2009."""
    return days(*DAYS)


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory, trained: Path, winter: TradingSystem) -> Evidence:
    """Return what those days leave when nothing disturbs them, over a MemoryBus, as `bellwether replay` runs them."""
    folder = tmp_path_factory.mktemp("expected")
    return asyncio.run(undisturbed(folder, trained, winter, group_commit=True))
