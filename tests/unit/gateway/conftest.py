from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bellwether.gateway.service import create
from bellwether.gateway.settings import GatewaySettings
from bellwether.spec.models import TradingSystem
from harness.http import plain
from harness.system import System, running
from unit.gateway.samples import ANSWERS, SYSTEM, Seen, fake

TOKEN = "a-token-for-tests-only"
IN_MODULES_LOOP = pytest.mark.asyncio(loop_scope="module")
"""For tests of `standing`: it lives in that loop."""
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Opened:
    """A gateway over HTTP with made-up peers behind it."""

    system: System
    http: httpx.AsyncClient
    """Of somebody with the gateway's token."""
    stranger: httpx.AsyncClient
    """Of somebody without."""
    answers: dict[str, dict[str, Any]]
    seen: Seen


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    given: dict[str, dict[str, Any]],
    seen: Seen,
    declaration: TradingSystem = SYSTEM,
    *,
    streams: int = 32,
) -> AsyncIterator[Opened]:
    """Give a gateway with peers that answer so."""
    answers = {name: dict(of_one) for name, of_one in given.items()}
    settings = GatewaySettings(host="127.0.0.1", port=0, token=TOKEN, streams=streams)
    builds = {name: fake(of_one, seen) for name, of_one in answers.items()}
    builds["gateway"] = partial(create, settings=settings)
    async with running(builds, data_dir=folder, declaration=declaration) as system:
        port = (await system.call("gateway", "health"))["http_port"]
        async with plain(port, TOKEN) as http, plain(port) as stranger:
            yield Opened(system, http, stranger, answers, seen)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(tmp_path, ANSWERS, Seen()) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opened]:
    """Give one gateway to all tests of a module that leave it as it is."""
    async with opened(tmp_path_factory.mktemp("standing"), ANSWERS, Seen()) as found:
        yield found
