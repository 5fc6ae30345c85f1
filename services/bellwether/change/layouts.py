"""Which profile's volumes hold what a system did last, and the objects of a system at rest with them. Pure.

Each volume claim says by which move it was filled; the profile whose claims say the highest number is in force,
whatever is declared (docs/decisions/0013-profile-change.md). How a move goes from step to step is the operator's
affair; here is what there is before and after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bellwether.change.world import CLAIM, CONFIG_MAP, WORKLOADS, Key, Owner, component_of, key_of, owner_of
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
from bellwether.render.kubernetes.names import declaration_name
from bellwether.render.kubernetes.volumes import volume_claim
from bellwether.render.kubernetes.workloads import stateful_components
from bellwether.spec.models import TradingSystem

_NOTHING = -1
"""Less than the number of any move."""


@dataclass(frozen=True)
class Volumes:
    """The volumes that are there."""

    in_force: Profile | None = None
    """The profile whose volumes hold what the system did last; None where there are none."""
    number: int = 0
    """Which move filled those; 0 where the system began with them."""
    said: Mapping[str, str | None] = field(default_factory=dict)
    """By component, what each claim of this very system says of the move that filled it; None: nothing."""


def volumes_supposed(system: TradingSystem) -> Volumes:
    """Return the volumes of a system that began with its profile."""
    return Volumes(system.spec.profile, 0, dict.fromkeys(stateful_components(system), "0"))


def volumes_of(system: TradingSystem, observed: Iterable[Manifest]) -> Volumes:
    """Return the volumes among the objects that are there; `system` is the stored one, or the new one."""
    there = list(observed)
    claims = [each for each in there if each["kind"] == CLAIM and profile_of(component_of(each)) is not None]
    owners = {key_of(each): owner_of(each, system)[0] for each in claims}
    claims = [each for each in claims if owners[key_of(each)] in {Owner.OURS, Owner.RETAINED}]
    numbers = {
        profile: max((_number(each) for each in claims if profile_of(component_of(each)) == profile), default=_NOTHING)
        for profile in PROFILES
    }
    highest = max(numbers.values())
    said = {component_of(each): _said(each) for each in claims if owners[key_of(each)] is Owner.OURS}
    if highest == _NOTHING:
        return Volumes(said=said)
    found = [profile for profile in PROFILES if numbers[profile] == highest]
    running = {profile_of(component_of(each)) for each in there if each["kind"] in WORKLOADS}
    both = [profile for profile in found if profile in running] or found
    return Volumes(both[0] if len(both) == 1 else system.spec.profile, highest, said)


def _said(claim: Manifest) -> str | None:
    found = (claim["metadata"].get("annotations") or {}).get(ANNOTATION_MOVED_IN)
    return None if found is None else str(found)


def _number(claim: Manifest) -> int:
    text = _said(claim)
    if text == NOTHING_MOVED_IN:
        return _NOTHING
    # A claim that says nothing was made before moves were known: the system began with it.
    return int(text) if text is not None and text.isdecimal() else 0


def laid_out(system: TradingSystem, context: RenderContext, volumes: Volumes, profile: Profile) -> list[Manifest]:
    """Return every object of a system at rest with this profile in force; another than now: after the move to it.

    The claims of the other profile that are there follow the declaration too. The start value names the declared
    profile, also while another one is in force.
    """
    moved = volumes.in_force not in {None, profile}
    shown = at_profile(system, profile)
    number = str(volumes.number + moved)
    claims: dict[str, str | None] = {}
    for component in stateful_components(shown):
        silent = not moved and component in volumes.said and volumes.said[component] is None
        claims[component] = None if silent else number
    claims |= {component: value for component, value in volumes.said.items() if component not in claims}
    declared = configmaps.declaration(system)
    start_value = Key(CONFIG_MAP, declaration_name(system))
    rest = [each for each in render(shown, context) if each["kind"] != CLAIM]
    return [
        *(_claim(system, component, value) for component, value in claims.items()),
        *(declared if key_of(each) == start_value else each for each in rest),
    ]


def _claim(system: TradingSystem, component: str, said: str | None) -> Manifest:
    found = volume_claim(system, component)
    return found if said is None else with_moved_in(found, said)
