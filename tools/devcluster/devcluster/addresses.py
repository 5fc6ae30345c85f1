"""The addresses of a cluster, all derived from its slot number, so that clusters never meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

SLOTS = 64
"""How many clusters fit beside each other on one machine."""

_FIRST_PORT = 20_000
_PORTS_PER_SLOT = 10


@dataclass(frozen=True)
class Addresses:
    """Networks and loopback ports of one slot (0 to SLOTS - 1)."""

    slot: int

    def __post_init__(self) -> None:
        if not 0 <= self.slot < SLOTS:
            raise ValueError(f"slot is {self.slot}; it must be from 0 to {SLOTS - 1}")

    @property
    def node_network(self) -> IPv4Network:
        """The link between the machine and the node."""
        return IPv4Network(f"10.200.{self.slot}.0/24")

    @property
    def link(self) -> str:
        """The name of the machine's end of that link: there can be one of it, so who has the link has the slot."""
        return f"dc{self.slot}"

    @property
    def host(self) -> IPv4Address:
        """The machine's end of that link: pods reach the machine here."""
        return self.node_network[1]

    @property
    def node(self) -> IPv4Address:
        """The node's end: API server, cluster DNS and node ports answer here."""
        return self.node_network[2]

    @property
    def pods(self) -> IPv4Network:
        """The range that the controllers hand out to nodes."""
        return IPv4Network(f"10.{100 + self.slot}.0.0/16")

    @property
    def pods_on_node(self) -> IPv4Network:
        """The first part of `pods`, which the one node gets."""
        return IPv4Network(f"10.{100 + self.slot}.0.0/24")

    @property
    def services(self) -> IPv4Network:
        """The range of cluster addresses."""
        return IPv4Network(f"10.{208 + self.slot // 16}.{16 * (self.slot % 16)}.0/20")

    @property
    def kubernetes(self) -> IPv4Address:
        """The cluster address of the API server."""
        return self.services[1]

    @property
    def dns(self) -> IPv4Address:
        """The cluster address of the cluster's DNS."""
        return self.services[10]

    def loopback_port(self, offset: int) -> int:
        """A port on the machine's own loopback, for a cluster without a network namespace."""
        if not 0 <= offset < _PORTS_PER_SLOT:
            raise ValueError(f"offset is {offset}; a slot has {_PORTS_PER_SLOT} ports")
        return _FIRST_PORT + _PORTS_PER_SLOT * self.slot + offset

    def networks(self) -> tuple[IPv4Network, ...]:
        """Every network that this slot occupies."""
        return self.node_network, self.pods, self.services


def collides(addresses: Addresses, routes: Iterable[IPv4Network]) -> bool:
    """Whether the machine already routes a part of these networks somewhere (the default route aside)."""
    return any(route.prefixlen > 0 and route.overlaps(network) for route in routes for network in addresses.networks())
