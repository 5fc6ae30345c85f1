"""Finding the system that a command means: named with --on or --system, else the only one that is here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bellwether.cli.client import CommandError, Target
from bellwether.cli.manage.places import On, Place, only

STATE = ".bellwether"


def state_root() -> Path:
    """Return where local runs and compose files are kept."""
    return Path(os.environ.get("BELLWETHER_STATE", STATE))


def find(on: On | None, target: Target, say: Callable[[str], None]) -> Place:
    """Return the place that is meant; progress goes to `say`.

    Raises:
        CommandError: if there is none, or several, or what was said does not fit together.
    """
    if on is On.cluster or (on is None and target.system is not None):
        return _cluster(target)
    if target.system is not None:
        raise CommandError(f"--system is for a cluster; with --on {on} leave it out")
    return only(found_here(on, say))


def found_here(on: On | None, say: Callable[[str], None]) -> list[Place]:
    """Return the systems of this machine, of one kind or of all; of local runs those that run, else the newest."""
    found: list[Place] = []
    if on in (None, On.local):
        from bellwether.cli.manage.local_place import LocalPlace, folders_that_run, state_folders

        root = state_root()
        found += [LocalPlace(one, say) for one in folders_that_run(root) or state_folders(root)[:1]]
    if on in (None, On.systemd):
        from bellwether.cli.manage import systemd_place
        from bellwether.render.systemd import MACHINE

        own = systemd_place.persons()
        places = [layout for layout in (MACHINE, own) if systemd_place.deployed(layout=layout)]
        found += [systemd_place.SystemdPlace(layout=layout) for layout in places]
    if on in (None, On.compose):
        from bellwether.cli.manage import compose_place

        found += [compose_place.ComposePlace(one) for one in compose_place.files_below(state_root())]
    return found


def _cluster(target: Target) -> Place:
    from bellwether.cli.manage.cluster_place import ClusterPlace

    if target.system is None:
        raise CommandError("--on cluster needs the system's name: --system NAME or --system NAMESPACE/NAME")
    return ClusterPlace(target.system, target.namespace, target.context)
