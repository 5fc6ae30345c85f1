"""Backups in repositories: the service of the system makes them, and is asked how far they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from bellwether_operator.backups import repository
from bellwether_operator.backups.status import progress_of
from bellwether_operator.backups.steps import Progress, Stored
from bellwether_operator.following import ActionKey, Follower, action_key, system_key
from bellwether_operator.gateway_view import GatewayError
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import SystemKey


class Keeper(Protocol):
    """Has systems make backups in repositories."""

    async def keep_backup(self, system: SystemKey, uid: str, order: repository.BackupRequest) -> repository.Answer:
        """Have a system make one, once, and return how far that is.

        Raises:
            GatewayError: if that is not known.
        """


class Repositories:
    """The TradingBackups that go to repositories."""

    def __init__(
        self,
        cache: Cache,
        follower: Follower,
        keeper: Keeper | None,
        now: Callable[[], datetime],
        remove: Callable[[ActionKey], Awaitable[None]],
    ) -> None:
        """Do nothing yet; `remove` begins to remove a TradingBackup, and `follower` knows them all."""
        self._cache = cache
        self._follower = follower
        self._keeper = keeper
        self._now = now
        self._remove = remove

    def place(self, raw: Mapping[str, Any]) -> repository.Place | None:
        """Return the repository that a backup is for; None: it is of volume snapshots."""
        progress = progress_of(raw)
        if progress.stored is not None:
            return repository.Place(progress.stored.location, progress.stored.where)
        started = progress.volumes or progress.state != "running"
        return (
            None
            if started
            else repository.declared_place(self._cache.systems.get(system_key(raw)), raw["spec"].get("location"))
        )

    async def step(self, raw: Mapping[str, Any], before: Progress) -> Progress | None:
        """Do the next step of a backup, and return its progress; None: it is of volume snapshots.

        Raises:
            ApiError: when the API server refuses or is not reached.
        """
        place, now = self.place(raw), self._now()
        if place is None:
            wrong = None if before.volumes else self._not_declared(raw)
            return None if wrong is None else repository.failed(before, "LocationNotFound", wrong, now)
        system, stored = self._cache.systems.get(system_key(raw)), before.stored
        if system is None or "deletionTimestamp" in system["metadata"]:
            return repository.failed(before, "SystemNotFound", "there is no such TradingSystem in this namespace", now)
        if stored is None:
            return repository.begin(before, place, now)
        if repository.rests(stored, now):
            return before
        if stored.retry_at is not None:
            return repository.retry(before, stored)
        return await self._ask(raw, before, stored, str(system["metadata"]["uid"]))

    async def _ask(self, raw: Mapping[str, Any], before: Progress, stored: Stored, uid: str) -> Progress:
        key, there = system_key(raw), dict[ActionKey, str]()
        for one in self._follower.of(key):
            other = progress_of(one)
            if other.state == "complete" and other.stored is not None and other.stored.where == stored.where:
                there[action_key(one)] = other.stored.id
        kind = str(raw["spec"].get("kind", "full"))
        order = repository.BackupRequest(raw["metadata"]["uid"], stored.location, kind, stored.attempts, bool(there))
        try:
            if self._keeper is None:
                raise GatewayError("the services cannot be reached")
            answer = await self._keeper.keep_backup(key, uid, order)
        except GatewayError as error:
            return repository.unheard(before, str(error), self._now())
        if answer.state == "complete":
            for one_key in [each for each, name in there.items() if name not in answer.kept]:
                await self._remove(one_key)
        return repository.heard(before, stored, answer, self._now())

    def _not_declared(self, raw: Mapping[str, Any]) -> str | None:
        """Return in words that a backup's location is none that the system declares."""
        wanted, system = raw["spec"].get("location"), self._cache.systems.get(system_key(raw))
        if wanted is None or system is None:
            return None
        locations = (system["spec"].get("backup") or {}).get("locations") or ()
        if any(one["name"] == wanted and one["kind"] == "volumeSnapshots" for one in locations):
            return None
        known = ", ".join(one["name"] for one in locations) or "none"
        return f"spec.location {wanted}: the system declares {known}; one of kind folder needs a volumeClaim"
