"""Clusters that know nothing of each other, each in the table of a state home of its own: none touches another's.

No process of Kubernetes runs here: networks, cgroups and tables are the real ones.
"""

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from devcluster import Cluster, ClusterError, build, claims, network
from devcluster.addresses import SLOTS
from devcluster.command import run
from devcluster.config import ClusterConfig
from devcluster.listing import Listed, listing
from devcluster.settings import find
from devcluster.slots import SlotTable
from devcluster.testing import leftovers

FIRST_SLOT = SLOTS - 4
"""Lower ones are left to clusters of this machine that are stopped now."""


@pytest.fixture(autouse=True)
def only_what_is_on_the_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def start_nothing(*_: object, **__: object) -> None:
        """Leave the processes out."""

    monkeypatch.setattr(build, "ensure", lambda *_: folder / "programs")
    monkeypatch.setattr(Cluster, "_start", start_nothing)


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[list[Cluster]]:
    """Two nodes of the same name, of two users: each has a state home, and so a table of slots."""
    found = []
    for user in ("a", "b"):
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / user))
        for slot in range(FIRST_SLOT):
            SlotTable(find().state_home).take(folder / user / str(slot), slot, lambda _: None)
        found.append(Cluster("same"))
    yield found
    for cluster in found:
        cluster.down(purge=True)


@pytest.fixture
def busy(clusters: list[Cluster]) -> Iterator[subprocess.Popen[bytes]]:
    """A process like one of a pod of the second cluster, which has the slot that the first one had."""
    first, second = clusters
    first.up()
    first.down()
    assert leftovers(first.config) == []
    second.up()
    assert second.config.slot == first.config.slot
    with subprocess.Popen(["sleep", "600"]) as process:
        for group in _cgroups(second):
            (group / "cgroup.procs").write_text(str(process.pid))
        yield process
        process.kill()


def _cgroups(cluster: Cluster) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    return [*root.glob(f"*/{cluster.config.cgroup}"), *root.glob(cluster.config.cgroup)]


def _has_its_own(cluster: Cluster, process: subprocess.Popen[bytes]) -> bool:
    """Whether link, routes, namespace and pods of a cluster are there."""
    found = "\n".join(leftovers(cluster.config))
    return (
        f"/sys/class/net/{cluster.config.link}" in found
        and f"/run/netns/{cluster.config.netns}" in found
        and f"route {cluster.config.addresses.pods} via" in found
        and process.poll() is None
        and bool(_cgroups(cluster))
        and all(str(process.pid) in (group / "cgroup.procs").read_text().split() for group in _cgroups(cluster))
    )


def test_two_nodes_of_different_tables_run_beside_each_other(clusters: list[Cluster]) -> None:
    first, second = clusters
    first.up()
    second.up()
    assert first.config.slot != second.config.slot
    shown = {each.slot: each for each in listing(find())}
    assert shown[first.config.slot] == Listed("-", "node", first.config.slot, "other", str(first.state_dir))
    assert shown[second.config.slot].name == second.name
    first.up()
    second.down()
    assert leftovers(second.config) == []
    assert Path(f"/sys/class/net/{first.config.link}").exists()


def test_a_node_does_not_start_on_the_addresses_of_another_one_and_says_whose_they_are(
    clusters: list[Cluster], busy: subprocess.Popen[bytes]
) -> None:
    first, second = clusters
    with pytest.raises(ClusterError, match=rf"the cluster in {second.state_dir} has the addresses"):
        first.up()
    assert _has_its_own(second, busy)


def test_a_node_with_keys_starts_beside_a_wide_route_and_not_beside_one_to_its_own_network(
    monkeypatch: pytest.MonkeyPatch, clusters: list[Cluster]
) -> None:
    first, _ = clusters
    first.up()
    own = claims.routes()
    monkeypatch.setattr(claims, "routes", lambda: [*own, claims.Route(IPv4Network("10.0.0.0/8"), "tun0")])
    first.up()
    pods = first.config.addresses.pods
    monkeypatch.setattr(claims, "routes", lambda: [*own, claims.Route(pods, "tun0")])
    with pytest.raises(ClusterError, match=f"the route to {pods} through tun0 has the addresses"):
        first.up()


def test_who_is_second_to_take_a_slot_at_the_same_time_leaves_nothing(
    clusters: list[Cluster], busy: subprocess.Popen[bytes]
) -> None:
    first, second = clusters
    with pytest.raises(ClusterError, match=rf"the cluster in {second.state_dir} took slot {second.config.slot} at"):
        network.ensure(first.config)
    assert _has_its_own(second, busy)
    assert first.config.new_link not in claims.links()
    assert not Path("/run/netns", first.config.netns).exists()


def test_the_end_of_a_node_leaves_alone_the_one_that_has_its_slot_now(
    clusters: list[Cluster], busy: subprocess.Popen[bytes]
) -> None:
    first, second = clusters
    first.down()
    assert _has_its_own(second, busy)
    first.down(purge=True)
    assert _has_its_own(second, busy)
    second.down()
    assert leftovers(second.config) == []
    assert busy.wait(timeout=120) != 0


def test_a_network_whose_making_was_killed_is_whole_after_the_next_up(
    monkeypatch: pytest.MonkeyPatch, clusters: list[Cluster]
) -> None:
    first, _ = clusters
    first.up()
    config = first.config
    whole = _network(config)
    commands = network.creation(config) + network.connection(config)
    for last in commands:
        network.remove(config)
        with monkeypatch.context() as patch:
            patch.setattr(network, "run", partial(_run_and_be_killed, last))
            with pytest.raises(KeyboardInterrupt):
                network.ensure(config)
        network.ensure(config)
        assert _network(config) == whole, f"killed after {last}"


def _run_and_be_killed(last: list[str], argv: list[str]) -> str:
    """Run a command; end as a process does that is killed once the last one was run."""
    said = run(argv)
    if argv == last:
        raise KeyboardInterrupt
    return said


def _network(config: ClusterConfig) -> list[object]:
    """Addresses and routes at both ends of a cluster's link, and whether the node forwards."""
    inside = ["nsenter", f"--net=/run/netns/{config.netns}"]
    found: list[object] = [run([*inside, "sysctl", "-n", "net.ipv4.ip_forward"])]
    for prefix, link in (([], config.link), (inside, "eth0"), (inside, "lo")):
        for each in json.loads(run([*prefix, "ip", "-j", "-4", "addr", "show", "dev", link]) or "[]"):
            found += [(link, "UP" in each["flags"], at["local"], at["prefixlen"]) for at in each["addr_info"]]
        for route in json.loads(run([*prefix, "ip", "-j", "-4", "route", "show", "dev", link]) or "[]"):
            found.append((link, route["dst"], route.get("gateway")))
    return found
