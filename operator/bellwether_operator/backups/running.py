"""The operator's TradingBackups: each that has not ended is taken through its steps, one at a time.

Nothing is remembered that is not in the API server. VolumeSnapshots are asked for only while there is a TradingBackup.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from bellwether.spec.fields import parse_instant
from bellwether.spec.models import API_VERSION, TradingSystem
from bellwether.spec.trading_backup import DECLARATION_LENGTH, KIND, PLURAL
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.backups import steps
from bellwether_operator.backups.drilling import examine
from bellwether_operator.backups.drills import is_due, is_verifying
from bellwether_operator.backups.in_place import restore_row_of
from bellwether_operator.backups.news import drilled, known, newest
from bellwether_operator.backups.plan import Known
from bellwether_operator.backups.repositories import Keeper, Repositories
from bellwether_operator.backups.repository import declared_place
from bellwether_operator.backups.snapshots import SNAPSHOTS, Seen, seen_of, snapshot
from bellwether_operator.backups.status import progress_of, status_of
from bellwether_operator.backups.steps import HOLD
from bellwether_operator.following import ActionKey, Follower, Handler, action_key, create, system_key
from bellwether_operator.gateway_view import GatewayError, Held
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import Kind, SystemKey
from bellwether_operator.observe.layouts import look
from bellwether_operator.report.observation import BackupNews
from bellwether_operator.settings import Settings

log = logging.getLogger(__name__)

BACKUPS = Kind(API_VERSION, KIND, PLURAL, stateful=True)
LOOK_SECONDS = 1.0
"""How often a backup that has not ended is looked at."""


class Holder(Protocol):
    """Has systems write nothing for a short time."""

    async def hold(self, system: SystemKey, uid: str, hold: str, seconds: float) -> None:
        """Have a system write nothing, for so many seconds at most.

        Raises:
            GatewayError: if it does not.
        """

    async def let_go(self, system: SystemKey, uid: str, hold: str) -> Held:
        """Have it write again, and say whether it wrote meanwhile.

        Raises:
            GatewayError: if that is not known.
        """


class Backups:
    """The backups of every system in sight."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        mark: Callable[[SystemKey], None],
        now: Callable[[], datetime],
        *,
        settings: Settings,
        holder: Holder | None = None,
        keeper: Keeper | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Do nothing yet.

        Args:
            client: of the API server.
            cache: what is there.
            mark: hears of each system whose pods are to go or to come back.
            now: aware.
            settings: of the operator.
            holder: has a system write nothing; without it its pods are ended for a backup.
            keeper: has a system make a backup in a repository.
            look_seconds: the pause between two looks at one backup.
        """
        self._holder = holder
        self._client = client
        self._cache = cache
        self._mark = mark
        self._now = now
        self._settings = settings
        # One that is gone may have kept its system's pods away.
        self._follower = Follower(
            client, BACKUPS, self._next, lambda raw: mark(system_key(raw)), look_seconds, hurries=_hurries
        )
        self._repositories = Repositories(cache, self._follower, keeper, now, self.remove)

    def quiesced(self, system: SystemKey) -> datetime | None:
        """Return until when a system is to have no pods, None when it may run."""
        now = self._now()
        found = [steps.quiesced(progress_of(raw), now) for raw in self._follower.of(system)]
        return max((until for until in found if until is not None), default=None)

    def newest(self, system: SystemKey) -> BackupNews | None:
        """Return the newest backup of a system that has ended; of several places first one where it failed."""
        return newest(self._follower.of(system), self._declared(system))

    def known(self, system: SystemKey, uid: str) -> list[Known]:
        """Return the backups of a system; its own are those that were made for this very one by the operator."""
        found = [raw for raw in self._follower.of(system) if "deletionTimestamp" not in raw["metadata"]]
        return [known(raw, uid, self._repositories.place(raw)) for raw in found]

    def tested(self, system: SystemKey) -> BackupNews | None:
        """Return the backup of a system that was restored for a test last; of several places first one that failed."""
        return drilled(self._follower.of(system), self._declared(system))

    def _declared(self, system: SystemKey) -> Callable[[str], bool]:
        """Return what says whether a repository of a name is declared."""
        declared = self._cache.systems.get(system)
        return lambda place: declared_place(declared, place) is not None

    def named(self, namespace: str, name: str | None) -> dict[str, Any] | None:
        """Return the backup of a name; None where there is none."""
        return None if name is None else self._follower.known.get(ActionKey(namespace, name))

    async def make(self, manifest: dict[str, Any]) -> None:
        """Make a TradingBackup; one of its name that is there already is it.

        Raises:
            ApiError: when the server refuses or is not reached.
        """
        raw = await create(self._client, BACKUPS, manifest)
        if raw is not None:
            self._follower.known.setdefault(action_key(raw), raw)
            self._follower.drive_all()

    async def remove(self, key: ActionKey) -> None:
        """Begin to remove a backup that has ended: from here on it counts for nothing.

        Raises:
            ApiError: when the server refuses or is not reached.
        """
        raw = self._follower.known.get(key)
        if raw is None:
            return
        before = progress_of(raw)
        await self._write(key, raw, before, steps.prune_step(before, [volume.snapshot for volume in before.volumes]))
        self._follower.drive_all()

    async def list_all(self, scope: str | None) -> None:
        """Take the backups that are there, so that a system that is being cut gets no pods.

        Raises:
            ApiError: when the server refuses or is not reached.
        """
        await self._follower.list_all(scope)

    async def run(self, scope: str | None) -> None:
        """Follow the backups of a namespace, or of all, until cancelled."""
        await self._follower.run(scope)

    def _next(self, raw: Mapping[str, Any]) -> Handler | None:
        """Return what is to be done about a backup; None when it is at rest."""
        progress = progress_of(raw)
        if progress.state == "running":
            return self._one_step
        if progress.state == "pruning":
            return self._prune
        return self._examine if is_due(progress, wanted=bool(raw["spec"].get("drill"))) else None

    async def _examine(self, key: ActionKey, raw: dict[str, Any]) -> None:
        declared = self._cache.systems.get(system_key(raw))
        step = await examine(self._client, self._settings, raw, declared, self._now())
        await self._write(key, raw, progress_of(raw), steps.Step(step.progress))

    async def _one_step(self, key: ActionKey, raw: dict[str, Any]) -> None:
        before = progress_of(raw)
        stored = await self._repositories.step(raw, before)
        if stored is not None:
            await self._write(key, raw, before, steps.Step(stored))
            return
        step = steps.next_step(before, await self._picture(raw, before))
        if step.verify:
            await self._examine(key, raw)
            return
        if step.hold:
            step = steps.held(step.progress, self._now(), await self._hold(raw))
        elif step.let_go:
            step = steps.let_go(step, self._now(), *await self._let_go(raw))
        await self._write(key, raw, before, step)
        for volume in step.make:
            manifest = snapshot(raw, volume.snapshot, volume.claim, step.progress.class_name)
            await create(self._client, SNAPSHOTS, manifest)
        for name in step.drop:
            there = await self._client.get(SNAPSHOTS, key.namespace, name)
            if there is not None and seen_of(there, raw["metadata"]["uid"]).ours:
                await self._client.delete(SNAPSHOTS, key.namespace, name, there["metadata"]["uid"])

    async def _hold(self, raw: Mapping[str, Any]) -> str | None:
        """Have the system of a backup write nothing; return why it does not, None once it does."""
        uid = self._system_uid(raw)
        if self._holder is None or uid is None:
            return "the services cannot be reached"
        try:
            await self._holder.hold(system_key(raw), uid, raw["metadata"]["uid"], HOLD.total_seconds())
        except GatewayError as error:
            return f"the services do not hold: {error}"
        return None

    async def _let_go(self, raw: Mapping[str, Any]) -> tuple[str | None, int]:
        """Have the system write again; return why it is not known to have held, None where it has, and how long."""
        uid = self._system_uid(raw)
        if self._holder is None or uid is None:
            return "the services cannot be reached", 0
        try:
            found = await self._holder.let_go(system_key(raw), uid, raw["metadata"]["uid"])
        except GatewayError as error:
            return f"nobody says whether they held: {error}", 0
        return None if found.whole else f"meanwhile wrote {', '.join(found.broken)}", found.milliseconds

    def _system_uid(self, raw: Mapping[str, Any]) -> str | None:
        found = self._cache.systems.get(system_key(raw))
        return None if found is None else str(found["metadata"]["uid"])

    async def _prune(self, key: ActionKey, raw: dict[str, Any]) -> None:
        """Delete the snapshots of a backup and look again; the backup itself goes when none of them is there.

        A snapshot whose class deletes its content is there until the driver has deleted that too.
        """
        before, left = progress_of(raw), []
        for volume in before.volumes:
            there = await self._client.get(SNAPSHOTS, key.namespace, volume.snapshot)
            if there is None or not seen_of(there, raw["metadata"]["uid"]).ours:
                continue
            left.append(volume.snapshot)
            if "deletionTimestamp" not in there["metadata"]:
                await self._client.delete(SNAPSHOTS, key.namespace, volume.snapshot, there["metadata"]["uid"])
        await self._write(key, raw, before, steps.prune_step(before, left))
        if not left:
            await self._client.delete(BACKUPS, key.namespace, key.name, raw["metadata"]["uid"])
            self._follower.known.pop(key, None)
            self._mark(system_key(raw))

    async def _write(self, key: ActionKey, raw: dict[str, Any], before: steps.Progress, step: steps.Step) -> None:
        """Write the status before anything is done by it; the system hears of it when its pods are to go or come."""
        progress = steps.named(step.progress, key.name)
        wanted = status_of(progress, raw, self._now(), **self._facts(raw))
        await self._follower.write(key, raw, wanted)
        seen = (before.quiesced_until, before.state, before.verified)
        if seen != (progress.quiesced_until, progress.state, progress.verified):
            self._mark(system_key(raw))

    async def _picture(self, raw: Mapping[str, Any], before: steps.Progress) -> steps.Picture:
        now, key = self._now(), system_key(raw)
        seen = await self._snapshots(raw, before)
        made_at = datetime.fromisoformat(raw["metadata"]["creationTimestamp"])
        found = self._cache.systems.get(key)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return steps.Picture(now, None, (), None, seen, made_at=made_at)
        try:
            system = TradingSystem.model_validate({name: found[name] for name in found if name != "status"})
        except ValidationError:
            return steps.Picture(now, None, (), "the system's declaration cannot be used", seen, made_at=made_at)
        there = look(system, self._cache.children_of(key))
        claims = [each.key.name for each in there.claims.values() if each is not None and not each.deleting]
        return steps.Picture(
            now=now,
            claims=claims if len(claims) == len(there.claims) else (),
            pods=there.not_stopped,
            hindrance=self._hindrance(raw, system, now),
            snapshots=seen,
            class_name=_class_name(system, raw),
            made_at=made_at,
            verifying=self._verifying(raw),
        )

    def _verifying(self, raw: Mapping[str, Any]) -> str:
        """Return the name of another backup of the namespace that is being verified; empty: there is none."""
        this, others = action_key(raw), self._follower.known.items()
        there = [key.name for key, one in others if key.namespace == this.namespace and is_verifying(progress_of(one))]
        return next((name for name in there if name != this.name), "")

    def _hindrance(self, raw: Mapping[str, Any], system: TradingSystem, now: datetime) -> str | None:
        """Return in words why the system's pods cannot be stopped now, None when they can."""
        paused = system.spec.paused
        if paused is not None and now < parse_instant(paused.until):
            return f"waiting for the end of the system's pause, {paused.until}"
        key = system_key(raw)
        row = restore_row_of((self._cache.systems.get(key) or {}).get("status") or {})
        if row is not None and row.under_way:
            return f"waiting for the restore of backup {row.backup}"
        earlier = [
            one["metadata"]["name"]
            for one in self._follower.of(key)
            if one["metadata"]["uid"] != raw["metadata"]["uid"]
            and progress_of(one).state == "running"
            and progress_of(one).cut_at is None
            and self._repositories.place(one) is None
            and _order(one) < _order(raw)
        ]
        return f"waiting for the backup {min(earlier)}" if earlier else None

    async def _snapshots(self, raw: Mapping[str, Any], before: steps.Progress) -> Mapping[str, Seen] | None:
        """Return the expected snapshots that are there; None where the cluster does not know the kind."""
        metadata = raw["metadata"]
        if not before.volumes:
            return {} if await self._kind_is_known(metadata["namespace"]) else None
        found: dict[str, Seen] = {}
        for volume in before.volumes:
            there = await self._client.get(SNAPSHOTS, metadata["namespace"], volume.snapshot)
            if there is not None:
                found[volume.snapshot] = seen_of(there, metadata["uid"])
        return found

    async def _kind_is_known(self, namespace: str) -> bool:
        """Whether there are VolumeSnapshots here: a kind that is not known is not found, but neither is a name."""
        try:
            return await self._client.knows(SNAPSHOTS, namespace)
        except ApiError as error:
            if error.transient:
                raise
            return True  # then the server says when one is made

    def _facts(self, raw: Mapping[str, Any]) -> dict[str, str]:
        """Return what is written down of the system once: all of its declaration, and its release."""
        found = self._cache.systems.get(system_key(raw))
        if found is None:
            return {}
        plain = {name: found[name] for name in ("apiVersion", "kind", "spec") if name in found}
        text = json.dumps({**plain, "metadata": {"name": found["metadata"]["name"]}}, sort_keys=True)
        release = str((found.get("status") or {}).get("release", ""))
        return {"release": release, "declaration": text if len(text) <= DECLARATION_LENGTH else ""}


def _hurries(raw: Mapping[str, Any]) -> bool:
    """Whether services wait for the next step."""
    return progress_of(raw).held_until is not None


def _order(raw: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Return what backups of a system go by: who has its pods stopped already, then by age and name."""
    progress = progress_of(raw)
    stopped = progress.quiesced_until is not None or progress.held_until is not None
    return (not stopped, raw["metadata"]["creationTimestamp"], raw["metadata"]["name"])


def _class_name(system: TradingSystem, raw: Mapping[str, Any]) -> str:
    backup, wanted = system.spec.backup, raw["spec"].get("location")
    for location in () if backup is None else backup.locations:
        if location.kind == "volumeSnapshots" and wanted in (None, location.name):
            return location.class_name or ""
    return ""
