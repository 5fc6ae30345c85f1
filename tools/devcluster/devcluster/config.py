"""What one cluster is: name, level, place and addresses. Pure values, nothing is touched here."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from devcluster.addresses import Addresses
from devcluster.errors import ClusterError

NODE_NAME = "node1"
STORAGE_CLASS = "hostdir"

LONGEST_STATE_DIR = 70
"""A Unix socket's path ends at 107 characters, and kubelet puts 36 below its folder."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?")


class Level(StrEnum):
    """How much of a cluster runs."""

    CONTROL_PLANE = "control-plane"
    NODE = "node"


@dataclass(frozen=True)
class Status:
    """What is there of a cluster."""

    name: str
    level: Level | None
    """None when no cluster of this name was ever started, or it was purged."""
    state_dir: Path
    api_url: str | None
    ready: bool
    processes: dict[str, int | None]
    """Process -> its id, None when it does not run."""


@dataclass(frozen=True)
class ClusterConfig:
    """Everything from which processes, files and addresses of a cluster follow."""

    name: str
    level: Level
    slot: int
    state_dir: Path
    owner: str
    """The state folder without symbolic links: what the cluster makes on the machine carries it, or its hash."""
    programs: Path
    prefix: str = "devcluster"
    """What the names that it leaves on the machine begin with."""
    controllers: bool = False
    audit_log: Path | None = None
    csi_flags: tuple[str, ...] = ()

    @property
    def addresses(self) -> Addresses:
        """The networks and ports of the cluster's slot."""
        return Addresses(self.slot)

    @property
    def is_node(self) -> bool:
        """Whether a whole node runs, in a network namespace of its own."""
        return self.level is Level.NODE

    @property
    def runs_controllers(self) -> bool:
        """Whether the controller manager runs: always on a node, else when asked for."""
        return self.is_node or self.controllers

    @property
    def tag(self) -> str:
        """Eight digits of the owner's hash: a name that no other cluster has, whatever its slot."""
        return hashlib.sha256(self.owner.encode()).hexdigest()[:8]

    @property
    def csi_driver(self) -> str:
        """The name of the volume driver."""
        return f"hostdir.{self.prefix}.dev"

    @property
    def pause_image(self) -> str:
        """The image that holds a pod's namespaces open."""
        return f"localhost/{self.prefix}/pause:dev"

    @property
    def netns(self) -> str:
        """The name of the node's network namespace."""
        return f"{self.prefix}-{self.tag}"

    @property
    def link(self) -> str:
        """The machine's end of the link to the node; its alias is the owner."""
        return self.addresses.link

    @property
    def new_link(self) -> str:
        """The name of that end until its alias is set: at no time is there a `link` that is no one's."""
        return f"dc-{self.tag}"

    @property
    def cgroup(self) -> str:
        """The cgroup that holds every pod of this cluster, and nothing else."""
        return f"{self.prefix}-{self.tag}"

    @property
    def pod_network_name(self) -> str:
        """The network plugin's name for this cluster's pod network, unique on the machine."""
        return f"{self.prefix}-{self.tag}"

    @property
    def api_host(self) -> str:
        """Where the API server answers."""
        return str(self.addresses.node) if self.is_node else "127.0.0.1"

    @property
    def api_port(self) -> int:
        """The port at which the API server answers."""
        return 6443 if self.is_node else self.addresses.loopback_port(2)

    @property
    def etcd_port(self) -> int:
        """The client port of etcd, on the loopback of the cluster's network."""
        return 2379 if self.is_node else self.addresses.loopback_port(0)

    @property
    def etcd_peer_port(self) -> int:
        """The peer port of etcd."""
        return 2380 if self.is_node else self.addresses.loopback_port(1)

    @property
    def controllers_port(self) -> int:
        """The port of the controller manager's own health and metrics."""
        return 10_257 if self.is_node else self.addresses.loopback_port(3)

    @property
    def api_url(self) -> str:
        """The API server's address."""
        return f"https://{self.api_host}:{self.api_port}"

    @property
    def devcluster(self) -> Path:
        """The program that is every Kubernetes process."""
        return self.programs / "devcluster"

    @property
    def pki(self) -> Path:
        """The folder of keys and certificates."""
        return self.state_dir / "pki"

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs."""
        return self.state_dir / "log"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state_dir / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        """The socket of this cluster's own containerd."""
        return self.state_dir / "run" / "containerd.sock"

    @property
    def csi_socket(self) -> Path:
        """The socket of the directory CSI driver."""
        return self.state_dir / "run" / "csi.sock"

    @property
    def kubelet_root(self) -> Path:
        """The folder in which kubelet keeps pods and their volumes."""
        return self.state_dir / "kubelet"

    def user_kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a process's own user."""
        return self.state_dir / "conf" / f"{user}.kubeconfig"


def check_name(name: str) -> str:
    """Return the name; ClusterError when it cannot name folders and processes."""
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"--name is {name!r}; it must be 1 to 30 lower-case letters, digits and dashes, "
            "start with a letter and not end with a dash"
        )
    return name


def check_state_dir(folder: Path) -> None:
    """ClusterError when the sockets of a node in this folder would be too long for Linux."""
    if len(str(folder)) > LONGEST_STATE_DIR:
        raise ClusterError(
            f"the state folder {folder} has {len(str(folder))} characters; sockets below it "
            f"allow at most {LONGEST_STATE_DIR}: choose a shorter one with --state-dir"
        )
