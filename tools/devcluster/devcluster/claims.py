"""Who has the addresses of a slot: a table of slots knows one user's clusters, only the machine shows all of them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from devcluster.addresses import Addresses, collides
from devcluster.command import run

CONTROL_PLANE_PORTS = 4
"""So many loopback ports of its slot a control plane listens at, from the first one on."""

_LINKS = Path("/sys/class/net")


@dataclass(frozen=True)
class Route:
    """A network that the machine reaches through a device."""

    network: IPv4Network
    device: str


def network_holder(
    at: Addresses, owner: str, links: Mapping[str, str], routes: Iterable[Route], *, bound: bool = False
) -> str | None:
    """Say who but the owner has the networks of a slot; None when no one has (pure).

    `links` holds the alias of each link of the machine, which is the owner of a cluster's own link. A route that
    is wider than a network of the slot keeps others from choosing it, for its addresses may be in use; it does not
    count against an owner that is `bound` to the slot, whose own routes go before it.
    """
    alias = links.get(at.link)
    if alias is not None and alias != owner:
        if alias:
            return f"the cluster in {alias}"
        return f"the link {at.link}, which names no cluster as its owner (`ip link del {at.link}` removes it),"
    foreign = [route for route in routes if route.device != at.link]
    for route in foreign:
        goes_first = any(route.network.subnet_of(network) for network in at.networks())
        if goes_first or (not bound and collides(at, [route.network])):
            return f"the route to {route.network} through {route.device or 'nothing'}"
    return None


def ports_holder(at: Addresses, busy: Collection[int], command_lines: Iterable[Sequence[str]]) -> str | None:
    """Say who has loopback ports of a slot, of which those in `busy` are taken; None when none is (pure).

    `command_lines` are those of the processes that can be seen: etcd's names the folder of its cluster.
    """
    taken = sorted(set(busy) & {at.loopback_port(offset) for offset in range(CONTROL_PLANE_PORTS)})
    if not taken:
        return None
    listens = f"--listen-client-urls=http://127.0.0.1:{at.loopback_port(0)}"
    for argv in command_lines:
        if listens in argv:
            for argument in argv:
                if argument.startswith("--data-dir="):
                    return f"the cluster in {Path(argument.partition('=')[2]).parent}"
    return f"the program that listens at port {taken[0]}"


def links() -> dict[str, str]:
    """The alias of each link of this machine by its name; empty for a link without one."""
    found = {}
    for folder in _LINKS.glob("*"):
        with contextlib.suppress(OSError):  # it is gone meanwhile, or no link at all
            found[folder.name] = (folder / "ifalias").read_text().rstrip("\n")
    return found


def routes() -> list[Route]:
    """What this machine routes, the default route aside."""
    rows = json.loads(run(["ip", "-j", "-4", "route"]) or "[]")
    return [Route(IPv4Network(row["dst"]), row.get("dev", "")) for row in rows if row["dst"] != "default"]


def busy_ports(at: Addresses) -> set[int]:
    """The loopback ports of a slot at which something listens now, of those that a control plane uses."""
    ports = [at.loopback_port(offset) for offset in range(CONTROL_PLANE_PORTS)]
    return {port for port in ports if not _port_is_free(port)}


def _port_is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
