"""Which profile's volumes are in force, and the next step of a move to those of another. Pure.

The truth is on the volume claims: each says by its annotation which move filled it. The profile whose claims say the
highest number is in force, whatever is declared; it outlives the resource, as retained claims do. A pass looks at what
is there and takes the one step that can be taken; any number of passes, by any number of operators that were killed in
between, come to the declared profile, and pods of both never run together. See docs/decisions/0013-profile-change.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from bellwether.render.kubernetes import Manifest, RenderContext, configmaps, render
from bellwether.render.kubernetes.moves import (
    ATTEMPT,
    NOTHING_MOVED_IN,
    STOPPED,
    MoveJob,
    Profile,
    at_profile,
    move_job,
    move_name,
    move_policy,
    with_moved_in,
)
from bellwether.render.kubernetes.names import LABEL_COMPONENT, NATS, content_hash
from bellwether.render.kubernetes.volumes import made_from, volume_claim
from bellwether.spec.models import TradingSystem
from bellwether_operator.backups.restoring import Restore, restore_of
from bellwether_operator.halting import with_replicas
from bellwether_operator.observe.cache import ChildKey, Observed
from bellwether_operator.observe.kinds import BY_NAME, CLAIM
from bellwether_operator.observe.layouts import Layouts, look, other

Stage = Literal["prepare", "stop", "copy", "adopt", "failed"]


@dataclass(frozen=True)
class Move:
    """A move that is to be done."""

    number: int
    source: Profile
    target: Profile
    stage: Stage
    """prepare: the new claims are made; stop: the pods end; copy: the Job runs; adopt: the new claims are marked;
    failed: the Job has given up, and the former profile runs again."""
    words: str


class Drop(NamedTuple):
    """A Job that is to be deleted."""

    key: ChildKey
    uid: str


@dataclass(frozen=True)
class Layout:
    """What a pass is to render."""

    profile: Profile
    """The one in force: its workloads, services and policies are there."""
    claims: tuple[tuple[str, str], ...]
    """The components whose volume claims are there, and what each claim says of the move that filled it."""
    stopped: tuple[str, ...] = ()
    """Components, of either profile, whose workloads are there and are to have no pods."""
    job: MoveJob | None = None
    """The Job to be made; None where it is there."""
    drop: tuple[Drop, ...] = ()
    """Jobs of moves that are over, were given up, or begin anew."""
    move: Move | None = None
    restore: Restore = field(default_factory=Restore)
    """What claims of the profile in force are made from."""

    @property
    def moving(self) -> str | None:
        """How far the move is, in words; None where there is none, or it has failed."""
        return None if self.move is None or self.move.stage == "failed" else self.move.words

    @property
    def failed(self) -> str | None:
        """Why the move has failed, in words."""
        return self.move.words if self.move is not None and self.move.stage == "failed" else None


def profile_in_force(system: TradingSystem, children: Iterable[Observed]) -> Profile | None:
    """Return the profile whose volumes hold what the system did last; None where it has not done anything yet."""
    return look(system, children).volumes.in_force


def layout(
    system: TradingSystem,
    children: Iterable[Observed],
    *,
    image: str,
    wanted: Profile | None = None,
    quiesced: bool = False,
    backup: Mapping[str, Any] | None = None,
) -> Layout:
    """Return what is to be rendered now, so that the wanted profile comes into force and nothing is lost.

    Args:
        system: the declaration.
        children: what was observed of the system, and the claims that an earlier one of its name left.
        image: what the Job runs; another one is a reason to try again what has failed.
        wanted: the profile to go to, where it is not the declared one because a session is under way.
        backup: the TradingBackup that the declaration is restored from, where there is one of that name.
        quiesced: whether the system is to have no pods, since its volumes are being cut for a backup.

    """
    seen = look(system, children)
    goal = wanted or system.spec.profile
    profile = seen.volumes.in_force or goal
    restore = restore_of(system, seen.claims[profile], backup)
    if goal != profile:
        moving = _moving(seen, profile, goal, content_hash([image, system.spec.storage.size]))
        return replace(moving, restore=restore)
    # Held back by a session only: what has failed is not tried again at every close.
    held_back = system.spec.profile != profile
    over = [each for each in seen.jobs if not (held_back and _condition(each, "Failed") is not None)]
    return Layout(
        profile,
        # The claims that are not in use follow the declaration too: deleted with the system, or retained.
        claims=(
            *_filled(seen, profile),
            *((name, said) for name, said in seen.volumes.said.items() if name not in seen.claims[profile]),
        ),
        stopped=_stopped(seen, profile, all_of_it=quiesced),
        drop=_drops(over),
        restore=restore,
    )


def _moving(seen: Layouts, profile: Profile, goal: Profile, attempt: str) -> Layout:
    """Return the next step of a move from the profile in force to another."""
    number = seen.volumes.number + 1
    name = move_name(seen.system, number)
    wanted = MoveJob(number, profile, goal, seen.stopped_mark(profile), attempt)
    jobs = [each for each in seen.jobs if not each.deleting]
    job = next((each for each in jobs if each.key.name == name and _stands(each, wanted)), None)
    drop = _drops(each for each in jobs if each is not job)

    def step(stage: Stage, words: str, *, stop: bool, make: MoveJob | None = None) -> Layout:
        target = seen.said(goal) if stage != "adopt" else dict.fromkeys(seen.claims[goal], str(number))
        return Layout(
            profile,
            claims=(*_filled(seen, profile), *target.items()),
            stopped=_stopped(seen, profile, all_of_it=stop),
            job=make,
            drop=drop,
            move=Move(number, profile, goal, stage, f"from {profile} to {goal}: {words}"),
        )

    if job is not None and (why := _condition(job, "Failed")) is not None:
        words = (
            f"Job {name} has failed: {why}; its log says more (kubectl logs job/{name}). {profile} runs as before. "
            "Another storage.size or version tries again, as does deleting the Job"
        )
        return step("failed", words, stop=False)
    # Pods without a volume that anything was ever moved into: somebody deleted what was in force.
    gone = seen.with_pods(goal) and set(seen.said(goal).values()) == {NOTHING_MOVED_IN}
    lost = f"the volumes of {goal} are gone, so those of {profile}, which are older, are in force; " if gone else ""
    if (unready := seen.unready_claims(goal)) is not None:
        return step("prepare", f"{lost}{unready}", stop=False)
    if late := (*seen.not_stopped(profile), *seen.with_pods(goal)):
        return step("stop", f"{lost}waiting for the pods of {', '.join(late)} to end", stop=True)
    if job is None and any(each.key.name == name for each in seen.jobs):
        return step("stop", f"waiting for the former Job {name} to go", stop=True)
    if job is not None and _condition(job, "Complete") is not None:
        return step("adopt", "everything is copied, the new volumes come into force", stop=True)
    told = f"Job {name} copies the volumes" if job is None else _progress(job)
    return step("copy", told, stop=True, make=wanted if job is None else None)


def _filled(seen: Layouts, profile: Profile) -> list[tuple[str, str]]:
    return [(name, str(seen.volumes.number)) for name in seen.claims[profile]]


def _stopped(seen: Layouts, profile: Profile, *, all_of_it: bool) -> tuple[str, ...]:
    """Return the components without pods: as long as the other profile has pods, those in force have none."""
    others = seen.with_pods(other(profile))
    if not (all_of_it or others or seen.ending(other(profile))):
        return ()
    running = seen.running(profile)
    # NATS goes last: the services still publish what they have in hand.
    spared = {NATS} if NATS in running and len(running) > 1 else set()
    return (*(name for name in seen.workloads[profile] if name not in spared), *others)


def render_layout(system: TradingSystem, context: RenderContext, found: Layout) -> list[Manifest]:
    """Return every object that is to be there, as `render` does, in keeping with a layout."""
    declared = configmaps.declaration(system)
    manifests = _claims(system, found)
    for each in render(at_profile(system, found.profile), context):
        if each["kind"] == declared["kind"] and each["metadata"]["name"] == declared["metadata"]["name"]:
            manifests.append(declared)  # with the declared profile: it says what is wanted, not what is in force
        elif each["kind"] != CLAIM:
            manifests.append(_without_pods(each) if _is_stopped(each, found) else each)
    rest = render(at_profile(system, other(found.profile)), context) if found.stopped else []
    known = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    manifests += [
        _without_pods(each)
        for each in rest
        if _is_stopped(each, found) and (each["kind"], each["metadata"]["name"]) not in known
    ]
    if found.move is not None:
        manifests.append(move_policy(system))
    if found.job is not None:
        manifests.append(move_job(system, context, found.job))
    return manifests


def _claims(system: TradingSystem, found: Layout) -> list[Manifest]:
    sources, restored = dict(found.restore.sources), system.spec.restore_from
    manifests = []
    for component, value in found.claims:
        # What was moved somewhere holds what the system has done since; only what it began with is restored.
        first = str(restored) if restored is not None and value == "0" else None
        claim = with_moved_in(volume_claim(system, component), value)
        manifests.append(made_from(claim, sources.get(component), first))
    return manifests


def _without_pods(manifest: Manifest) -> Manifest:
    return with_replicas(manifest, 0)


def _is_stopped(manifest: Manifest, found: Layout) -> bool:
    return BY_NAME[manifest["kind"]].workload and manifest["metadata"]["labels"][LABEL_COMPONENT] in found.stopped


def _stands(job: Observed, wanted: MoveJob) -> bool:
    """Whether a Job is what is wanted: what it reads has not run since, and where it failed nothing has changed."""
    if _condition(job, "Failed") is not None:
        return job.annotations.get(ATTEMPT) == wanted.attempt
    return job.annotations.get(STOPPED) == wanted.stopped


def _condition(job: Observed, kind: str) -> str | None:
    """Return the words of a condition that is true, else None."""
    for each in job.status.get("conditions") or ():
        if each.get("type") == kind and each.get("status") == "True":
            return str(each.get("message") or each.get("reason") or "it does not say why")
    return None


def _progress(job: Observed) -> str:
    """Return how far a Job is, in words; a pod that cannot run is nowhere else to be seen."""
    name = job.key.name
    tries = int(job.status.get("failed", 0))
    before = f", {tries} tries have failed" if tries else ""
    if job.status.get("ready"):
        return f"Job {name} copies the volumes{before}"
    return f"Job {name} has no pod that runs{before} (kubectl describe pod -l batch.kubernetes.io/job-name={name})"


def _drops(jobs: Iterable[Observed]) -> tuple[Drop, ...]:
    return tuple(Drop(each.key, each.uid) for each in jobs if not each.deleting)
