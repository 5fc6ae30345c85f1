"""The node's network: a namespace, a link to it, and the machine's routes through that link."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devcluster import claims
from devcluster.command import run, succeeds
from devcluster.config import ClusterConfig
from devcluster.errors import ClusterError


def creation(config: ClusterConfig) -> list[list[str]]:
    """The commands that make the namespace, all that is inside, and the link (pure).

    The link gets its name last of all: that fails where there is one of this name, no one sees it without its owner,
    and where it has its name nothing of this is missing.
    """
    at, inside = config.addresses, ["ip", "-n", config.netns]
    width = at.node_network.prefixlen
    return [
        ["ip", "netns", "add", config.netns],
        ["ip", "link", "add", config.new_link, "type", "veth", "peer", "name", "eth0", "netns", config.netns],
        [*inside, "link", "set", "lo", "up"],
        [*inside, "addr", "add", f"{at.node}/{width}", "dev", "eth0"],
        [*inside, "link", "set", "eth0", "up"],
        [*inside, "route", "add", "default", "via", str(at.host)],
        # not `ip netns exec`: that mounts /sys again and hides the cgroups
        ["nsenter", f"--net=/run/netns/{config.netns}", "sysctl", "-qw", "net.ipv4.ip_forward=1"],
        ["ip", "link", "set", "dev", config.new_link, "alias", config.owner],
        ["ip", "link", "set", "dev", config.new_link, "name", config.link],
    ]


def connection(config: ClusterConfig) -> list[list[str]]:
    """The commands that let the machine reach node, pods and services by the link (pure, safe to repeat)."""
    at = config.addresses
    return [
        ["ip", "addr", "replace", f"{at.host}/{at.node_network.prefixlen}", "dev", config.link],
        ["ip", "link", "set", config.link, "up"],
        *(
            ["ip", "route", "replace", str(network), "via", str(at.node), "dev", config.link]
            for network in (at.services, at.pods)
        ),
    ]


def ensure(config: ClusterConfig) -> None:
    """Make what is missing, of what a killed `up` left too; nothing changes when all of it is there.

    ClusterError when another cluster took the link of this slot meanwhile; nothing is left of the attempt then.
    """
    if not exists(config):
        remove(config)
        try:
            for command in creation(config):
                run(command)
        except ClusterError as error:
            remove(config)
            who = claims.network_holder(config.addresses, config.owner, claims.links(), ())
            if who is None:
                raise
            raise ClusterError(f"{who} took slot {config.slot} at the same time; try again") from error
    for command in connection(config):
        run(command)


def exists(config: ClusterConfig) -> bool:
    """Whether this cluster's namespace and link are there, and so all that is inside."""
    return Path(f"/run/netns/{config.netns}").exists() and claims.links().get(config.link) == config.owner


def own_links(config: ClusterConfig, links: Mapping[str, str]) -> list[str]:
    """Which of the machine's links (name -> alias) are this cluster's, whatever slot it had (pure)."""
    return [name for name, alias in links.items() if alias == config.owner or name == config.new_link]


def remove(config: ClusterConfig) -> None:
    """Take this cluster's link (and with it the routes) and namespace away; those of others are left alone."""
    for link in own_links(config, claims.links()):
        succeeds(["ip", "link", "del", link])
    if Path(f"/run/netns/{config.netns}").exists():
        run(["ip", "netns", "del", config.netns])
