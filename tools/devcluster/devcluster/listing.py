"""Which clusters there are: of this user's table, and those of others whose network is on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster import claims
from devcluster.addresses import SLOTS, Addresses
from devcluster.cluster import Cluster
from devcluster.errors import ClusterError
from devcluster.settings import Settings
from devcluster.slots import SlotTable


@dataclass(frozen=True)
class Listed:
    """One cluster as `list` shows it."""

    name: str
    level: str
    slot: int
    state: str
    """running, stopped, broken: its record cannot be read, or other: of another user or state home, whose processes
    are not looked at."""
    state_dir: str
    project: str | None = None
    """The top folder of the project that started it last; None when that is not known."""
    project_is_gone: bool = False


def listing(settings: Settings) -> list[Listed]:
    """Every cluster that can be found, by slot; those of other tables only while they have a network."""
    table = SlotTable(settings.state_home).rows()
    own = [_listed(settings, Path(folder), slot) for folder, slot in table.items()]
    return sorted(own + strangers(claims.links(), list(table)), key=_order)


def strangers(links: Mapping[str, str], known: Sequence[str]) -> list[Listed]:
    """The nodes whose links (name -> alias) are on the machine and whose owners are not known (pure)."""
    owners = {slot: links.get(Addresses(slot).link) for slot in range(SLOTS)}
    return [
        Listed("-", "node", slot, "other", owner or "unknown")
        for slot, owner in owners.items()
        if owner is not None and owner not in known
    ]


def lines(clusters: Sequence[Listed]) -> list[str]:
    """The listing as text, one line per cluster; it says how to end one whose project is gone (pure)."""
    found = []
    for each in clusters:
        found.append(f"{each.name:30} {each.level:13} slot {each.slot:<2}  {each.state:7}  {each.state_dir}")
        if each.project is not None:
            found[-1] += f"  from {each.project}"
        if each.project_is_gone:
            found[-1] += f", which is gone: `python -m devcluster down --purge --state-dir {each.state_dir}`"
    return found


def _order(each: Listed) -> tuple[int, str]:
    return each.slot, each.state_dir


def _listed(settings: Settings, folder: Path, slot: int) -> Listed:
    cluster = Cluster(state_dir=folder, settings=settings)
    try:
        found = cluster.status()
    except ClusterError:  # of one cluster: `status` says it, the others are listed
        return Listed("-", "-", slot, "broken", str(folder))
    if found.level is None:  # its first `up` did not come far
        return Listed("-", "-", slot, "stopped", str(folder))
    state = "running" if any(found.processes.values()) else "stopped"
    project = cluster.project
    gone = project is not None and not project.exists()
    return Listed(cluster.config.name, found.level, slot, state, str(folder), str(project) if project else None, gone)
