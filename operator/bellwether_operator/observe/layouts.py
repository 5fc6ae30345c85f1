"""What was observed of volumes, workloads and Jobs, sorted by the profile that they are part of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bellwether.render.kubernetes.moves import MOVED_IN, NOTHING_MOVED_IN, PROFILES, Profile, at_profile
from bellwether.render.kubernetes.names import LABEL_COMPONENT, MOVE, child_name, claim_name, content_hash
from bellwether.render.kubernetes.workloads import components, stateful_components
from bellwether.spec.models import TradingSystem
from bellwether_operator.observe.cache import ChildKey, Observed
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, JOB

_NOTHING = -1
"""Less than the number of any move."""
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

    @property
    def in_force(self) -> Profile | None:
        """The profile whose claims say the highest number; None where no claim holds anything yet.

        Among equals, which only a time before moves were known can have left, it is the one that runs, else the
        declared one.
        """
        found = self._highest()
        if len(found) < 2:
            return found[0] if found else None
        for judge in (self._wants_pods, self._has_workloads):
            judged = [profile for profile in found if judge(profile)]
            if len(judged) == 1:
                return judged[0]
        return self.system.spec.profile

    @property
    def number(self) -> int:
        """The number that the claims in force are to say; higher than any other."""
        found = self._highest()
        if not found:
            return 0
        return self._number(found[0]) + (1 if len(found) > 1 else 0)

    def _highest(self) -> list[Profile]:
        numbers = {profile: self._number(profile) for profile in PROFILES}
        highest = max(numbers.values())
        return [profile for profile in PROFILES if numbers[profile] == highest != _NOTHING]

    def _number(self, profile: Profile) -> int:
        # One claim is enough: all volumes were filled before any claim was marked. A service that a later release
        # adds has a claim that says nothing yet, and one that somebody deleted comes back so.
        claims = self.claims[profile].values()
        return max((_number_of(claim) for claim in claims if claim is not None), default=_NOTHING)

    def _wants_pods(self, profile: Profile) -> bool:
        return any(each is not None and bool(each.replicas) for each in self.workloads[profile].values())

    def _has_workloads(self, profile: Profile) -> bool:
        return any(each is not None for each in self.workloads[profile].values())

    def said(self, profile: Profile) -> dict[str, str]:
        """Return what each claim of a profile says, or is to say when it is made for a move."""
        return {name: _value_of(claim) for name, claim in self.claims[profile].items()}

    def own(self, profile: Profile) -> set[str]:
        """Return the components of a profile whose claims are there and are this very system's."""
        uid = self.system.metadata.uid
        found = self.claims[profile].items()
        return {name for name, claim in found if claim is not None and claim.belongs_to(uid) and not claim.deleting}

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
    uid, namespace = system.metadata.uid, system.metadata.namespace
    by_key = {each.key: each for each in children}
    own = [each for each in by_key.values() if each.belongs_to(uid)]
    running = {each.labels.get(LABEL_COMPONENT, ""): each for each in own if BY_NAME[each.key.kind].workload}

    def claim(component: str) -> Observed | None:
        found = by_key.get(ChildKey(CLAIM, namespace, claim_name(child_name(system, component))))
        # What belongs to a deleted system of the same name goes with it.
        strange = found is None or found.foreign_controller is not None or found.owner_uid not in {None, uid}
        return None if strange else found

    shown = {profile: at_profile(system, profile) for profile in PROFILES}
    return Layouts(
        system,
        {profile: {name: claim(name) for name in stateful_components(shown[profile])} for profile in PROFILES},
        {profile: {name: running.get(name) for name in components(shown[profile])} for profile in PROFILES},
        tuple(each for each in own if each.key.kind == JOB and each.labels.get(LABEL_COMPONENT) == MOVE),
    )


def _number_of(claim: Observed) -> int:
    """Return by which move a claim was filled; one that was made before moves were known counts as 0."""
    text = claim.annotations.get(MOVED_IN, "0")
    if text == NOTHING_MOVED_IN:
        return _NOTHING
    return int(text) if text.isdecimal() else 0


def _value_of(claim: Observed | None) -> str:
    number = _NOTHING if claim is None else _number_of(claim)
    return NOTHING_MOVED_IN if number == _NOTHING else str(number)


def _stopped(workload: Observed) -> bool:
    """Whether a workload is to have no pod, and its controller has seen that and says that none is left."""
    return (
        workload.replicas == 0
        and int(workload.status.get("observedGeneration", 0)) >= workload.generation
        and not workload.status.get("replicas")
    )
