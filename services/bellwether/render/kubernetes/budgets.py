"""Disruption budgets: whether a node may be drained of the system's pods now."""

from __future__ import annotations

from bellwether.render.kubernetes.context import Manifest, RenderContext, child_name, metadata, selector
from bellwether.spec.models import TradingSystem


def disruption_budget(system: TradingSystem, context: RenderContext, component: str) -> Manifest:
    """Return the budget of one component's pods: no eviction while a protected session is open, else one at a time.

    A pod that is not ready serves nobody and may be evicted at any time, or a broken one would keep its node for ever.
    """
    protected = (
        system.spec.clock.mode == "live" and context.period.session is not None and system.spec.rollout.protect_session
    )
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(system, component, child_name(system, component)),
        "spec": {
            "maxUnavailable": 0 if protected else 1,
            "selector": {"matchLabels": selector(system, component)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
