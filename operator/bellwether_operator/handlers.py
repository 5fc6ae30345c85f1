"""The kopf glue: an event of a system updates the picture and says "look at this system again", and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kopf

from bellwether_operator import telemetry
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import SYSTEMS, SystemKey, version_of
from bellwether_operator.workers import Workers

WATCH_SERVER_SECONDS = 600
LAST_RETRY_SECONDS = 15.0
IDLE_SECONDS = 1.0
"""So long kopf keeps a task and the last event of a system after it; 1,000 systems are listed at once."""


class Backoffs:
    """Seconds between kopf's tries of a request: without an end, since kopf ends when it gives one up.

    A namespace that is gone, or in which the rights are, must not end the watches over the others.
    """

    def __iter__(self) -> Iterator[float]:
        """Return ever longer times, up to a limit."""
        return (min(2.0**doublings, LAST_RETRY_SECONDS) for doublings in itertools.chain(range(8), itertools.repeat(8)))


class NoProgress(kopf.ProgressStorage):
    """Keeps nothing: kopf tracks handlers of changes in an object's annotations, and there are none."""

    def fetch(self, **_: Any) -> None:
        """Return that nothing is known."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Keep nothing."""

    def touch(self, **_: Any) -> None:
        """Keep nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return what was given: there is nothing of ours in it, so it need not be copied."""
        return essence


class NoDiff(kopf.DiffBaseStorage):
    """Keeps nothing: kopf would copy each object twice, for a difference that nobody asks for."""

    def build(self, **_: Any) -> Any:
        """Return that there is nothing to be compared."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Return that nothing is known."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""


def kopf_settings(settings: kopf.OperatorSettings) -> None:
    """Set kopf up as a carrier of watch events: no finalizers, no annotations, no events of its own, no peering."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # namespaces and definitions need not be watched, nor the rights for it
    settings.watching.server_timeout = WATCH_SERVER_SECONDS
    settings.networking.error_backoffs = Backoffs()
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.persistence.progress_storage = NoProgress()
    settings.persistence.diffbase_storage = NoDiff()
    settings.process.ultimate_exiting_timeout = 10


def registry(cache: Cache, workers: Workers, listed: Callable[[str], bool]) -> kopf.OperatorRegistry:
    """Return the handlers: the login, and one for the events of systems; `observe.watching` follows their children."""
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
        take_event(dict(body), cache, workers, listed, deleted=type == "DELETED")

    return found


def take_event(
    raw: Mapping[str, Any], cache: Cache, workers: Workers, listed: Callable[[str], bool], *, deleted: bool
) -> None:
    """Take what an event says of a system into the picture, and have the system looked at if this is news.

    In a namespace that was not `listed` yet nothing is looked at: what is there would look as if it were missing.
    """
    if deleted:
        gone = cache.drop_system(raw)
        if gone is not None:
            workers.mark(gone)
        return
    key = SystemKey(raw["metadata"]["namespace"], raw["metadata"]["name"])
    # Without a worker it is looked at though a list took it before: that list may not have come to an end.
    if (cache.take_system(raw) or workers.worker(key) is None) and listed(key.namespace):
        workers.mark(key, version_of(raw))
