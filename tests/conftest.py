"""What holds for every test: long files come first, and drawn examples are judged by what they find, never by how busy
the machine is."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from harness.order import rank

settings.register_profile("bellwether", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bellwether")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.path))


def pytest_collection_finish() -> None:
    """Leave modules and tests, which all stay, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def level_of_logs() -> Iterator[None]:
    """Set the root logger's level back: a command that runs in the test's own process sets it for the whole process."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
