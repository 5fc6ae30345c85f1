"""For tests: a configuration without a cluster, and what a cluster could leave behind on the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devcluster.command import run
from devcluster.config import ClusterConfig, Level


def config(level: Level = Level.NODE, **changes: Any) -> ClusterConfig:
    """The configuration of a cluster that is nowhere (pure)."""
    slot, owner = changes.pop("slot", 3), changes.pop("owner", "/state/some")
    return ClusterConfig("some", level, slot, Path("/state/some"), owner, Path("/cache/programs"), **changes)


def leftovers(config: ClusterConfig) -> list[str]:
    """Everything of this cluster that the machine still has, its state folder aside."""
    folder = str(config.state_dir)
    found = [f"process {argv}" for argv in _command_lines() if folder in argv]
    found += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if folder in line]
    routes = run(["ip", "route"])
    found += [f"route {line}" for line in routes.splitlines() if f"dev {config.link} " in f"{line} "]
    places = [
        Path("/run/netns") / config.netns,
        Path("/sys/class/net") / config.link,
        *Path("/sys/fs/cgroup").glob(f"*/{config.cgroup}"),
        *Path("/sys/fs/cgroup").glob(config.cgroup),
        *Path("/var/lib/cni/results").glob(f"{config.pod_network_name}-*"),
    ]
    return found + [str(place) for place in places if place.exists()]


def _command_lines() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines
