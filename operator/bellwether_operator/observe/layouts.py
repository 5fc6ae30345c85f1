"""What was observed of volumes, workloads and Jobs, sorted by the profile that they are part of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bellwether.change.layouts import Claim, Volumes, components_of_claims, volumes_in
from bellwether.change.world import Owner, owner_of
from bellwether.render.kubernetes.moves import MOVED_IN, NOTHING_MOVED_IN, PROFILES, Profile, at_profile
from bellwether.render.kubernetes.names import LABEL_COMPONENT, MOVE, content_hash
from bellwether.render.kubernetes.quantities import mebibytes
from bellwether.render.kubernetes.workloads import components, stateful_components
from bellwether.spec.fields import SIZE_PATTERN
from bellwether.spec.models import TradingSystem
from bellwether_operator.observe.cache import Observed
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, JOB

ByComponent = Mapping[str, Observed | None]
"""All components of a profile; None where nothing is there."""


def other(profile: Profile) -> Profile:
    """Return the profile that this one is not."""
    return next(each for each in PROFILES if each != profile)


@dataclass(frozen=True)
class Layouts:
    """Both profiles of a system, as far as they are there."""

    system: TradingSystem
    claims: Mapping[Profile, ByComponent]
    workloads: Mapping[Profile, ByComponent]
    jobs: tuple[Observed, ...]
    """The Jobs of moves."""

    volumes: Volumes
    """Which of the claims are in force."""

    def said(self, profile: Profile) -> dict[str, str]:
        """Return what each claim of a profile says, or is to say when it is made for a move."""
        found = self.claims[profile].items()
        return {name: NOTHING_MOVED_IN if claim is None else _claim(claim).says for name, claim in found}

    def unready_claims(self, target: Profile) -> str | None:
        """Return why the volumes of both profiles cannot be mounted together yet, or None."""
        claims = [claim for found in self.claims.values() for claim in found.values() if claim is not None]
        if ending := [claim.key.name for claim in claims if claim.deleting]:
            return f"waiting, as volume claims are being deleted: {', '.join(ending)}"
        if any(claim is None for claim in self.claims[target].values()):
            return "volumes are being made"
        return None

    def with_pods(self, profile: Profile) -> tuple[str, ...]:
        """Return the components of a profile whose workloads have pods, or may have some soon."""
        found = self.workloads[profile].items()
        return tuple(name for name, each in found if each is not None and not each.deleting and not _stopped(each))

    def running(self, profile: Profile) -> set[str]:
        """Return the components of a profile that have pods."""
        found = self.workloads[profile].items()
        return {name for name, each in found if each is not None and (each.replicas or each.status.get("replicas"))}

    def ending(self, profile: Profile) -> bool:
        """Whether workloads of a profile that had pods when they were last looked at are being deleted."""
        found = self.workloads[profile].values()
        return any(each is not None and each.deleting and bool(each.status.get("replicas")) for each in found)

    def not_stopped(self, profile: Profile) -> tuple[str, ...]:
        """Return the components that may still have pods; of a workload that is not there nobody says it has none."""
        return tuple(name for name, each in self.workloads[profile].items() if each is None or not _stopped(each))

    def stopped_mark(self, profile: Profile) -> str:
        """Return a hash of the workloads as they are specified: to start them, even for a moment, changes it."""
        found = self.workloads[profile].items()
        return content_hash([[name, each.uid, each.generation] for name, each in found if each is not None])


def look(system: TradingSystem, children: Iterable[Observed]) -> Layouts:
    """Sort what was observed of a system and of the claims that an earlier one of its name left."""
    uid, name = system.metadata.uid, system.metadata.name
    there = {each.key: each for each in children}.values()
    own = [each for each in there if each.belongs_to(uid)]
    running = {each.labels.get(LABEL_COMPONENT, ""): each for each in own if BY_NAME[each.key.kind].workload}
    names = components_of_claims(system)
    claims = {
        names[each.key.name]: each
        for each in there
        if each.key.kind == CLAIM
        and each.key.name in names
        # What belongs to a deleted system of the same name goes with it.
        and owner_of(each, CLAIM, uid, name)[0] in {Owner.OURS, Owner.RETAINED}
    }
    shown = {profile: at_profile(system, profile) for profile in PROFILES}
    return Layouts(
        system,
        {profile: {name: claims.get(name) for name in stateful_components(shown[profile])} for profile in PROFILES},
        {profile: {name: running.get(name) for name in components(shown[profile])} for profile in PROFILES},
        tuple(each for each in own if each.key.kind == JOB and each.labels.get(LABEL_COMPONENT) == MOVE),
        volumes_in(
            system.spec.profile,
            {name: _claim(each, followed=each.belongs_to(uid) and not each.deleting) for name, each in claims.items()},
            {name: each.replicas or 0 for name, each in running.items()},
        ),
    )


def volume_size(children: Iterable[Observed], uid: str) -> str | None:
    """Return the largest size that a system's volume claims ask for, as the API server accepted it."""
    sizes = {each.storage for each in children if each.key.kind == CLAIM and each.belongs_to(uid)}
    stated = [size for size in sizes if size is not None and re.fullmatch(SIZE_PATTERN, size)]
    return max(stated, key=mebibytes, default=None)


def _claim(claim: Observed, *, followed: bool = True) -> Claim:
    return Claim(claim.annotations.get(MOVED_IN), followed)


def _stopped(workload: Observed) -> bool:
    """Whether a workload is to have no pod, and its controller has seen that and says that none is left."""
    return (
        workload.replicas == 0
        and int(workload.status.get("observedGeneration", 0)) >= workload.generation
        and not workload.status.get("replicas")
    )
