"""What a cluster could leave behind on the machine."""

import subprocess
from pathlib import Path

from devcluster.config import ClusterConfig


def leftovers(config: ClusterConfig) -> list[str]:
    """Everything of this cluster that the machine still has, its state folder aside."""
    folder = str(config.state_dir)
    found = [f"process {argv}" for argv in _command_lines() if folder in argv]
    found += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if folder in line]
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
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
