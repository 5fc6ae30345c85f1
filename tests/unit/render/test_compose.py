from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import pytest

from bellwether.render.compose import Installation, compose, nats_text
from bellwether.topology import SERVICES
from unit.render.conftest import SCHEDULED, UID, build

ON = Installation("bellwether/services:1", "/srv/demo", "1.2.3", "65532:65532")
PROFILES = ("compact", "standard")

Composed = dict[str, Any]


@pytest.fixture(params=PROFILES)
def composed(request: pytest.FixtureRequest) -> Composed:
    return compose(build(profile=request.param), ON)


def test_whatever_is_waited_for_to_be_healthy_has_a_health_check_and_nothing_waits_in_a_circle(
    composed: Composed,
) -> None:
    services = composed["services"]
    waits = {name: one.get("depends_on", {}) for name, one in services.items()}
    list(TopologicalSorter(waits).static_order())
    healthy = {
        other for wanted in waits.values() for other, on in wanted.items() if on["condition"] == "service_healthy"
    }
    assert healthy
    assert not [name for name in healthy if not services[name]["healthcheck"]["test"]]
    completed = {other for wanted in waits.values() for other in wanted} - healthy
    assert {services[name]["restart"] for name in completed} == {"no"}


def test_standard_starts_in_the_order_of_the_topology() -> None:
    services = compose(build(profile="standard"), ON)["services"]
    for name, row in SERVICES.items():
        assert set(services[name]["depends_on"]) == {"bootstrap", *row.requires}
        assert services[name]["command"] == ["serve", "--services", name]


def test_compact_is_one_container_of_all_services() -> None:
    services = compose(build(profile="compact"), ON)["services"]
    assert sorted(services) == ["bootstrap", "nats", "system"]
    assert services["system"]["command"] == ["serve", "--services", "all"]


def test_no_container_may_more_than_it_needs(composed: Composed) -> None:
    for one in composed["services"].values():
        assert (one["read_only"], one["cap_drop"], one["user"]) == (True, ["ALL"], "65532:65532")
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in one
        assert set(one["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


def test_each_health_check_asks_the_port_that_its_process_is_given() -> None:
    for name in SERVICES:
        one = compose(build(profile="standard"), ON)["services"][name]
        port = one["environment"]["BELLWETHER_HEALTH_PORT"]
        assert f"127.0.0.1:{port}/readyz" in one["healthcheck"]["test"][-1]


def test_a_container_is_given_its_own_keys_and_its_own_folder() -> None:
    found = compose(build(profile="standard"), ON)
    prediction = found["services"]["prediction"]
    assert [one["source"] for one in prediction["secrets"]] == ["prediction.nk"]
    assert [one["source"] for one in found["services"]["gateway"]["secrets"]] == ["gateway.nk", "gateway.token"]
    assert prediction["volumes"] == [{"type": "bind", "source": "/srv/demo/data/prediction", "target": "/data"}]
    named = {one["source"] for each in found["services"].values() for one in each.get("secrets", [])}
    assert named == set(found["secrets"])
    assert prediction["environment"]["BELLWETHER_UID"] == UID


def test_only_the_dashboard_is_published_and_only_on_this_machine(composed: Composed) -> None:
    assert [one["ports"] for one in composed["services"].values() if "ports" in one] == [["127.0.0.1:8080:8080"]]


def test_bars_in_files_are_mounted_where_the_declaration_says() -> None:
    system = build(data={"provider": "csv", "csv": {"directory": "/srv/ba$rs"}}, clock={"mode": "live"})
    volumes = compose(system, ON)["services"]["system"]["volumes"]
    assert volumes[-1] == {"type": "bind", "source": "/srv/ba$$rs", "target": "/srv/ba$$rs", "read_only": True}


def test_the_folder_of_a_file_of_news_is_mounted() -> None:
    system = build(sentiment={"provider": "csv", "csv": {"file": "/srv/ne$ws/all.csv"}})
    volumes = compose(system, ON)["services"]["system"]["volumes"]
    assert volumes[-1] == {"type": "bind", "source": "/srv/ne$$ws", "target": "/srv/ne$$ws", "read_only": True}


def test_nats_writes_to_its_folder_and_asks_for_keys() -> None:
    text = nats_text(build(), {"prediction": "UKEY"})
    assert 'store_dir: "/data"' in text
    assert "nkey: UKEY" in text


def test_a_schedule_of_backups_is_refused_since_nothing_would_make_them() -> None:
    with pytest.raises(ValueError, match=r"spec.backup.schedule: nothing makes backups under compose"):
        compose(build(**SCHEDULED), ON)
