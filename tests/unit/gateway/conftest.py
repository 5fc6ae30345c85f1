from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bellwether.gateway.service import create
from bellwether.gateway.settings import GatewaySettings
from bellwether.runtime.call import Call
from harness.system import System, running
from unit.gateway.samples import ANSWERS, SYSTEM, fake

TOKEN = "a-token-for-tests-only"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Opened:
    """A gateway over HTTP with made-up peers behind it."""

    system: System
    http: httpx.AsyncClient
    answers: dict[str, dict[str, Any]]
    seen: list[tuple[str, Call]] = field(default_factory=list)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Opened]:
    answers = {name: dict(given) for name, given in ANSWERS.items()}
    seen: list[tuple[str, Call]] = []
    settings = GatewaySettings(host="127.0.0.1", port=0, token=TOKEN)
    builds = {name: fake(given, seen) for name, given in answers.items()}
    builds["gateway"] = partial(create, settings=settings)
    async with running(builds, data_dir=tmp_path, declaration=SYSTEM) as system:
        health = await system.call("gateway", "health")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{health['http_port']}", trust_env=False) as http:
            yield Opened(system, http, answers, seen)
