"""The node's network: a namespace, a link to it, and the machine's routes through that link."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path

from devcluster.addresses import Addresses
from devcluster.command import run, succeeds
from devcluster.config import ClusterConfig


def creation(config: ClusterConfig) -> list[list[str]]:
    """The commands that make the namespace and the link (pure)."""
    at, inside = config.addresses, ["ip", "-n", config.netns]
    width = at.node_network.prefixlen
    return [
        ["ip", "netns", "add", config.netns],
        ["ip", "link", "add", config.link, "type", "veth", "peer", "name", "eth0", "netns", config.netns],
        ["ip", "addr", "add", f"{at.host}/{width}", "dev", config.link],
        ["ip", "link", "set", config.link, "up"],
        [*inside, "link", "set", "lo", "up"],
        [*inside, "addr", "add", f"{at.node}/{width}", "dev", "eth0"],
        [*inside, "link", "set", "eth0", "up"],
        [*inside, "route", "add", "default", "via", str(at.host)],
        # not `ip netns exec`: that mounts /sys anew and hides the cgroups
        ["nsenter", f"--net=/run/netns/{config.netns}", "sysctl", "-qw", "net.ipv4.ip_forward=1"],
    ]


def routes(config: ClusterConfig) -> list[list[str]]:
    """The commands that let the machine reach pods and services (pure, safe to repeat)."""
    at = config.addresses
    return [
        ["ip", "route", "replace", str(network), "via", str(at.node), "dev", config.link]
        for network in (at.services, at.pods)
    ]


def ensure(config: ClusterConfig) -> None:
    """Make what is missing; nothing is touched when all of it is there."""
    if not exists(config):
        remove(config)
        for command in creation(config):
            run(command)
    for command in routes(config):
        run(command)


def exists(config: ClusterConfig) -> bool:
    """Whether namespace and link are there."""
    return Path(f"/run/netns/{config.netns}").exists() and Path(f"/sys/class/net/{config.link}").exists()


def remove(config: ClusterConfig) -> None:
    """Take the link (and with it the routes) and the namespace away."""
    if Path(f"/sys/class/net/{config.link}").exists():
        succeeds(["ip", "link", "del", config.link])
    if Path(f"/run/netns/{config.netns}").exists():
        run(["ip", "netns", "del", config.netns])


def routed_networks(except_for: Addresses | None = None) -> list[IPv4Network]:
    """What the machine routes now, the networks of one slot aside."""
    own = except_for.networks() if except_for else ()
    found = []
    for route in json.loads(run(["ip", "-j", "-4", "route"]) or "[]"):
        if route["dst"] != "default":
            network = IPv4Network(route["dst"])
            if network not in own:
                found.append(network)
    return found
