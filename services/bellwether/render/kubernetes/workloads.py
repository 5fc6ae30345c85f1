"""StatefulSets and Deployments: what keeps the pods running."""

from __future__ import annotations

from typing import Any

from bellwether.render.kubernetes.context import Manifest, RenderContext
from bellwether.render.kubernetes.names import NATS, SYSTEM, child_name, metadata, selector
from bellwether.render.kubernetes.pods import compact_pod, nats_pod, service_pod
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES

_HISTORY = 3


def _stateful_set(system: TradingSystem, component: str, replicas: int, template: dict[str, Any]) -> Manifest:
    """Return a StatefulSet of at most one pod.

    Its volume is named in the pod template and made by the operator, not by a claim template: that one could never be
    changed afterwards, and the volume has to be there before (restored) or stay behind (retained).
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(system, component, child_name(system, component)),
        "spec": {
            "podManagementPolicy": "Parallel",
            "replicas": replicas,
            "revisionHistoryLimit": _HISTORY,
            "selector": {"matchLabels": selector(system, component)},
            "serviceName": child_name(system, NATS),
            "template": template,
            "updateStrategy": {"type": "RollingUpdate"},
        },
    }


def _deployment(system: TradingSystem, component: str, replicas: int, template: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(system, component, child_name(system, component)),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": _HISTORY,
            "selector": {"matchLabels": selector(system, component)},
            "strategy": {"type": "RollingUpdate"},
            "template": template,
        },
    }


def stateful_components(system: TradingSystem) -> list[str]:
    """Return the components whose pod has a volume, and therefore exactly one replica."""
    if system.spec.profile == "compact":
        return [SYSTEM]
    return [NATS, *(row.name for row in SERVICES.values() if row.needs_volume)]


def replicas_of(system: TradingSystem, component: str) -> int:
    """Return how many pods a component is to have: none where the declaration switches the service off."""
    if system.spec.profile == "compact":
        return 1
    off = any(name == component and not override.enabled for name, override in system.spec.services.items())
    return 0 if off else 1


def workloads(system: TradingSystem, context: RenderContext, nats_config: str) -> list[Manifest]:
    """Return what keeps the system's pods running; NATS comes first."""
    if system.spec.profile == "compact":
        return [_stateful_set(system, SYSTEM, 1, compact_pod(system, context, nats_config))]
    found = [_stateful_set(system, NATS, replicas_of(system, NATS), nats_pod(system, context, nats_config))]
    for row in SERVICES.values():
        build = _stateful_set if row.needs_volume else _deployment
        found.append(build(system, row.name, replicas_of(system, row.name), service_pod(system, context, row.name)))
    return found
