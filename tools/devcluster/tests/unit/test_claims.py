from ipaddress import IPv4Network

import pytest

from devcluster.addresses import Addresses
from devcluster.claims import Route, network_holder, ports_holder

AT = Addresses(3)
ELSEWHERE = Route(IPv4Network("192.168.0.0/16"), "eth0")
PODS = IPv4Network("10.103.0.0/16")
ETCD = ["/programs/devcluster", "etcd", "--data-dir=/state/other/etcd", "--listen-client-urls=http://127.0.0.1:20030"]


@pytest.mark.parametrize(
    ("links", "routes", "holder"),
    [
        ({"lo": "", "dc4": "/state/other"}, [ELSEWHERE], None),
        ({"dc3": "/state/some"}, [ELSEWHERE, Route(PODS, "dc3")], None),
        ({"dc3": "/state/other"}, [], "the cluster in /state/other"),
        ({"dc3": ""}, [], "the link dc3, which names no cluster as its owner (`ip link del dc3` removes it),"),
        ({}, [Route(IPv4Network("10.0.0.0/8"), "tun0")], "the route to 10.0.0.0/8 through tun0"),
        ({"dc3": "/state/some"}, [Route(PODS, "dc3"), Route(PODS, "tun0")], "the route to 10.103.0.0/16 through tun0"),
    ],
)
def test_networks_of_a_slot_are_the_owners_or_it_is_said_who_has_them(
    links: dict[str, str], routes: list[Route], holder: str | None
) -> None:
    assert network_holder(AT, "/state/some", links, routes) == holder


@pytest.mark.parametrize("network", ["10.0.0.0/8", "10.102.0.0/15", "10.96.0.0/11"])
def test_a_wide_route_does_not_take_a_slot_from_the_cluster_whose_own_routes_go_first(network: str) -> None:
    wide = Route(IPv4Network(network), "tun0")
    assert network_holder(AT, "/state/some", {}, [wide]) == f"the route to {network} through tun0"
    assert network_holder(AT, "/state/some", {"dc3": "/state/some"}, [wide, Route(PODS, "dc3")], bound=True) is None


@pytest.mark.parametrize("network", ["10.103.0.0/16", "10.103.7.0/24", "10.200.3.2/32", "10.208.48.0/20"])
def test_a_route_that_goes_before_a_clusters_own_takes_its_slot(network: str) -> None:
    narrow = Route(IPv4Network(network), "tun0")
    assert network_holder(AT, "/state/some", {}, [narrow], bound=True) == f"the route to {network} through tun0"


def test_ports_of_a_slot_are_free_or_it_is_said_which_cluster_or_program_has_them() -> None:
    assert ports_holder(AT, {20020, 20034, 443}, [ETCD]) is None
    assert ports_holder(AT, {20030, 20032}, [["sh"], ETCD]) == "the cluster in /state/other"
    assert ports_holder(AT, {20032, 20033}, [["sh"], [*ETCD[:-1], "--listen-client-urls=http://127.0.0.1:20020"]]) == (
        "the program that listens at port 20032"
    )
