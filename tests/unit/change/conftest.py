"""Live and replayed systems, and the instants of a week at the Australian exchange."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bellwether.change.layouts import laid_out
from bellwether.change.plan import plan
from bellwether.change.predicted import Plan
from bellwether.change.world import Installation, supposed
from bellwether.render.kubernetes import Manifest, RenderContext
from bellwether.render.kubernetes.context import period_of
from bellwether.spec.models import TradingSystem

UID = "0d9b5a52-8a0c-4f0e-9d53-6d3f1f6a2b11"
INSTALLED = Installation("registry.example/bellwether/services:1.2.3")
OPEN = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
"""A Monday at 12:30 in Sydney: a session is under way."""
CLOSE = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
"""When that one closes."""
CLOSED = datetime(2026, 11, 23, 11, 30, tzinfo=UTC)
"""In the evening of the same day."""

LIVE = {"market": {"calendar": "XASX"}, "symbols": ["CBA.AX", "ANZ.AX"]}
REPLAY = {
    "market": {"calendar": "XNYS"},
    "symbols": ["AAPL", "MSFT"],
    "data": {"provider": "replay"},
    "clock": {"mode": "replay", "from": "2009-01-02"},
}


def live(**spec: Any) -> TradingSystem:
    """Return a live system at the Australian exchange; `spec` fields are put in."""
    return _system({**LIVE, **spec})


def replayed(**spec: Any) -> TradingSystem:
    return _system({**REPLAY, **spec})


def _system(spec: dict[str, Any]) -> TradingSystem:
    metadata = {"name": "demo", "namespace": "trading", "uid": UID, "generation": 3}
    return TradingSystem.model_validate({"metadata": metadata, "spec": spec})


def context(system: TradingSystem, now: datetime = CLOSED, installation: Installation = INSTALLED) -> RenderContext:
    return RenderContext(
        image=installation.image,
        keyring=installation.keyring,
        image_pull_policy=installation.image_pull_policy,
        log_level=installation.log_level,
        period=period_of(system.spec, now),
    )


def rendered(system: TradingSystem, now: datetime = CLOSED, installation: Installation = INSTALLED) -> list[Manifest]:
    """Return what the operator makes of a system at an instant."""
    return laid_out(system, context(system, now, installation), {})


def stored(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return objects as a cluster gives them after an apply, without the Secrets that nobody may read."""
    return [_filled(supposed(each).raw) for each in manifests if each["kind"] != "Secret"]


def _filled(raw: Manifest) -> Manifest:
    """Return an object with some of what an API server adds."""
    metadata = {**raw["metadata"], "uid": f"uid-of-{raw['metadata']['name']}", "resourceVersion": "7"}
    spec = {**raw["spec"], "filledIn": True} if "spec" in raw else None
    return {**raw, "metadata": metadata, **({} if spec is None else {"spec": spec})}


def planned(
    before: TradingSystem | None,
    after: TradingSystem,
    now: datetime = CLOSED,
    observed: list[Manifest] | None = None,
    installation: Installation = INSTALLED,
) -> Plan:
    return plan(before, after, now, installation, observed)


def reported(found: Plan) -> set[str]:
    """Return the steps of a plan in words, those that wait marked with a trailing `later`."""
    return {f"{each.action} {each.kind} {each.name}{' later' if each.wait else ''}" for each in found.steps}
