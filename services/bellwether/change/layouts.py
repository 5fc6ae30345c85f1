"""The objects of a system at rest, with its volumes made from what they are restored from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bellwether.change.world import CLAIM, Owner, component_of, is_going, key_of, owner_in
from bellwether.render.kubernetes import Manifest, RenderContext, render
from bellwether.render.kubernetes.volumes import made_from, snapshot_of
from bellwether.render.kubernetes.workloads import claims_of, other
from bellwether.spec.models import PROFILE_STAYS, TradingSystem


def laid_out(system: TradingSystem, context: RenderContext, sources: Mapping[str, str]) -> list[Manifest]:
    """Return every object of a system; `sources` are the VolumeSnapshots by component that its claims are made from."""
    restored = system.spec.restore_from
    first = None if restored is None else str(restored)
    return [
        made_from(each, sources.get(component_of(each)), first) if each["kind"] == CLAIM else each
        for each in render(system, context)
    ]


def sources_of(system: TradingSystem, observed: Iterable[Manifest]) -> dict[str, str]:
    """Return what claims are made from by component: as the claims that are there say, else as it is declared."""
    restored = system.spec.restore_from
    named = () if restored is None else restored.snapshots or ()
    found = {each.component: each.snapshot for each in named}
    claims = {name: component for component, name in claims_of(system, system.spec.profile).items()}
    for each in observed:
        key, snapshot = key_of(each), snapshot_of(each)
        if key.kind == CLAIM and key.name in claims and snapshot is not None and _is_kept(each, system):
            found[claims[key.name]] = snapshot
    return found


def _is_kept(claim: Manifest, system: TradingSystem) -> bool:
    return owner_in(claim, system)[0] in {Owner.OURS, Owner.RETAINED} and not is_going(claim)


def of_other_profile(system: TradingSystem, claims: Iterable[str]) -> str | None:
    """Return in words why a system would begin with nothing although there are volumes of its name, or None.

    Args:
        system: as it is declared.
        claims: the names of the volume claims that are there and are this system's, or an earlier one's of its name.
    """
    declared = system.spec.profile
    there, own, others = set(claims), claims_of(system, declared), claims_of(system, other(declared))
    left = sorted(there & set(others.values()))
    if not left or there & set(own.values()) or system.spec.restore_from is not None:
        return None
    return (
        f"spec.profile {declared}: {', '.join(left)} hold what this system did with profile {other(declared)}; declare "
        f"that, or delete them with all that is on them. {PROFILE_STAYS}"
    )
