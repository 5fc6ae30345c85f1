"""Which volumes and pods a system has now: those declared, but for what a backup or a restore needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bellwether.change.layouts import laid_out, of_other_profile
from bellwether.render.kubernetes import Manifest, RenderContext
from bellwether.render.kubernetes.context import LABEL_COMPONENT, NATS
from bellwether.render.kubernetes.filling import RestoreOrder, location_of
from bellwether.render.kubernetes.networkpolicies import fill_policy, restore_policy
from bellwether.spec.models import TradingSystem
from bellwether_operator.backups.filling import fill_job_of
from bellwether_operator.backups.restoring import Restore, restore_of
from bellwether_operator.halting import with_replicas
from bellwether_operator.observe.kinds import BY_NAME, Observed
from bellwether_operator.observe.layouts import Layouts, look


@dataclass(frozen=True)
class Layout:
    """What a pass is to render."""

    stopped: tuple[str, ...] = ()
    """Components whose workloads are there and are to have no pods."""
    restore: Restore = field(default_factory=Restore)
    """What claims are made from."""
    in_place: RestoreOrder | None = None
    """What a Job is to put in the place of what the volumes hold."""
    other_declaration: str | None = None
    """In words, that the volumes which are there are those of the other profile: then nothing is started."""

    @property
    def blocked(self) -> bool:
        """Whether no volume and no pod is to be made now."""
        return self.other_declaration is not None or self.restore.blocked


def layout(
    system: TradingSystem,
    children: Iterable[Observed],
    *,
    quiesced: bool = False,
    backup: Mapping[str, Any] | None = None,
    said: str = "",
    in_place: RestoreOrder | None = None,
) -> Layout:
    """Return what is to be rendered now.

    Args:
        system: the declaration.
        children: what was observed of the system, and the claims that an earlier one of its name left.
        quiesced: whether the system is to have no pods, since its volumes are being cut for a backup, or restored.
        backup: the TradingBackup that the declaration is restored from, where there is one of that name.
        said: what the newest pod that fills volumes from a repository said as it failed.
        in_place: what a Job is to put in the place of what the volumes hold.
    """
    children = list(children)
    seen = look(system, children)
    return Layout(
        _stopped(seen) if quiesced else (),
        restore_of(system, seen.claims, backup, fill_job_of(system, children), said),
        in_place,
        of_other_profile(system, seen.kept),
    )


def _stopped(seen: Layouts) -> tuple[str, ...]:
    """Return the components without pods. NATS goes last: the services still publish what they have in hand."""
    spared = {NATS} if NATS in seen.running and len(seen.running) > 1 else set()
    return tuple(name for name in seen.workloads if name not in spared)


def render_layout(system: TradingSystem, context: RenderContext, found: Layout) -> list[Manifest]:
    """Return every object that is to be there, as `render` does, in keeping with a layout."""
    manifests = laid_out(system, context, dict(found.restore.sources))
    if found.restore.filling:
        manifests.insert(0, fill_policy(system))
    if found.in_place is not None:
        manifests.insert(0, restore_policy(system, location_of(system, found.in_place)))
    return [with_replicas(each, 0) if _is_stopped(each, found) else each for each in manifests]


def _is_stopped(manifest: Manifest, found: Layout) -> bool:
    return BY_NAME[manifest["kind"]].workload and manifest["metadata"]["labels"][LABEL_COMPONENT] in found.stopped
