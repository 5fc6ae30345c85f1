"""The Kubernetes objects of a trading system: pure functions of the declaration, the topology and the installation."""

from __future__ import annotations

from bellwether.render.kubernetes import budgets, configmaps, cronjobs, networkpolicies, secrets, services, volumes
from bellwether.render.kubernetes.context import Keyring, Manifest, RenderContext, derive_keyring, image_of, release_of
from bellwether.render.kubernetes.workloads import components, stateful_components, workloads
from bellwether.spec.models import TradingSystem

__all__ = ["Keyring", "Manifest", "RenderContext", "derive_keyring", "image_of", "release_of", "render"]


def render(system: TradingSystem, context: RenderContext) -> list[Manifest]:
    """Return every object of the system in the order in which they are to be applied: what is used before its users.

    The same arguments give equal objects, and each value is in the form in which the API server stores it, so what
    the server returns contains what was sent.
    """
    nats_config = configmaps.nats_config(system, context)
    return [
        services.service_account(system),
        secrets.keys(system, context),
        secrets.gateway_token(system, context),
        configmaps.declaration(system),
        nats_config,
        *(volumes.volume_claim(system, component) for component in stateful_components(system)),
        services.nats(system),
        *services.http(system),
        *networkpolicies.network_policies(system),
        *(budgets.disruption_budget(system, context, component) for component in components(system)),
        *workloads(system, context, nats_config["metadata"]["name"]),
        *cronjobs.cron_jobs(system, context),
    ]
