"""A system whose volumes are backed up, in memory but for the driver's folder: API server, pods that write, driver.

Time is the test's. The operator is killed by raising from one of its calls, before or after the call took effect; now
and then its calls about backups fail for minutes while its passes go on. What a snapshot holds is judged from the
driver's folder, where every file says how many seconds its writer had written.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from bellwether_operator.apply.client import ApiError, Listing
from bellwether_operator.backups.drills import is_due
from bellwether_operator.backups.running import Backups
from bellwether_operator.backups.snapshots import SNAPSHOTS
from bellwether_operator.backups.status import progress_of
from bellwether_operator.backups.steps import HOLD, QUIESCE, Picture, Progress
from bellwether_operator.following import ActionKey
from bellwether_operator.gateway_view import GatewayError, Held
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, JOB, PODS, Kind, SystemKey
from bellwether_operator.settings import Settings

KEY = ActionKey("trade", "nightly")
SYSTEM = SystemKey("trade", "demo")
CLAIMS = ("data-demo-0", "data-demo-nats-0")
FILES = ("first", "second", "third")
RESTARTS = timedelta(seconds=30)
"""How much longer than its deadline a system may be without pods while operators are killed in that very second."""
FAULTS = ("none", "slow", "late", "failing", "stuck", "final", "partial")


LIES = {"partial": {"NotWhole"}}
"""As what a backup fails besides whose driver calls snapshots ready that lack files."""


class Killed(BaseException):
    """The operator's process is gone."""


@dataclass
class Driver:
    """Cuts volumes as slowly as it likes, a file each second, and fails as it likes."""

    folder: Path
    random: Random
    fault: str
    due: dict[str, int] = field(default_factory=dict)
    copied: dict[str, int] = field(default_factory=dict)

    def tick(self, snapshots: dict[str, dict[str, Any]], volumes: Mapping[str, Path], at: datetime) -> None:
        """Do what a second brings."""
        for name, raw in sorted(snapshots.items()):
            claim = raw["spec"]["source"]["persistentVolumeClaimName"]
            status = raw.setdefault("status", {})
            if status.get("readyToUse"):
                continue
            if self.fault in {"stuck", "final"} and claim == CLAIMS[1]:
                final = "failed to get snapshot class: not found" if self.fault == "final" else "busy"
                status["error"] = {"message": final}
                continue
            most = {"slow": 60, "late": 400}.get(self.fault, 3)
            if name not in self.due:
                self.due[name] = self.random.randrange(most)
            if self.due[name] > 0:
                self.due[name] -= 1
                if self.fault == "failing" and self.random.random() < 0.5:
                    status["error"] = {"message": "the storage did not answer"}
                continue
            done = self.copied.setdefault(name, 0)
            if done < len(FILES) - (self.fault == "partial" and claim == CLAIMS[1]):
                target = self.folder / name
                target.mkdir(parents=True, exist_ok=True)
                (target / FILES[done]).write_bytes((volumes[claim] / FILES[done]).read_bytes())
                self.copied[name] += 1
                continue
            if "creationTime" not in status:
                status |= {"creationTime": _text(at), "boundVolumeSnapshotContentName": f"c-{name}"}
                self.due[name] = self.random.randrange(most)
                continue
            status |= {"readyToUse": True, "restoreSize": "1Gi"}


class World:
    """The API server as far as a backup needs it; every call may be the operator's last one."""

    def __init__(self, folder: Path, random: Random, fault: str = "") -> None:
        """Make a world whose driver has a fault; without one any but partial, by chance."""
        self.random = random
        self.now = datetime(2026, 11, 27, 21, 30, tzinfo=UTC)
        self.backup: dict[str, Any] = {
            "metadata": {
                "name": KEY.name,
                "namespace": KEY.namespace,
                "uid": "u-1",
                "generation": 1,
                "creationTimestamp": "2026-11-27T21:30:00Z",
            },
            "spec": {"system": SYSTEM.name},
        }
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.scratch: dict[tuple[str, str], dict[str, Any]] = {}
        """What was made to read the snapshots, by kind and name."""
        self.read_in = 0
        self.says = '{"databases": {}, "files": 3, "bytes": 9, "seconds": 0.1}'
        """What the pod that reads says when no file is missing; with `error: ` it ends in vain."""
        self.volumes = {claim: folder / "volumes" / claim for claim in CLAIMS}
        for volume in self.volumes.values():
            volume.mkdir(parents=True)
        self.driver = Driver(folder / "driver", random, fault or random.choice(FAULTS[:-1]))
        self.wanted = self.has_pods = True
        self.ending = 0
        self.written = 0
        self.without_pods = 0
        self.longest = 0
        self.hold_id = self.let_go_id = ""
        self.held_until = self.now
        self.held_for = self.longest_held = 0
        self.calls_left = random.randrange(1, 12)
        self.kills = 0
        self.outage = self.now + timedelta(seconds=random.randrange(60))
        self.works_again = self.outage + timedelta(seconds=random.choice((0, 0, 20, 400)))
        self._write()

    async def _call(self) -> None:
        if self.outage <= self.now < self.works_again:
            raise ApiError(503, "ServiceUnavailable", "not now")
        self.calls_left -= 1
        if self.calls_left == 0:
            raise Killed

    async def hold(self, system: SystemKey, uid: str, hold: str, seconds: float) -> None:
        await self._call()
        if not self.has_pods or self.random.random() < 0.2:
            raise GatewayError("the gateway does not answer")
        self.hold_id, self.held_until = hold, self.now + timedelta(seconds=seconds)

    async def let_go(self, system: SystemKey, uid: str, hold: str) -> Held:
        early = self.random.random() < 0.5
        if early:
            await self._call()
        if self.hold_id == hold:
            self.let_go_id, self.hold_id = hold, ""
        if not early:
            await self._call()
        whole = self.let_go_id == hold
        return Held(whole, () if whole else ("prediction",), 1000)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        await self._call()
        if kind == SNAPSHOTS:
            self.snapshots.pop(name, None)
        self.scratch.pop((kind.kind, name), None)

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        await self._call()
        there = self.snapshots.get(name) if kind == SNAPSHOTS else self.scratch.get((kind.kind, name))
        return copy.deepcopy(there)

    async def knows(self, kind: Kind, namespace: str) -> bool:
        return True

    async def page(self, kind: Kind, *_: Any, **__: Any) -> Listing:
        jobs = [raw for (name, _), raw in self.scratch.items() if name == JOB]
        pods = [{"metadata": {"name": "look"}, "status": raw["pod"]} for raw in jobs if "pod" in raw]
        found = {BY_NAME[JOB]: jobs, PODS: pods}.get(kind, [self.backup])
        return Listing(copy.deepcopy(found), 1)

    async def create(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        early = self.random.random() < 0.5
        if early:
            await self._call()
        made = copy.deepcopy(dict(manifest))
        made["metadata"]["uid"] = f"u-{made['metadata']['name']}"
        there: dict[Any, dict[str, Any]] = self.snapshots if made["kind"] == SNAPSHOTS.kind else self.scratch
        name = made["metadata"]["name"]
        there.setdefault(name if there is self.snapshots else (made["kind"], name), made)
        if not early:
            await self._call()
        return dict(manifest)

    async def apply_status(self, namespace: str, name: str, status: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
        early = self.random.random() < 0.5
        if early:
            await self._call()
        self.backup["status"] = copy.deepcopy(dict(status))
        if not early:
            await self._call()
        return copy.deepcopy(self.backup)

    def operator(self) -> Playing:
        """Start an operator, which knows nothing."""
        settings = Settings("localhost/services:1", b"not secret: a seed for tests only")
        client: Any = self
        return Playing(client, Cache(), lambda _: None, lambda: self.now, settings=settings, holder=self).over(self)

    def second(self, operator: Backups | None) -> None:
        """Let a second pass; without an operator nobody scales anything."""
        self.now += timedelta(seconds=1)
        if operator is not None:
            self.wanted = operator.quiesced(SYSTEM) is None
        if self.wanted and not self.has_pods:
            self.has_pods = True
        elif not self.wanted and self.has_pods:
            self.ending = self.ending or self.random.randrange(1, 30)
            self.ending -= 1
            self.has_pods = self.ending > 0
        if self.hold_id and (self.now >= self.held_until or not self.has_pods or self.random.random() < 0.03):
            self.hold_id = ""  # its deadline, or a service that was started again
        self.held_for = self.held_for + 1 if self.hold_id else 0
        self.longest_held = max(self.longest_held, self.held_for)
        if self.has_pods:
            self.without_pods = 0
            if not self.hold_id:
                self._write()
        else:
            self.without_pods += 1
            self.longest = max(self.longest, self.without_pods)
        self.driver.tick(self.snapshots, self.volumes, self.now)
        self._read()

    def _read(self) -> None:
        """Play the pod that reads scratch copies, some seconds after it was made."""
        jobs = [raw for (kind, _), raw in self.scratch.items() if kind == JOB]
        self.read_in = (self.read_in or self.random.randrange(1, 8)) - 1
        if not jobs or self.read_in or "status" in jobs[0]:
            return
        claims = [raw for (kind, _), raw in self.scratch.items() if kind == "PersistentVolumeClaim"]
        names = [raw["spec"]["dataSource"]["name"] for raw in claims if "dataSource" in raw["spec"]]
        lost = [f"{name}: missing" for name in names if len(self.held(name)) != len(FILES)]
        said = f"error: {'; '.join(lost)}" if lost else self.says
        in_vain = said.startswith("error: ")
        kind, why = ("Failed", "PodFailurePolicy") if in_vain else ("Complete", "CompletionsReached")
        jobs[0]["status"] = {"conditions": [{"type": kind, "status": "True", "reason": why}]}
        ended = {"terminated": {"finishedAt": _text(self.now), "message": said}}
        jobs[0]["pod"] = {"containerStatuses": [{"name": "look", "state": ended}]}

    def _write(self) -> None:
        self.written += 1
        for volume in self.volumes.values():
            for name in FILES:
                (volume / name).write_text(str(self.written))

    @property
    def progress(self) -> Progress:
        """How far the backup says that it is."""
        return progress_of(self.backup)

    def held(self, snapshot: str) -> list[str]:
        """Return what the files of a snapshot say in the driver's folder."""
        folder = self.driver.folder / snapshot
        return [(folder / name).read_text() for name in FILES if (folder / name).exists()]


class Playing(Backups):
    """The operator's backups, whose picture of the system is the world's."""

    world: World

    def over(self, world: World) -> Playing:
        """Return it with the world that it sees."""
        self.world = world
        return self

    async def _picture(self, raw: Mapping[str, Any], before: Progress) -> Picture:
        pods = ("system",) if self.world.has_pods else ()
        return Picture(self.world.now, CLAIMS, pods, None, await self._snapshots(raw, before))

    def _facts(self, raw: Mapping[str, Any]) -> dict[str, str]:
        return {"declaration": json.dumps({"metadata": {"name": SYSTEM.name}, "spec": {"symbols": ["CBA.AX"]}})}

    def _system_uid(self, raw: Mapping[str, Any]) -> str:
        return "s-1"

    async def step(self) -> None:
        """Do what the loop over backups does once."""
        raw = self._follower.known[KEY]
        step = self._next(raw)
        if step is not None:
            await step(KEY, raw)


async def backed_up(world: World, most_kills: int = 8) -> None:
    """Run a backup to its end, and its test where it is to have one, with the operator killed and started again."""
    operator: Playing | None = None
    for _ in range(3 * int(QUIESCE.total_seconds()) + 3 * 3600):
        try:
            if operator is None:
                operator = world.operator()
                await operator.list_all(None)
            await operator.step()
        except ApiError:
            pass
        except Killed:
            operator = None
            world.kills += 1
            world.calls_left = world.random.randrange(1, 25) if world.kills < most_kills else 10**9
        world.second(operator)
        progress, wanted = world.progress, bool(world.backup["spec"].get("drill"))
        if (
            progress.state in {"complete", "failed"}
            and not is_due(progress, wanted=wanted)
            and operator is not None
            and world.has_pods
        ):
            return
    raise AssertionError(f"no end: {world.progress}")


def violations(world: World) -> list[str]:
    """Return what is wrong with a backup that has ended, as the driver's folder shows it; nothing when all is well."""
    progress, found = world.progress, []
    if not world.has_pods:
        found.append("the system does not run")
    if timedelta(seconds=world.longest) > QUIESCE + RESTARTS:
        found.append(f"the system had no pods for {world.longest} s")
    if timedelta(seconds=world.longest_held) > HOLD:
        found.append(f"the services were held for {world.longest_held} s")
    if world.scratch:
        found.append(f"left behind: {', '.join(name for _, name in world.scratch)}")
    if progress.state == "failed":
        if progress.reason not in {"SnapshotFailed", "QuiesceTimeout"} | LIES.get(world.driver.fault, set()):
            found.append(f"failed without a reason of its own: {progress.reason}")
        if world.driver.fault == "none" and world.works_again - world.outage <= QUIESCE:
            found.append(f"failed though nothing was in its way: {progress.message}")
        return found
    if world.driver.fault in {"stuck", "final"} or len(progress.volumes) != len(world.volumes):
        return [*found, "complete with a volume missing"]
    held = [world.held(volume.snapshot) for volume in progress.volumes]
    if any(len(each) != len(FILES) for each in held) or len({said for each in held for said in each}) != 1:
        found.append(f"complete with files of several instants: {held}")
    return found


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
