"""The operator's TradingBackups: each that has not ended is taken through its steps, one at a time.

Nothing is remembered that is not in the API server. VolumeSnapshots are asked for only while there is a TradingBackup.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from bellwether.render.kubernetes.names import LABEL_SYSTEM_UID
from bellwether.spec.fields import parse_instant
from bellwether.spec.models import API_VERSION, TradingSystem
from bellwether.spec.trading_backup import DECLARATION_LENGTH, KIND, PLURAL
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.backups.drilling import drill
from bellwether_operator.backups.drills import is_due
from bellwether_operator.backups.plan import Known
from bellwether_operator.backups.snapshots import LABEL_BY_OPERATOR, SNAPSHOTS, Seen, seen_of, snapshot
from bellwether_operator.backups.status import progress_of, status_of
from bellwether_operator.backups.steps import Picture, Progress, Step, named, next_step, prune_step, quiesced
from bellwether_operator.layout import layout
from bellwether_operator.observe.cache import Cache, SystemKey
from bellwether_operator.observe.kinds import Kind
from bellwether_operator.observe.layouts import look
from bellwether_operator.report.observation import BackupNews
from bellwether_operator.settings import Settings

log = logging.getLogger(__name__)

BACKUPS = Kind(API_VERSION, KIND, PLURAL, stateful=True)
PAGE = 100
LOOK_SECONDS = 1.0
"""How often a backup that has not ended is looked at."""
RETRY_SECONDS = 5.0
NOT_INSTALLED_SECONDS = 60.0  # until it is looked again whether the definition of TradingBackup has come
_NOT_FOUND = 404


class BackupKey(NamedTuple):
    """A backup's namespace and name."""

    namespace: str
    name: str


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
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Do nothing yet; `mark` hears of each system whose pods are to go or to come back."""
        self._client = client
        self._cache = cache
        self._mark = mark
        self._now = now
        self._settings = settings
        self._look_seconds = look_seconds
        self._known: dict[BackupKey, dict[str, Any]] = {}
        self._drivers: dict[BackupKey, asyncio.Task[None]] = {}

    def quiesced(self, system: SystemKey) -> datetime | None:
        """Return until when a system is to have no pods, None when it may run."""
        now = self._now()
        found = [quiesced(progress_of(raw), now) for raw in self._of(system)]
        return max((until for until in found if until is not None), default=None)

    def newest(self, system: SystemKey) -> BackupNews | None:
        """Return the newest backup of a system that has ended, None where there is none."""
        told = [(progress_of(raw), raw["metadata"]["name"]) for raw in self._of(system)]
        found = [
            (one.ended_at, name, one) for one, name in told if one.ended_at and one.state in {"complete", "failed"}
        ]
        if not found:
            return None
        _, name, progress = max(found, key=lambda each: each[:2])
        complete = [(one.cut_at, name) for one, name in told if one.state == "complete" and one.cut_at is not None]
        good = "{1} of {0:%Y-%m-%d %H:%M} UTC".format(*max(complete)) if complete else ""
        return BackupNews(name, progress.state == "complete", progress.message, good)

    def known(self, system: SystemKey, uid: str) -> list[Known]:
        """Return the backups of a system; its own are those that were made for this very one by the operator."""
        return [_known(raw, uid) for raw in self._of(system) if "deletionTimestamp" not in raw["metadata"]]

    def tested(self, system: SystemKey) -> BackupNews | None:
        """Return the backup of a system whose test has ended last, and what came of it; None where there is none."""
        told = [(progress_of(raw), raw["metadata"]["name"]) for raw in self._of(system)]
        found = [(str(one.drill_started_at), name, one) for one, name in told if one.verified is not None]
        if not found:
            return None
        _, name, progress = max(found, key=lambda each: each[:2])
        return BackupNews(name, progress.verified is True, progress.drill_message)

    def named(self, namespace: str, name: str | None) -> dict[str, Any] | None:
        """Return the backup of a name; None where there is none."""
        return None if name is None else self._known.get(BackupKey(namespace, name))

    async def make(self, manifest: dict[str, Any]) -> None:
        """Make a TradingBackup; one of its name that is there already is it.

        Raises:
            ApiError: when the server refuses or is not reached.

        """
        try:
            raw = await self._client.create(BACKUPS.path(manifest["metadata"]["namespace"]), manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return
        self._known.setdefault(_key(raw), raw)
        self._drive_all()

    async def remove(self, key: BackupKey) -> None:
        """Begin to remove a backup that has ended: from here on it counts for nothing.

        Raises:
            ApiError: when the server refuses or is not reached.

        """
        raw = self._known.get(key)
        if raw is None:
            return
        before = progress_of(raw)
        await self._write(key, raw, before, prune_step(before, [volume.snapshot for volume in before.volumes]))
        self._drive_all()

    async def list_all(self, scope: str | None) -> int | None:
        """Take what is there; return as of which version, None where the cluster does not know the kind.

        Raises:
            ApiError: when the server refuses or is not reached.

        """
        found: dict[BackupKey, dict[str, Any]] = {}
        following = ""
        while True:
            try:
                page = await self._client.page(BACKUPS, scope, "", PAGE, following, whole=True)
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise
            found |= {_key(raw): raw for raw in page.items}
            following = page.following
            if not following:
                break
        for key in [key for key in self._known if scope in {None, key.namespace} and key not in found]:
            del self._known[key]
        self._known |= found
        return page.resource_version

    async def run(self, scope: str | None) -> None:
        """Follow the backups of a namespace, or of all, until cancelled."""
        told = ""
        try:
            while True:
                pause = RETRY_SECONDS
                try:
                    since = await self.list_all(scope)
                    if since is None:
                        pause = NOT_INSTALLED_SECONDS
                    else:
                        self._drive_all()
                        async for event in self._client.watch(BACKUPS, scope, "", since):
                            self._take(event)
                        pause = 0.0
                    told = ""
                except ApiError as error:
                    if error.message != told:
                        log.warning("backups cannot be followed: %s", error.message)
                    told = error.message
                except Exception:
                    # A fault of ours must not leave a system without its pods for longer than its deadline.
                    log.exception("following backups failed by a fault of the operator")
                await asyncio.sleep(pause)
        finally:
            drivers = list(self._drivers.values())
            for task in drivers:
                task.cancel()
            await asyncio.gather(*drivers, return_exceptions=True)

    def _take(self, event: Mapping[str, Any]) -> None:
        raw = event["object"]
        if event["type"] == "ERROR":
            raise ApiError(int(raw.get("code", 0)), str(raw.get("reason", "")), str(raw.get("message", "")))
        if event["type"] == "BOOKMARK":
            return
        key = _key(raw)
        if event["type"] == "DELETED":
            if self._known.pop(key, None) is not None:
                self._mark(_system(raw))  # it may have been without pods for this backup
            return
        self._known[key] = dict(raw)
        self._drive_all()

    def _drive_all(self) -> None:
        for key, raw in self._known.items():
            running = self._drivers.get(key)
            if (running is None or running.done()) and self._next(raw) is not None:
                self._drivers[key] = asyncio.create_task(self._drive(key), name=f"backup {key.namespace}/{key.name}")

    async def _drive(self, key: BackupKey) -> None:
        """Bring one backup to its end."""
        while (raw := self._known.get(key)) is not None and (step := self._next(raw)) is not None:
            try:
                await step(key, raw)
            except ApiError as error:
                log.warning("backup %s: %s", key.name, error.message)
            except Exception:
                log.exception("backup %s: a step failed by a fault of the operator", key.name)
            await asyncio.sleep(self._look_seconds)
        self._drivers.pop(key, None)

    def _next(self, raw: Mapping[str, Any]) -> Callable[[BackupKey, dict[str, Any]], Awaitable[None]] | None:
        """Return what is to be done about a backup; None when it is at rest."""
        progress = progress_of(raw)
        if progress.state == "running":
            return self._one_step
        if progress.state == "pruning":
            return self._prune
        return self._drill if is_due(progress, wanted=bool(raw["spec"].get("drill"))) else None

    async def _drill(self, key: BackupKey, raw: dict[str, Any]) -> None:
        before = progress_of(raw)
        step = await drill(self._client, self._settings, raw, self._now())
        await self._write(key, raw, before, Step(step.progress))

    async def _one_step(self, key: BackupKey, raw: dict[str, Any]) -> None:
        before = progress_of(raw)
        step = next_step(before, await self._picture(raw, before))
        await self._write(key, raw, before, step)
        for volume in step.make:
            await self._make(snapshot(raw, volume.snapshot, volume.claim, step.progress.class_name))

    async def _prune(self, key: BackupKey, raw: dict[str, Any]) -> None:
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
        await self._write(key, raw, before, prune_step(before, left))
        if not left:
            await self._client.delete(BACKUPS, key.namespace, key.name, raw["metadata"]["uid"])
            self._known.pop(key, None)
            self._mark(_system(raw))

    async def _write(self, key: BackupKey, raw: dict[str, Any], before: Progress, step: Step) -> None:
        """Write the status before anything is done by it; the system hears of it when its pods are to go or come."""
        progress = named(step.progress, key.name)
        wanted = status_of(progress, raw, self._now(), **self._facts(raw))
        if wanted != raw.get("status"):
            reply = await self._client.apply_status(key.namespace, key.name, wanted, BACKUPS)
            if key in self._known:
                self._known[key] = reply
        seen = (before.quiesced_until, before.state, before.verified)
        if seen != (progress.quiesced_until, progress.state, progress.verified):
            self._mark(_system(raw))

    async def _make(self, manifest: dict[str, Any]) -> None:
        """Make a snapshot. Where one of its name exists, the next look says whose it is."""
        try:
            await self._client.create(SNAPSHOTS.path(manifest["metadata"]["namespace"]), manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _picture(self, raw: Mapping[str, Any], before: Progress) -> Picture:
        now, key = self._now(), _system(raw)
        found = self._cache.systems.get(key)
        if found is None or "deletionTimestamp" in found["metadata"]:
            seen = await self._snapshots(raw, before)
            return Picture(now, None, (), None, seen)
        try:
            system = TradingSystem.model_validate({name: found[name] for name in found if name != "status"})
        except ValidationError:
            seen = await self._snapshots(raw, before)
            return Picture(now, None, (), "the system's declaration cannot be used", seen)
        children = self._cache.children_of(key)
        sorted_ = look(system, children)
        profile = sorted_.volumes.in_force or system.spec.profile
        claims = [each.key.name for each in sorted_.claims[profile].values() if each is not None and not each.deleting]
        pods = sorted_.not_stopped(profile)
        return Picture(
            now=now,
            claims=claims,
            pods=pods,
            hindrance=self._hindrance(raw, system, now),
            snapshots=await self._snapshots(raw, before),
            class_name=_class_name(system, raw),
        )

    def _hindrance(self, raw: Mapping[str, Any], system: TradingSystem, now: datetime) -> str | None:
        """Return in words why the system's pods cannot be stopped now, None when they can."""
        paused = system.spec.paused
        if paused is not None and now < parse_instant(paused.until):
            return f"waiting for the end of the system's pause, {paused.until}"
        key = _system(raw)
        moving = layout(system, self._cache.children_of(key), image="").moving
        if moving is not None:
            return f"waiting, the system moves {moving}"
        earlier = [
            one["metadata"]["name"]
            for one in self._of(key)
            if one["metadata"]["uid"] != raw["metadata"]["uid"]
            and progress_of(one).state == "running"
            and progress_of(one).cut_at is None
            and _order(one) < _order(raw)
        ]
        return f"waiting for the backup {min(earlier)}" if earlier else None

    async def _snapshots(self, raw: Mapping[str, Any], before: Progress) -> Mapping[str, Seen] | None:
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
        found = self._cache.systems.get(_system(raw))
        if found is None:
            return {}
        plain = {name: found[name] for name in ("apiVersion", "kind", "spec") if name in found}
        text = json.dumps({**plain, "metadata": {"name": found["metadata"]["name"]}}, sort_keys=True)
        release = str((found.get("status") or {}).get("release", ""))
        return {"release": release, "declaration": text if len(text) <= DECLARATION_LENGTH else ""}

    def _of(self, system: SystemKey) -> list[dict[str, Any]]:
        return [raw for raw in self._known.values() if _system(raw) == system]


def _known(raw: Mapping[str, Any], system_uid: str) -> Known:
    metadata, progress = raw["metadata"], progress_of(raw)
    labels = metadata.get("labels") or {}
    return Known(
        metadata["name"],
        metadata["uid"],
        LABEL_BY_OPERATOR in labels and labels.get(LABEL_SYSTEM_UID) == system_uid,
        progress.state,
        datetime.fromisoformat(metadata["creationTimestamp"]),
        progress.cut_at,
    )


def _key(raw: Mapping[str, Any]) -> BackupKey:
    return BackupKey(raw["metadata"]["namespace"], raw["metadata"]["name"])


def _system(raw: Mapping[str, Any]) -> SystemKey:
    return SystemKey(raw["metadata"]["namespace"], str(raw["spec"]["system"]))


def _order(raw: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Return what backups of a system go by: who has its pods stopped already, then by age and name."""
    stopped = progress_of(raw).quiesced_until is not None
    return (not stopped, raw["metadata"]["creationTimestamp"], raw["metadata"]["name"])


def _class_name(system: TradingSystem, raw: Mapping[str, Any]) -> str:
    backup, wanted = system.spec.backup, raw["spec"].get("location")
    for location in () if backup is None else backup.locations:
        if location.kind == "volumeSnapshots" and wanted in (None, location.name):
            return location.class_name or ""
    return ""
