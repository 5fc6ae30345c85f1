from pathlib import Path

from devcluster.kernel import mounts_below
from devcluster.network import connection, creation, own_links
from devcluster.testing import config

MOUNTINFO = """\
22 27 0:21 / /proc rw - proc proc rw
27 1 254:0 / / rw - ext4 /dev/vda rw
40 27 0:40 / /state/some rw - tmpfs tmpfs rw
41 40 0:41 / /state/some/pods/a\\040b rw - tmpfs tmpfs rw
42 27 0:42 / /state/something rw - tmpfs tmpfs rw
"""


def test_mounts_below_a_folder_come_latest_first_and_no_neighbour_with_them() -> None:
    assert mounts_below(Path("/state/some"), MOUNTINFO) == ["/state/some/pods/a b", "/state/some"]


def test_the_network_is_numbered_by_the_slot_and_named_by_the_owner() -> None:
    commands = [" ".join(command) for command in creation(config()) + connection(config())]
    assert "ip netns add devcluster-cfe54c80" in commands
    assert "ip addr replace 10.200.3.1/24 dev dc3" in commands
    assert "ip route replace 10.208.48.0/20 via 10.200.3.2 dev dc3" in commands
    assert not any(command.startswith("ip netns exec") for command in commands)


def test_the_link_carries_its_owner_before_it_has_the_name_that_there_can_be_one_of() -> None:
    commands = [" ".join(command) for command in creation(config())]
    steps = [command for command in commands if "dc-TAG" in command.replace(config().tag, "TAG")]
    assert [step.replace(config().tag, "TAG") for step in steps] == [
        "ip link add dc-TAG type veth peer name eth0 netns devcluster-TAG",
        "ip link set dev dc-TAG alias /state/some",
        "ip link set dev dc-TAG name dc3",
    ]
    assert len(config().new_link) < 16  # or Linux takes it for no name of a link


def test_a_cluster_finds_its_own_links_only_whatever_slot_they_are_of() -> None:
    links = {"lo": "", "eth0": "", "dc3": "/state/other", "dc5": "/state/some", config().new_link: ""}
    assert own_links(config(), links) == ["dc5", config().new_link]


def test_what_clusters_of_different_folders_make_has_different_names_in_the_same_slot() -> None:
    one, other = config(), config(owner="/state/other")
    assert one.slot == other.slot
    for name in ("netns", "new_link", "cgroup", "pod_network_name"):
        assert getattr(one, name) != getattr(other, name)
