"""The kopf glue: a watch event updates the picture and says "look at this system again", and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from bellwether.render.kubernetes.names import LABEL_MANAGED_BY, LABEL_SYSTEM_UID, MANAGER
from bellwether_operator import telemetry
from bellwether_operator.observe.cache import Cache, SystemKey
from bellwether_operator.observe.kinds import CHILD_KINDS, SYSTEMS, Kind
from bellwether_operator.workers import Workers

CHILD_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER},{LABEL_SYSTEM_UID}"
"""Which objects are watched and listed: those that this operator made."""
WATCH_SERVER_SECONDS = 600


def kopf_settings(settings: kopf.OperatorSettings) -> None:
    """Set kopf up as a carrier of watch events: no finalizers, no annotations, no events of its own, no peering."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # namespaces and definitions need not be watched, nor the rights for it
    settings.watching.server_timeout = WATCH_SERVER_SECONDS
    settings.process.ultimate_exiting_timeout = 10
    for kind in CHILD_KINDS:
        if kind.observed:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = CHILD_SELECTOR


def registry(cache: Cache, workers: Workers) -> kopf.OperatorRegistry:
    """Return the handlers: logins, and one event handler per kind."""
    found = kopf.OperatorRegistry()

    @kopf.on.startup(registry=found)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        kopf_settings(settings)

    @kopf.on.login(registry=found)
    def login(**kwargs: Any) -> Any:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(SYSTEMS.group, SYSTEMS.version, SYSTEMS.plural, registry=found)
    async def system_event(type: str | None, body: kopf.Body, **_: Any) -> None:
        telemetry.EVENTS_SEEN.labels(SYSTEMS.kind).inc()
        raw = dict(body)
        if type == "DELETED":
            key = cache.drop_system(raw)
            if key is not None:
                workers.mark(key)
        elif cache.take_system(raw):
            workers.mark(SystemKey(raw["metadata"]["namespace"], raw["metadata"]["name"]))

    for kind in CHILD_KINDS:
        if kind.observed:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=found)(_child_handler(kind, cache, workers))
    return found


def _child_handler(kind: Kind, cache: Cache, workers: Workers) -> Callable[..., Awaitable[None]]:
    async def child_event(type: str | None, body: kopf.Body, **_: Any) -> None:
        telemetry.EVENTS_SEEN.labels(kind.kind).inc()
        raw = dict(body)
        system = cache.drop_child(raw, kind.kind) if type == "DELETED" else cache.take_child(raw, kind.kind)
        if system is not None:
            workers.mark(system)

    child_event.__name__ = f"{kind.plural}_event"
    return child_event
