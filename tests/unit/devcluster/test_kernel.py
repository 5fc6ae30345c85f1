from pathlib import Path

from devcluster.kernel import mounts_below
from devcluster.network import creation, routes
from unit.devcluster.configs import config

MOUNTINFO = """\
22 27 0:21 / /proc rw - proc proc rw
27 1 254:0 / / rw - ext4 /dev/vda rw
40 27 0:40 / /state/some rw - tmpfs tmpfs rw
41 40 0:41 / /state/some/pods/a\\040b rw - tmpfs tmpfs rw
42 27 0:42 / /state/something rw - tmpfs tmpfs rw
"""


def test_mounts_below_a_folder_come_latest_first_and_no_neighbour_with_them() -> None:
    assert mounts_below(Path("/state/some"), MOUNTINFO) == ["/state/some/pods/a b", "/state/some"]


def test_the_network_is_named_and_numbered_by_the_slot() -> None:
    commands = [" ".join(command) for command in creation(config()) + routes(config())]
    assert "ip netns add bellwether-3" in commands
    assert "ip addr add 10.200.3.1/24 dev bw3" in commands
    assert "ip route replace 10.208.48.0/20 via 10.200.3.2 dev bw3" in commands
    assert not any(command.startswith("ip netns exec") for command in commands)
