from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.replayed import train_once


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the registry's folder with the model of the replay, made once."""
    return asyncio.run(train_once(tmp_path_factory.mktemp("trained")))
