"""What the machine must have, and which Debian packages bring it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from devcluster.config import Level
from devcluster.errors import ClusterError

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))

PACKAGES_OF_NODE = {
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "umount": "mount",
    "sysctl": "procps",
    "cni:bridge": "containernetworking-plugins",
    "cni:host-local": "containernetworking-plugins",
    "cni:portmap": "containernetworking-plugins",
    "cni:loopback": "containernetworking-plugins",
}
"""Program -> Debian package, for a whole node."""

PACKAGES_OF_IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}
"""Program -> Debian package, for building images."""

_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def there(program: str) -> bool:
    """Whether a program (`cni:NAME` for a network plugin) is on this machine."""
    if program.startswith("cni:"):
        return any((folder / program[4:]).exists() for folder in CNI_FOLDERS)
    return shutil.which(program, path=_PATH) is not None


def cni_folder() -> str:
    """The folder of the network plugins; the first candidate when none has them."""
    return str(next((f for f in CNI_FOLDERS if (f / "bridge").exists()), CNI_FOLDERS[0]))


def missing_packages(packages: Mapping[str, str], is_there: Callable[[str], bool] = there) -> list[str]:
    """The Debian packages (program -> package) of those programs that are not there, each once, sorted."""
    return sorted({package for program, package in packages.items() if not is_there(program)})


def check(level: Level) -> None:
    """ClusterError naming everything that a cluster of this level lacks here."""
    lacks = []
    if platform.system() != "Linux":
        raise ClusterError(f"this is {platform.system()}; the embedded cluster needs Linux")
    if level is Level.CONTROL_PLANE:
        return
    if os.geteuid() != 0:
        lacks.append(
            "root: a node makes network namespaces, mounts and cgroups (the level control-plane needs no root)"
        )
    packages = missing_packages(PACKAGES_OF_NODE)
    if packages:
        lacks.append(f"the Debian packages {' '.join(packages)}: `python -m devcluster needs --install` installs them")
    if not Path("/sys/fs/cgroup").is_dir():
        lacks.append("cgroups: /sys/fs/cgroup is not mounted")
    if lacks:
        raise ClusterError("a node cannot run here. Missing: " + "; ".join(lacks))
