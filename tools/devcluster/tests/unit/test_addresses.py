from ipaddress import IPv4Network
from itertools import combinations

import pytest

from devcluster.addresses import SLOTS, Addresses, collides


def test_no_two_clusters_share_an_address_or_a_port() -> None:
    every = [Addresses(slot) for slot in range(SLOTS)]
    networks = [network for one in every for network in one.networks()]
    assert not any(a.overlaps(b) for a, b in combinations(networks, 2))
    ports = {one.loopback_port(offset) for one in every for offset in range(10)}
    assert len(ports) == 10 * SLOTS
    assert max(ports) < 2**15  # below what the kernel hands out to clients


def test_the_addresses_of_the_first_slot() -> None:
    at = Addresses(0)
    assert [str(a) for a in (at.host, at.node)] == ["10.200.0.1", "10.200.0.2"]
    assert [str(a) for a in (at.kubernetes, at.dns)] == ["10.208.0.1", "10.208.0.10"]
    assert at.pods_on_node.subnet_of(at.pods)


def test_a_slot_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match=f"slot is {SLOTS}; it must be from 0 to {SLOTS - 1}"):
        Addresses(SLOTS)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("0.0.0.0/0", False),
        ("192.168.1.0/24", False),
        ("10.100.7.0/24", True),
        ("10.101.0.0/16", False),
        ("10.0.0.0/8", True),
    ],
)
def test_a_machine_that_routes_our_range_already_gets_another_slot(route: str, expected: bool) -> None:
    assert collides(Addresses(0), [IPv4Network(route)]) is expected
