"""The two profiles of a system, and the names of the volume claims that each has."""

from __future__ import annotations

from typing import Literal, get_args

from bellwether.render.kubernetes.names import child_name, claim_name
from bellwether.render.kubernetes.workloads import stateful_components
from bellwether.spec.models import TradingSystem

Profile = Literal["compact", "standard"]
PROFILES: tuple[Profile, ...] = get_args(Profile)


def other(profile: Profile) -> Profile:
    """Return the profile that this one is not."""
    return next(each for each in PROFILES if each != profile)


def at_profile(system: TradingSystem, profile: Profile) -> TradingSystem:
    """Return the system as it would be with a profile."""
    return system.model_copy(update={"spec": system.spec.model_copy(update={"profile": profile})})


def claims_of(system: TradingSystem, profile: Profile) -> dict[str, str]:
    """Return, by component, the name of each volume claim that a system of this profile has."""
    components = stateful_components(at_profile(system, profile))
    return {component: claim_name(child_name(system, component)) for component in components}
