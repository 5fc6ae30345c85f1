"""Which profile's volumes hold what a system did last, and the objects of a system at rest with them. Pure.

Each volume claim says by which move it was filled; the profile whose claims say the highest number is in force,
whatever is declared (docs/decisions/0013-profile-change.md). How a move goes from step to step is the operator's
affair; here is what there is before and after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bellwether.change.world import (
    CLAIM,
    CONFIG_MAP,
    WORKLOADS,
    Key,
    Owner,
    component_of,
    is_going,
    key_of,
    owner_in,
)
from bellwether.render.kubernetes import Manifest, RenderContext, configmaps, render
from bellwether.render.kubernetes.moves import (
    ANNOTATION_MOVED_IN,
    NOTHING_MOVED_IN,
    PROFILES,
    Profile,
    at_profile,
    profile_of,
    with_moved_in,
)
from bellwether.render.kubernetes.names import child_name, claim_name, declaration_name
from bellwether.render.kubernetes.volumes import made_from, snapshot_of, volume_claim
from bellwether.render.kubernetes.workloads import stateful_components
from bellwether.spec.models import TradingSystem

_NOTHING = -1
"""Less than the number of any move."""


@dataclass(frozen=True)
class Claim:
    """What counts of the claim of a component's volume."""

    moved_in: str | None
    """What it says of the move that filled it; None: nothing."""
    followed: bool = True
    """Whether it is kept as declared: it is this very system's, and is not being deleted."""

    @property
    def number(self) -> int:
        """By which move it was filled; a claim that does not say so was made before moves were known, and is 0."""
        if self.moved_in == NOTHING_MOVED_IN:
            return _NOTHING
        return int(self.moved_in) if self.moved_in is not None and self.moved_in.isdecimal() else 0

    @property
    def says(self) -> str:
        """What it is to say of the move that filled it."""
        return NOTHING_MOVED_IN if self.number == _NOTHING else str(self.number)


@dataclass(frozen=True)
class Volumes:
    """The volumes that are there."""

    in_force: Profile | None = None
    """The profile whose volumes hold what the system did last; None where there are none."""
    number: int = 0
    """What the claims in force are to say, which is more than any other does; 0 where the system began with them."""
    said: Mapping[str, str] = field(default_factory=dict)
    """By component, what each claim that is kept as declared is to say of the move that filled it."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """By component, the VolumeSnapshot that a claim which is there was made from."""


def volumes_supposed(system: TradingSystem) -> Volumes:
    """Return the volumes of a system that began with its profile."""
    return Volumes(system.spec.profile, 0, dict.fromkeys(stateful_components(system), "0"))


def components_of_claims(system: TradingSystem) -> dict[str, str]:
    """Return, by the name of each volume claim that a profile has, the component that it is of."""
    components = [name for profile in PROFILES for name in stateful_components(at_profile(system, profile))]
    return {claim_name(child_name(system, component)): component for component in components}


def volumes_in(declared: Profile, claims: Mapping[str, Claim], pods: Mapping[str, int]) -> Volumes:
    """Return which volumes are in force: those of the profile whose claims say the highest number.

    One claim is enough: all volumes were filled before any claim was marked. A service that a later release adds has a
    claim that says nothing yet, and one that somebody deleted comes back so. Among equals, which only a time before
    moves were known can have left, it is the profile that is to have pods, else the one whose workloads are there, else
    the declared one.

    Args:
        declared: the profile that is declared.
        claims: by component, those that are this system's, or were kept from an earlier one of its name.
        pods: by component, how many pods each workload of this system is to have.

    """
    said = {component: claim.says for component, claim in claims.items() if claim.followed}
    numbers = {
        profile: max((claim.number for name, claim in claims.items() if profile_of(name) == profile), default=_NOTHING)
        for profile in PROFILES
    }
    highest = max(numbers.values())
    if highest == _NOTHING:
        return Volumes(said=said)
    found = [profile for profile in PROFILES if numbers[profile] == highest]
    if len(found) == 1:
        return Volumes(found[0], highest, said)
    for least in (1, 0):
        running = [
            profile
            for profile in PROFILES
            if any(profile_of(name) == profile and count >= least for name, count in pods.items())
        ]
        if len(running) == 1:
            return Volumes(running[0], highest + 1, said)
    return Volumes(declared, highest + 1, said)


def volumes_of(system: TradingSystem, observed: Iterable[Manifest]) -> Volumes:
    """Return the volumes among the objects that are there; `system` is the stored one, or the new one."""
    components = components_of_claims(system)
    claims: dict[str, Claim] = {}
    sources: dict[str, str] = {}
    pods: dict[str, int] = {}
    for each in observed:
        key, (owner, _) = key_of(each), owner_in(each, system)
        if key.kind == CLAIM and key.name in components and owner in {Owner.OURS, Owner.RETAINED}:
            said = (each["metadata"].get("annotations") or {}).get(ANNOTATION_MOVED_IN)
            claims[components[key.name]] = Claim(said, owner is Owner.OURS and not is_going(each))
            if (snapshot := snapshot_of(each)) is not None:
                sources[components[key.name]] = snapshot
        elif key.kind in WORKLOADS and owner is Owner.OURS:
            pods[component_of(each)] = int(each["spec"].get("replicas", 1))
    return replace(volumes_in(system.spec.profile, claims, pods), sources=sources)


def laid_out(system: TradingSystem, context: RenderContext, volumes: Volumes, profile: Profile) -> list[Manifest]:
    """Return every object of a system at rest with this profile in force; another than now: after the move to it.

    The claims of the other profile that are there follow the declaration too. The start value names the declared
    profile, also while another one is in force.
    """
    moved = volumes.in_force not in {None, profile}
    shown = at_profile(system, profile)
    claims = dict.fromkeys(stateful_components(shown), str(volumes.number + moved))
    claims |= {component: value for component, value in volumes.said.items() if component not in claims}
    declared = configmaps.declaration(system)
    start_value = Key(CONFIG_MAP, declaration_name(system))
    rest = [each for each in render(shown, context) if each["kind"] != CLAIM]
    return [
        *_claims(system, claims, volumes.sources),
        *(declared if key_of(each) == start_value else each for each in rest),
    ]


def _claims(system: TradingSystem, claims: Mapping[str, str], sources: Mapping[str, str]) -> list[Manifest]:
    """Return the claims by what each says of moves; those that a restored system began with name their source too."""
    restored = system.spec.restore_from
    named = () if restored is None else restored.snapshots or ()
    snapshots = {**{each.component: each.snapshot for each in named}, **sources}
    found = []
    for component, value in claims.items():
        first = str(restored) if restored is not None and value == "0" else None
        snapshot = snapshots.get(component) if first is not None or component in sources else None
        found.append(made_from(with_moved_in(volume_claim(system, component), value), snapshot, first))
    return found
