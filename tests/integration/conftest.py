from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness import shared
from harness.replayed import train_once


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # the one process that outlives all workers
        shared.take_away()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the registry's folder with the model of the replay, made once."""
    return asyncio.run(train_once(tmp_path_factory.mktemp("trained")))
