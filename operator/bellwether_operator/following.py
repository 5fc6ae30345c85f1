"""Follows resources that are actions, TradingBackups and TradingReplays: each is taken through its steps to its end.

Nothing is remembered that is not in the API server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.observe.kinds import Kind, SystemKey

log = logging.getLogger(__name__)

PAGE = 100
RETRY_SECONDS = 5.0
NOT_INSTALLED_SECONDS = 60.0  # until it is looked again whether the definition of the kind has come
_NOT_FOUND = 404


class ActionKey(NamedTuple):
    """An action's namespace and name."""

    namespace: str
    name: str


Handler = Callable[[ActionKey, dict[str, Any]], Awaitable[None]]


class Follower:
    """The resources of one kind, in every namespace in sight; `known` is what the API server last said of each."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        handler_of: Callable[[Mapping[str, Any]], Handler | None],
        gone: Callable[[Mapping[str, Any]], None],
        look_seconds: float,
        *,
        hurries: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> None:
        """Do nothing yet.

        Args:
            client: of the API server.
            kind: what is followed.
            handler_of: what is to be done about a resource now; None while it is at rest.
            gone: hears of each that was deleted.
            look_seconds: the pause between the steps of one resource.
            hurries: whether the next step of a resource is due at once; it is taken a tenth of that pause later.
        """
        self.known: dict[ActionKey, dict[str, Any]] = {}
        self._client = client
        self._kind = kind
        self._handler_of = handler_of
        self._gone = gone
        self._look_seconds = look_seconds
        self._hurries = hurries
        self._drivers: dict[ActionKey, asyncio.Task[None]] = {}

    async def list_all(self, scope: str | None) -> int | None:
        """Take what is there; return as of which version, None where the cluster does not know the kind.

        Raises:
            ApiError: when the server refuses or is not reached.
        """
        found: dict[ActionKey, dict[str, Any]] = {}
        following = ""
        while True:
            try:
                page = await self._client.page(self._kind, scope, "", PAGE, following, whole=True)
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise
            found |= {action_key(raw): raw for raw in page.items}
            following = page.following
            if not following:
                break
        for key in [key for key in self.known if scope in {None, key.namespace} and key not in found]:
            self._gone(self.known.pop(key))
        self.known |= found
        return page.resource_version

    async def run(self, scope: str | None) -> None:
        """Follow the resources of a namespace, or of all, until cancelled."""
        logged = ""
        try:
            while True:
                pause = RETRY_SECONDS
                try:
                    since = await self.list_all(scope)
                    if since is None:
                        pause = NOT_INSTALLED_SECONDS
                    else:
                        self.drive_all()
                        async for event in self._client.watch(self._kind, scope, "", since):
                            self._take(event)
                        pause = 0.0
                    logged = ""
                except ApiError as error:
                    if error.message != logged:
                        log.warning("%s cannot be followed: %s", self._kind.plural, error.message)
                    logged = error.message
                except Exception:
                    # A fault of ours must not leave a system without its pods for longer than a backup's deadline.
                    log.exception("following %s failed by a fault of the operator", self._kind.plural)
                await asyncio.sleep(pause)
        finally:
            drivers = list(self._drivers.values())
            for task in drivers:
                task.cancel()
            await asyncio.gather(*drivers, return_exceptions=True)

    def drive_all(self) -> None:
        """Start to take each resource that is not at rest through its steps."""
        for key, raw in self.known.items():
            running = self._drivers.get(key)
            if (running is None or running.done()) and self._handler_of(raw) is not None:
                name = f"{self._kind.plural} {key.namespace}/{key.name}"
                self._drivers[key] = asyncio.create_task(self._drive(key), name=name)

    async def write(self, key: ActionKey, raw: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Write a status that differs from the one that is there.

        Raises:
            ApiError: when the server refuses or is not reached.
        """
        if status != raw.get("status"):
            reply = await self._client.apply_status(key.namespace, key.name, status, self._kind)
            if key in self.known:
                self.known[key] = reply

    def of(self, system: SystemKey) -> list[dict[str, Any]]:
        """Return the resources that name a system."""
        return [raw for raw in self.known.values() if system_key(raw) == system]

    def _take(self, event: Mapping[str, Any]) -> None:
        raw = event["object"]
        if event["type"] == "ERROR":
            raise ApiError(int(raw.get("code", 0)), str(raw.get("reason", "")), str(raw.get("message", "")))
        if event["type"] == "BOOKMARK":
            return
        key = action_key(raw)
        if event["type"] == "DELETED":
            if self.known.pop(key, None) is not None:
                self._gone(raw)
            return
        self.known[key] = dict(raw)
        self.drive_all()

    async def _drive(self, key: ActionKey) -> None:
        while (raw := self.known.get(key)) is not None and (handle := self._handler_of(raw)) is not None:
            try:
                await handle(key, raw)
            except ApiError as error:
                log.warning("%s %s: %s", self._kind.plural, key.name, error.message)
            except Exception:
                log.exception("%s %s: a step failed by a fault of the operator", self._kind.plural, key.name)
            hurry = (found := self.known.get(key)) is not None and self._hurries(found)
            await asyncio.sleep(self._look_seconds / (10 if hurry else 1))
        self._drivers.pop(key, None)


async def create(client: Client, kind: Kind, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Make an object and return it; None where one of its name exists, since the next look says whose it is.

    Raises:
        ApiError: when the server refuses or is not reached.
    """
    try:
        return await client.create(kind.path(manifest["metadata"]["namespace"]), manifest)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
    return None


def action_key(raw: Mapping[str, Any]) -> ActionKey:
    """Return which resource it is."""
    return ActionKey(raw["metadata"]["namespace"], raw["metadata"]["name"])


def system_key(raw: Mapping[str, Any]) -> SystemKey:
    """Return the system that an action is about."""
    return SystemKey(raw["metadata"]["namespace"], str(raw["spec"]["system"]))
