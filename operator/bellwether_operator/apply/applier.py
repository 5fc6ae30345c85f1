"""Writes what has to be written of one system, a child at a time, and notes what it found on the way."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from bellwether.change.world import Owner, is_going, marks_of, owner_of
from bellwether.render.kubernetes.context import LABEL_INSTANCE, LABEL_SYSTEM_UID, MANAGER, Manifest
from bellwether_operator import telemetry
from bellwether_operator.apply.actions import (
    ActionKind,
    ChildAction,
    Desired,
    action_for,
    handed_over,
    needs,
    not_smaller,
    to_prune,
)
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.fights import Fights
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, ChildKey, Observed, Version, observed_from, version_of

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Requests of one pass that are under way together."""
SECRET_LIFE_SECONDS = 3600.0
SECRET_LIFE_NOT_READY_SECONDS = 20.0
"""After this long a Secret, which is never read, is written again; sooner while pods are not ready for want of it."""


@dataclass
class Findings:
    """What a pass found out while applying."""

    taken: list[str] = field(default_factory=list)
    other_declaration: list[str] = field(default_factory=list)
    """Volumes with what was created under another declaration."""
    waiting: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    contested: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    """What a paused pass would have changed."""
    due: list[datetime] = field(default_factory=list)
    """When something is to be tried again, UTC."""
    writes: int = 0
    missing: set[ChildKey] = field(default_factory=set)
    """What is not there as it is needed; what builds on it is left for later."""

    @property
    def troubled(self) -> bool:
        """Whether something did not work."""
        return bool(self.taken or self.other_declaration or self.refused or self.failed or self.waiting)

    def error(self, key: ChildKey, problem: ApiError) -> None:
        """Sort a failure by whether trying again helps."""
        (self.failed if problem.transient else self.refused).append(f"{key.kind} {key.name}: {problem.message}")


class WrittenSecret(NamedTuple):
    """A Secret as it was written last."""

    uid: str
    digest: str
    at: float
    """Monotonic seconds."""


@dataclass
class Written:
    """What is remembered of writes between passes; all of it can be lost without harm."""

    secrets: dict[ChildKey, WrittenSecret] = field(default_factory=dict)
    without_effect: dict[ChildKey, tuple[str, int]] = field(default_factory=dict)
    """Applied, but the reply did not contain it: digest and resource version, until something changes."""
    fights: Fights = field(default_factory=Fights)
    versions: set[Version] = field(default_factory=set)
    """What the objects became that the pass under way wrote: a watch that shows that shows nothing new."""

    def secrets_due(self, desired: Iterable[Desired], *, all_ready: bool) -> float:
        """Return when (monotonic seconds) the first of the desired Secrets is to be written again."""
        keys = [each.key for each in desired if not BY_NAME[each.key.kind].observed]
        times = [self.secrets[key].at if key in self.secrets else 0.0 for key in keys]
        return min(times, default=math.inf) + _secret_life(all_ready)


def _secret_life(all_ready: bool) -> float:
    return SECRET_LIFE_SECONDS if all_ready else SECRET_LIFE_NOT_READY_SECONDS


class Applier:
    """Brings the children of one system to what is desired, in one pass."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        uid: str,
        written: Written,
        now: datetime,
        *,
        all_ready: bool,
        only: Collection[str] | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._uid = uid
        self._written = written
        self._now = now
        self._all_ready = all_ready
        self._only = only
        """In a pause, the kinds that are kept as declared all the same; None without one."""
        self._urgent: Collection[ChildKey] = ()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.found = Findings()

    async def apply(self, desired: Sequence[Desired], urgent: Collection[ChildKey] = ()) -> None:
        """Apply what pods use, then what makes pods: a pod never starts before its volume and keys are there.

        What is urgent comes first, whatever else is in trouble, also while paused, and whoever fights over it.
        """
        self._urgent = urgent
        first = [each for each in desired if each.key in urgent]
        desired = [each for each in desired if each.key not in urgent]
        for workloads in (False, True):
            now = [each for each in first if BY_NAME[each.key.kind].workload is workloads]
            await self._each((each.key, partial(self._one, each)) for each in now)
        await self._each(
            (each.key, partial(self._one, each)) for each in desired if not BY_NAME[each.key.kind].workload
        )
        if self.found.other_declaration:
            return  # the services would refuse to start, one after the other
        missing = frozenset(self.found.missing)
        await self._each(
            (each.key, partial(self._one, each))
            for each in desired
            if BY_NAME[each.key.kind].workload and not needs(each, missing)
        )

    async def prune(
        self, observed: Iterable[Observed], desired: Collection[ChildKey], still_mounted: Collection[ChildKey] = ()
    ) -> None:
        """Delete what is no longer desired, unless something that is desired is not there."""
        if self.found.missing:
            return
        gone = to_prune(observed, desired, self._uid, all_ready=self._all_ready, still_mounted=still_mounted)
        waits = [each for each in gone if self._left(each.key.kind)]
        self.found.pending += [f"delete {each.key.kind} {each.key.name}" for each in waits]
        now = [each for each in gone if not self._left(each.key.kind)]
        await self._each((each.key, partial(self._delete, each, "no longer declared")) for each in now)

    async def make(self, jobs: Iterable[Manifest]) -> None:
        """Make Jobs that are not there yet; one of the same name does the same."""
        for manifest in jobs:
            kind, metadata = BY_NAME[manifest["kind"]], manifest["metadata"]
            key = ChildKey(kind.kind, metadata["namespace"], metadata["name"])
            try:
                reply = await self._client.create(kind.path(metadata["namespace"]), manifest)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    self.found.error(key, error)
                elif not self._is_known(key):
                    self.found.taken.append(
                        f"{kind.kind} {metadata['name']} exists and it was not made by the operator"
                    )
                continue
            self.found.writes += 1
            self._cache.take_child(reply, kind.kind)
            log.info("made %s %s", kind.kind, metadata["name"])

    def _left(self, kind: str) -> bool:
        """Whether objects of a kind are left as they are, since the system is paused."""
        return self._only is not None and kind not in self._only

    def _is_known(self, key: ChildKey) -> bool:
        there = self._cache.children.get(key)
        return there is not None and there.labels.get(LABEL_SYSTEM_UID) == self._uid

    async def _each(self, work: Iterable[tuple[ChildKey, Callable[[], Awaitable[None]]]]) -> None:
        async def one(key: ChildKey, todo: Callable[[], Awaitable[None]]) -> None:
            async with self._slots:
                try:
                    await todo()
                except ApiError as error:
                    self.found.error(key, error)
                    if error.reason == "Conflict" or not self._claim_is_there(key):
                        self.found.missing.add(key)

        await asyncio.gather(*(one(key, todo) for key, todo in work))

    def _claim_is_there(self, key: ChildKey) -> bool:
        """Whether a volume claim was refused what it is to become, such as a size: pods can use it as it is."""
        there = self._cache.children.get(key)
        return key.kind == CLAIM and there is not None and not there.deleting

    async def _one(self, desired: Desired) -> None:
        kind = BY_NAME[desired.key.kind]
        if not kind.observed:
            await self._secret(desired)
            return
        observed = await self._observed(desired.key)
        desired, note = not_smaller(desired, observed)
        if note is not None:
            self.found.notes.append(note)
        action = action_for(desired, observed, self._uid)
        if action.unread:
            observed = await self._read(desired.key)
            action = action_for(desired, observed, self._uid)
        acts: dict[ActionKind, Callable[[Desired, Observed | None, ChildAction], Awaitable[None]]] = {
            ActionKind.APPLY: self._write,
            ActionKind.REMAKE: self._remake,
        }
        if action.kind is ActionKind.SKIP and observed is not None:
            observed.verified, observed.body = observed.applied, None
        elif action.kind is ActionKind.WAIT:
            self.found.missing.add(desired.key)
            self.found.waiting.append(f"{desired.key.kind} {desired.key.name}: {action.why}")
        elif action.kind is ActionKind.TAKEN:
            self.found.missing.add(desired.key)
            self.found.taken.append(f"{desired.key.kind} {desired.key.name} exists and {action.why}")
        elif action.kind is ActionKind.OTHER_DECLARATION:
            self.found.missing.add(desired.key)
            self.found.other_declaration.append(action.why)
        elif desired.key in self._urgent:
            await acts[action.kind](desired, observed, action)
        elif self._left(desired.key.kind):
            await self._hand_over(desired, observed, action)
        elif action.drift is not None and await self._contested(desired.key, action.drift):
            return
        else:
            await acts[action.kind](desired, observed, action)

    async def _hand_over(self, desired: Desired, observed: Observed | None, action: ChildAction) -> None:
        """In a pause, give a volume the owner that it is to have; note what else waits."""
        handed = handed_over(desired, observed, self._uid)
        if handed is not None:
            await self._write(handed, observed, ChildAction(ActionKind.APPLY, "its owner is to change"))
        if handed is None or handed.digest != desired.digest:
            self.found.pending.append(f"{desired.key.kind} {desired.key.name}: {action.why}")

    async def _observed(self, key: ChildKey) -> Observed | None:
        observed = self._cache.children.get(key)
        if observed is not None:
            return observed
        # Rare: only what is to be made. An object without our labels is in no watch, and must not be overwritten
        # nor remembered: nobody would say when it goes.
        raw = await self._client.get(BY_NAME[key.kind], key.namespace, key.name)
        return None if raw is None else observed_from(raw, key.kind)

    async def _read(self, key: ChildKey) -> Observed | None:
        """Read a child of which only the metadata was seen."""
        raw = await self._client.get(BY_NAME[key.kind], key.namespace, key.name)
        if raw is None:
            return None
        self._cache.take_child(raw, key.kind)
        return self._cache.children.get(key)

    async def _contested(self, key: ChildKey, path: str) -> bool:
        """Whether a field is fought over so often that it is left as it is for a while; else this fight is noted."""
        fight = self._written.fights.backed_off(key, self._now)
        if fight is None:
            self._written.fights.note(key, path, self._now)
            return False
        self.found.contested.append(f"{fight.words}; the last to write it was {await self._last_writer(key)}")
        self.found.due.append(fight.until)
        return True

    async def _last_writer(self, key: ChildKey) -> str:
        raw = await self._client.get(BY_NAME[key.kind], key.namespace, key.name)
        entries = (raw or {}).get("metadata", {}).get("managedFields", ())
        others = [each for each in entries if each.get("manager") != MANAGER and not each.get("subresource")]
        newest = max(others, key=lambda each: str(each.get("time", "")), default=None)
        return "someone unknown" if newest is None else str(newest["manager"])

    async def _write(self, desired: Desired, observed: Observed | None, action: ChildAction) -> None:
        without_effect = self._written.without_effect
        if observed is not None and without_effect.get(desired.key) == (desired.digest, observed.resource_version):
            return
        kind, uid = BY_NAME[desired.key.kind], None if observed is None else observed.uid
        self.found.writes += 1
        try:
            reply = await self._client.apply(kind, desired.manifest, uid)
        except ApiError as error:
            if observed is None or not error.invalid:
                raise
            await self._client.overwrite(kind, desired.manifest, uid)
            reply = await self._client.apply(kind, desired.manifest, uid)
            self.found.writes += 1
        self._take(desired, reply, action, drift=observed is not None and observed.applied == desired.digest)

    async def _remake(self, desired: Desired, observed: Observed | None, action: ChildAction) -> None:
        if observed is not None:
            await self._delete(observed, action.why)
        kind = BY_NAME[desired.key.kind]
        self.found.writes += 1
        reply = await self._client.apply(kind, desired.manifest)
        self._take(desired, reply, action, drift=action.drift is not None)

    def _take(self, desired: Desired, reply: dict[str, Any], action: ChildAction, *, drift: bool) -> None:
        """Remember what an object has become, and whether it is what was applied."""
        self._cache.take_child(reply, desired.key.kind)
        self._written.versions.add(version_of(reply))
        if drift:
            telemetry.DRIFT.labels(desired.key.kind).inc()
        log.info("applied %s %s: %s", desired.key.kind, desired.key.name, action.why)
        self._written.without_effect.pop(desired.key, None)
        now_there = self._cache.children.get(desired.key)
        if now_there is None or now_there.verified == desired.digest:
            return
        if now_there.resource_version != int(reply["metadata"]["resourceVersion"]):
            return  # somebody wrote since, and a watch was faster than our reply: the next pass judges that
        again = action_for(desired, now_there, now_there.owner_uid or self._uid)
        if again.kind is ActionKind.SKIP:
            now_there.verified, now_there.body = now_there.applied, None
        elif again.kind in {ActionKind.APPLY, ActionKind.REMAKE}:
            self._written.without_effect[desired.key] = (desired.digest, now_there.resource_version)
            log.warning("%s %s did not become what was applied: %s", desired.key.kind, desired.key.name, again.why)

    async def _secret(self, desired: Desired) -> None:
        """Write a Secret without ever reading one: what was written is remembered, and written again now and then."""
        known = self._written.secrets.get(desired.key)
        fresh = known is not None and time.monotonic() - known.at < _secret_life(self._all_ready)
        if self._left(desired.key.kind) or (known is not None and fresh and known.digest == desired.digest):
            return
        kind = BY_NAME[desired.key.kind]
        uid = await self._own_secret(desired) if known is None else known.uid
        if uid is None:
            return
        try:
            await self._client.apply(kind, desired.manifest, uid)
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            # It is another by now, or gone: all is as if none had been written.
            self._written.secrets.pop(desired.key, None)
            if known is None:
                raise
            await self._secret(desired)
            return
        self.found.writes += 1
        self._written.secrets[desired.key] = WrittenSecret(uid, desired.digest, time.monotonic())

    async def _own_secret(self, desired: Desired) -> str | None:
        """Return the uid of our Secret, made empty where there is none; None where the name is somebody else's."""
        kind, key, manifest = BY_NAME[desired.key.kind], desired.key, desired.manifest
        empty = {name: value for name, value in manifest.items() if name != "data"}
        try:
            return str((await self._client.create(kind.path(key.namespace), empty))["metadata"]["uid"])
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        raw = await self._client.identify(kind, key.namespace, key.name)
        owner, why = owner_of(marks_of(raw), key.kind, self._uid, manifest["metadata"]["labels"][LABEL_INSTANCE])
        if owner is Owner.OURS and not is_going(raw):
            return str(raw["metadata"]["uid"])
        self.found.missing.add(key)
        if owner in {Owner.OURS, Owner.REMNANT}:
            self.found.waiting.append(f"{key.kind} {key.name}: {why or 'it is being deleted'}")
        else:
            self.found.taken.append(f"{key.kind} {key.name} exists and {why}")
        return None

    async def _delete(self, child: Observed, why: str) -> None:
        await self._client.delete(BY_NAME[child.key.kind], child.key.namespace, child.key.name, child.uid)
        self.found.writes += 1
        child.deleting = True
        log.info("deleted %s %s: %s", child.key.kind, child.key.name, why)
