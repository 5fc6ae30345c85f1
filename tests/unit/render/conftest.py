"""Systems to render, small and whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bellwether.render.kubernetes import Manifest, RenderContext, derive_keyring, render
from bellwether.spec.models import TradingSystem

SEED = b"not secret: a seed for tests only"
UID = "0d9b5a52-8a0c-4f0e-9d53-6d3f1f6a2b11"
IMAGE = "registry.example/bellwether/services:1.2.3"

Build = Callable[..., TradingSystem]


def build(**spec: Any) -> TradingSystem:
    """Return a replay system; `spec` fields are merged in."""
    document = {
        "metadata": {"name": "demo", "namespace": "trading", "uid": UID, "generation": 3},
        "spec": {
            "symbols": ["AAPL", "MSFT"],
            "data": {"provider": "replay"},
            "clock": {"mode": "replay", "from": "2009-01-02"},
            **spec,
        },
    }
    return TradingSystem.model_validate(document)


def objects(system: TradingSystem, context: RenderContext) -> dict[tuple[str, str], Manifest]:
    return {(each["kind"], each["metadata"]["name"]): each for each in render(system, context)}


@pytest.fixture(scope="session")
def context() -> RenderContext:
    return RenderContext(image=IMAGE, keyring=derive_keyring(SEED, UID))


SCHEDULED: dict[str, Any] = {
    "clock": {"mode": "live"},
    "data": {"provider": "csv", "csv": {"directory": "/srv/bars"}},
    "backup": {
        "locations": [{"name": "disk", "kind": "folder", "path": "/srv/repo", "secretRef": {"name": "repo"}}],
        "schedule": {},
    },
}
"""A live declaration whose backups are to be made by themselves."""

AT_IG: dict[str, Any] = {
    "training": {"gate": {"mode": "enforce"}},
    "trading": {
        "mode": "ig-demo",
        "brokerSecretRef": {"name": "ig-demo-account"},
        "ig": {"exclusiveAccount": True},
        "instruments": {"AAPL": {"epic": "UA.D.AAPL.CASH.IP"}},
    },
}
"""A declaration that trades at IG."""
