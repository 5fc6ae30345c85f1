"""The steps of a backup by volume snapshots. Pure: from what is there follows the one thing to be done next.

    1  expect    every volume of the system is written to the backup's status, before anything is made
    2  hold      the services are asked to write nothing, for seconds; that they do not is written down
    3  snapshot  one for each expected volume, by its name
    4  cut       wait until the driver has cut every one
    5  let go    the services write again, and say whether none wrote meanwhile
    6  ready     wait until every one can be restored
    7  verify    a Job reads scratch copies of all, and compares them with what the services held
    8  complete  what was made for step 7 goes after it, as after a failure

Where the services cannot be held, or did not hold until all was cut, what was cut is dropped, and instead of 2 and 5:

    2a quiesce   the system is to have no pods, until a deadline that is written down too
    2b stop      wait until it has none
    ...
    5a cut       from here on the system runs again

Everything that a step needs is in the API server, so the operator can be killed at any of them and goes on by looking
again. The deadline is part of the picture: past it the system has its pods whether anybody looks or not, and a backup
that was not cut by then has failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec.structs import replace

from bellwether_operator.backups.errors import is_final
from bellwether_operator.backups.snapshots import Seen, second_name, snapshot_name

PRUNING = "Pruning"
_WORDS = 500
APPEARS = timedelta(minutes=1)
"""How long after its making a backup waits for a system, or volumes of it, that are not there yet."""
QUIESCE = timedelta(minutes=5)
"""How long the system may be without pods for a backup, from step 2 to step 5."""
HOLD = timedelta(seconds=10)
"""How long the services may be held: they write again after it, whatever became of the backup."""
READY = timedelta(hours=2)
"""How long a snapshot that was cut may take until it can be restored."""

UNAVAILABLE = "this cluster knows no VolumeSnapshots (snapshot.storage.k8s.io/v1): install its definitions and a driver"
State = Literal["running", "complete", "failed", "pruning"]
"""pruning: it has outlived its use, and its snapshots are being removed; it counts for nothing any more."""


class Volume(msgspec.Struct, frozen=True, rename="camel"):
    """One expected volume, and its snapshot as it was seen last."""

    claim: str
    snapshot: str
    content: str = ""
    cut_at: str = ""
    size: str = ""
    ready: bool = False


class Stored(msgspec.Struct, frozen=True, rename="camel"):
    """A backup in a repository."""

    location: str
    where: str
    attempts: int = 1
    retry_at: datetime | None = None
    """When it is tried again."""
    id: str = ""
    """Of the backup in the repository, once it is complete."""
    session: str = ""
    size: int = msgspec.field(default=0, name="bytes")
    """Bytes of its pieces."""
    added: int = msgspec.field(default=0, name="addedBytes")
    """Bytes that the repository grew by."""


class Progress(msgspec.Struct, frozen=True, rename="camel"):
    """How far a backup is: what its status says, under the same names but for what stands in its conditions."""

    volumes: tuple[Volume, ...] = ()
    stored: Stored | None = msgspec.field(default=None, name="repository")
    """Of a backup in a repository, which has no volumes."""
    class_name: str = ""
    started_at: datetime | None = None
    held_until: datetime | None = None
    """Until when the services write nothing."""
    not_held: str = ""
    """Why it is made without pods: in words, what was in the way of a hold."""
    held_milliseconds: int = 0
    quiesced_until: datetime | None = None
    cut_at: datetime | None = None
    verify_started_at: datetime | None = None
    verify_ended_at: datetime | None = None
    """When all that was made to verify it was gone."""
    ended_at: datetime | None = None
    without_pods: int = msgspec.field(default=0, name="secondsWithoutPods")
    """For how many seconds the system was to have no pods."""
    state: State = "running"
    reason: str = "Started"
    message: str = ""
    verified: bool | None = None
    """Whether it was found whole when it was restored for a test; None: that was not done, or goes on."""
    drill_started_at: datetime | None = None
    drill_ended_at: datetime | None = None
    """When all that was made for the test was gone."""
    drill_reason: str = ""
    drill_message: str = ""


@dataclass(frozen=True)
class Picture:
    """What is there besides."""

    now: datetime
    claims: Sequence[str] | None
    """The claims of the system, empty while one is missing; None where there is no such system."""
    pods: Sequence[str]
    """The workloads that still have pods."""
    hindrance: str | None
    """Why the system's pods cannot be stopped now, in words: it is paused, or another backup goes first."""
    snapshots: Mapping[str, Seen] | None
    """By name, those that are there; None where the cluster knows nothing of snapshots."""
    class_name: str = ""
    made_at: datetime | None = None
    """When the backup was."""
    verifying: str = ""
    """Another backup of the namespace that is being verified: one at a time is."""


@dataclass(frozen=True)
class Step:
    """What is next: the progress to be written, and after that snapshots to be made or dropped.

    Before it is written the services are to be held or let go, or what was made to verify it looked at; what came of
    that makes another step of this one, by `held`, `let_go` or `verify_step`.
    """

    progress: Progress
    make: tuple[Volume, ...] = ()
    drop: tuple[str, ...] = ()
    hold: bool = False
    let_go: bool = False
    verify: bool = False


def next_step(before: Progress, picture: Picture) -> Step:
    """Return the next step of a backup that has not ended."""
    if not before.volumes and not picture.claims:
        return _not_there(before, picture)
    if picture.snapshots is None:
        return _fail(before, picture, "SnapshotsUnavailable", UNAVAILABLE)
    if not before.volumes:
        return _expect(before, picture, picture.claims or ())
    if before.cut_at is None:
        return _until_cut(before, picture, picture.snapshots)
    return _until_ready(_looked_at(before, picture.snapshots), picture, picture.snapshots)


def _not_there(before: Progress, picture: Picture) -> Step:
    """Return the failure where a system is not there, or without its volumes; of a new backup it is waited for."""
    reason, words = "NoVolumes", "the system has not all of its volumes yet"
    if picture.claims is None:
        reason, words = "SystemNotFound", picture.hindrance or "there is no such TradingSystem in this namespace"
    if picture.made_at is not None and picture.now < picture.made_at + APPEARS:
        return Step(replace(before, reason="Waiting", message=words))
    return _fail(before, picture, reason, words)


def _expect(before: Progress, picture: Picture, claims: Sequence[str]) -> Step:
    return Step(
        replace(
            before,
            volumes=tuple(Volume(claim, "") for claim in sorted(claims)),
            class_name=picture.class_name,
            started_at=picture.now,
            reason="Expected",
            message=f"{len(claims)} volumes are expected: {', '.join(sorted(claims))}",
        )
    )


def _until_cut(before: Progress, picture: Picture, snapshots: Mapping[str, Seen]) -> Step:
    if before.held_until is not None:
        return _while_held(before, before.held_until, picture, snapshots)
    if before.quiesced_until is None:
        if picture.hindrance is not None:
            return Step(replace(before, reason="Waiting", message=picture.hindrance))
        if not before.not_held:
            return Step(before, hold=True)
        until = picture.now + QUIESCE
        words = f"the system has no pods until its volumes are cut, until {until:%H:%M:%S} UTC at the latest"
        words = f"{words}: {before.not_held}"
        return Step(replace(before, quiesced_until=until, reason="Quiescing", message=words))
    seen = _looked_at(before, snapshots)
    if (failed := _refused(seen, picture, snapshots)) is not None:
        return failed
    if picture.now >= before.quiesced_until:
        late = [volume.claim for volume in seen.volumes if not volume.cut_at]
        what = f"{', '.join(picture.pods)} still had pods" if picture.pods else f"not cut: {', '.join(late)}"
        # The pods may be back already: what was cut since may have been cut while they wrote.
        what = what if picture.pods or late else "nobody saw in time that every volume was cut"
        words = f"{what} after {QUIESCE.total_seconds():g} s; the system runs again"
        return _fail(seen, picture, "QuiesceTimeout", words)
    if all(volume.cut_at for volume in seen.volumes):
        words = "every volume is cut, the system runs again; waiting until all can be restored"
        without = int((picture.now - (before.quiesced_until - QUIESCE)).total_seconds())
        cut = replace(seen, cut_at=picture.now, quiesced_until=None, without_pods=without, reason="Cut", message=words)
        return Step(cut)
    missing = tuple(volume for volume in seen.volumes if volume.snapshot not in snapshots)
    if picture.pods and missing:
        # What is there already was made when there were no pods: only what is missing has to wait.
        words = f"waiting for the pods of {', '.join(picture.pods)} to end"
        return Step(replace(seen, reason="Quiescing", message=words))
    waiting = [volume.claim for volume in seen.volumes if not volume.cut_at]
    return Step(replace(seen, reason="Snapshotting", message=f"not cut yet: {', '.join(waiting)}"), missing)


def held(before: Progress, now: datetime, refused: str | None) -> Step:
    """Return what is next once the services were asked to hold, and why they do not; None: they do."""
    if refused is not None:
        return Step(replace(before, not_held=refused[:_WORDS]))
    words = "no service writes until every volume is cut"
    return Step(replace(before, held_until=now + HOLD, reason="Snapshotting", message=words), before.volumes)


def _while_held(before: Progress, until: datetime, picture: Picture, snapshots: Mapping[str, Seen]) -> Step:
    seen = _looked_at(before, snapshots)
    if (failed := _refused(seen, picture, snapshots)) is not None:
        return Step(failed.progress, let_go=True)
    late = [volume.claim for volume in seen.volumes if not volume.cut_at]
    if not late or picture.now >= until:
        return Step(seen, let_go=True)
    missing = tuple(volume for volume in seen.volumes if volume.snapshot not in snapshots)
    return Step(replace(seen, message=f"not cut yet: {', '.join(late)}"), missing)


def let_go(step: Step, now: datetime, broken: str | None, milliseconds: int) -> Step:
    """Return what is next once the services write again.

    Args:
        step: that said so.
        now: aware.
        broken: why the hold is not known to have lasted; None: it has, until all that is cut was cut.
        milliseconds: how long it was.
    """
    seen = step.progress
    if seen.state == "failed":
        return step
    late = [volume.claim for volume in seen.volumes if not volume.cut_at]
    if not late and broken is None:
        words = "every volume is cut, the services write again; waiting until all can be restored"
        cut = replace(seen, held_until=None, held_milliseconds=milliseconds, cut_at=now, reason="Cut", message=words)
        return Step(cut)
    what = f"not cut within {HOLD.total_seconds():g} s: {', '.join(late)}" if late else broken
    again = tuple(Volume(volume.claim, second_name(volume.snapshot)) for volume in seen.volumes)
    words = f"what was cut while the services were held is dropped: {what}"
    after = replace(seen, volumes=again, held_until=None, not_held=words[:_WORDS], reason="Dropped", message=words)
    return Step(after, drop=tuple(volume.snapshot for volume in seen.volumes))


def _until_ready(seen: Progress, picture: Picture, snapshots: Mapping[str, Seen]) -> Step:
    lost = [volume.snapshot for volume in seen.volumes if volume.snapshot not in snapshots]
    if lost:
        return _fail(seen, picture, "SnapshotLost", f"somebody deleted {', '.join(lost)}")
    if (failed := _refused(seen, picture, snapshots)) is not None:
        return failed
    late = [volume.claim for volume in seen.volumes if not volume.ready]
    if not late and seen.verify_started_at is not None:
        return Step(seen, verify=True)
    if not late and picture.verifying:
        return Step(replace(seen, message=f"every volume can be restored; waiting until {picture.verifying} is read"))
    if not late:
        words = "scratch copies of all volumes are read"
        return Step(replace(seen, verify_started_at=picture.now, reason="Verifying", message=words))
    if seen.cut_at is not None and picture.now >= seen.cut_at + READY:
        return _fail(seen, picture, "NotReady", f"{', '.join(late)} cannot be restored after {READY}")
    return Step(replace(seen, reason="Cut", message=f"waiting until it can be restored: {', '.join(late)}"))


def prune_step(before: Progress, left: Sequence[str]) -> Step:
    """Return the progress of a backup that is being removed, of which these snapshots are still there."""
    words = f"it has outlived its use; waiting until these are gone: {', '.join(left)}" if left else "all of it is gone"
    return Step(replace(before, state="pruning", reason=PRUNING, message=words, quiesced_until=None))


def _looked_at(before: Progress, snapshots: Mapping[str, Seen]) -> Progress:
    """Return the progress with each volume as its snapshot is now. What was cut once stays cut."""
    volumes = []
    for volume in before.volumes:
        seen = snapshots.get(volume.snapshot)
        if seen is None or not seen.ours:
            volumes.append(volume)
            continue
        volumes.append(
            replace(
                volume,
                content=seen.content or volume.content,
                cut_at=seen.cut_at or volume.cut_at,
                size=seen.size or volume.size,
                ready=seen.ready,
            )
        )
    return replace(before, volumes=tuple(volumes))


def _refused(seen: Progress, picture: Picture, snapshots: Mapping[str, Seen]) -> Step | None:
    """Return the failure where a snapshot is somebody else's, or can never come about."""
    for volume in seen.volumes:
        found = snapshots.get(volume.snapshot)
        if found is None:
            continue
        if not found.ours:
            words = f"there is another VolumeSnapshot {volume.snapshot}, which was not made for this backup"
            return _fail(seen, picture, "SnapshotNameTaken", words)
        if found.error and not found.ready and is_final(found.error):
            return _fail(seen, picture, "SnapshotFailed", f"{volume.claim}: {found.error[:500]}")
    return None


def _fail(before: Progress, picture: Picture, reason: str, message: str) -> Step:
    ended = replace(
        before,
        state="failed",
        reason=reason,
        message=message,
        ended_at=picture.now,
        quiesced_until=None,
        held_until=None,
    )
    return Step(ended)


def named(progress: Progress, backup: str) -> Progress:
    """Return the progress with a name for the snapshot of each volume."""
    volumes = tuple(replace(one, snapshot=one.snapshot or snapshot_name(backup, one.claim)) for one in progress.volumes)
    return replace(progress, volumes=volumes)


def quiesced(progress: Progress, now: datetime) -> datetime | None:
    """Return until when a system is to have no pods for this backup, None when it may run."""
    until = progress.quiesced_until
    return until if progress.state == "running" and progress.cut_at is None and until and now < until else None
