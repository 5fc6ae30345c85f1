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
def quiet(tmp_path_factory: pytest.TempPathFactory, trained: Path, winter: TradingSystem) -> tuple[Path, Evidence]:
    """Return the data folder that those days leave when nothing disturbs them, and what is in it.

    They run over a MemoryBus, as `bellwether replay` runs them.
    """
    folder = tmp_path_factory.mktemp("expected")
    return folder / "data", asyncio.run(undisturbed(folder, trained, winter, group_commit=True))


@pytest.fixture(scope="session")
def expected(quiet: tuple[Path, Evidence]) -> Evidence:
    """Return what those days leave when nothing disturbs them."""
    return quiet[1]
