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
        ({"lo": "", "bw4": "/state/other"}, [ELSEWHERE], None),
        ({"bw3": "/state/some"}, [ELSEWHERE, Route(PODS, "bw3")], None),
        ({"bw3": "/state/other"}, [], "the cluster in /state/other"),
        ({"bw3": ""}, [], "the link bw3, which names no cluster as its owner (`ip link del bw3` removes it),"),
        ({}, [Route(IPv4Network("10.0.0.0/8"), "tun0")], "the route to 10.0.0.0/8 through tun0"),
        ({"bw3": "/state/some"}, [Route(PODS, "bw3"), Route(PODS, "tun0")], "the route to 10.103.0.0/16 through tun0"),
    ],
)
def test_networks_of_a_slot_are_the_owners_or_it_is_said_who_has_them(
    links: dict[str, str], routes: list[Route], holder: str | None
) -> None:
    assert network_holder(AT, "/state/some", links, routes) == holder


def test_ports_of_a_slot_are_free_or_it_is_said_which_cluster_or_program_has_them() -> None:
    assert ports_holder(AT, {20020, 20034, 443}, [ETCD]) is None
    assert ports_holder(AT, {20030, 20032}, [["sh"], ETCD]) == "the cluster in /state/other"
    assert ports_holder(AT, {20032, 20033}, [["sh"], [*ETCD[:-1], "--listen-client-urls=http://127.0.0.1:20020"]]) == (
        "the program that listens at port 20032"
    )
