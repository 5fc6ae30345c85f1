from dataclasses import replace
from typing import get_args

import pytest

from bellwether.service_row import Priority, ServiceRow
from bellwether.spec.pods import ServiceName
from bellwether.topology import NATS_RESOURCES, SERVICES
from bellwether.wiring import TopologyError, check, consumed_types, matches, start_order


def test_the_table_contradicts_nothing() -> None:
    check()


def test_each_service_starts_after_what_it_requires() -> None:
    order = start_order()
    assert sorted(order) == sorted(SERVICES)
    for row in SERVICES.values():
        for needed in row.requires:
            assert order.index(needed) < order.index(row.name)


def test_the_table_is_in_start_order() -> None:
    """Lists of services have one order, whether they are made from the table or from the start order."""
    assert start_order() == list(SERVICES)


def test_what_stands_above_what_it_requires_starts_after_it() -> None:
    rows = {"a": ServiceRow("a", "", requires=("c",)), "b": ServiceRow("b", ""), "c": ServiceRow("c", "")}
    assert start_order(rows) == ["b", "c", "a"]


def test_a_circle_is_an_error_that_names_its_members() -> None:
    rows = {"a": ServiceRow("a", "", requires=("b",)), "b": ServiceRow("b", "", requires=("a",))}
    with pytest.raises(TopologyError, match=r"a -> b -> a|b -> a -> b"):
        start_order(rows)


def test_a_call_without_a_server_is_refused() -> None:
    rows = {
        **SERVICES,
        "prediction": replace(SERVICES["prediction"], calls={"ml-model": ("guess",)}),
    }
    with pytest.raises(TopologyError, match=r"prediction calls ml-model\.guess"):
        check(rows)


def test_a_store_has_one_owner() -> None:
    rows = {"a": ServiceRow("a", "", store="x.db"), "b": ServiceRow("b", "", store="x.db")}
    with pytest.raises(TopologyError, match=r"x\.db has two owners: a and b"):
        check(rows)


def test_an_event_that_nobody_publishes_cannot_be_consumed() -> None:
    with pytest.raises(TopologyError, match="consumes ghosts"):
        check({"a": ServiceRow("a", "", consumes=("ghosts",))})


@pytest.mark.parametrize("priorities", [(), ("high", "high")])
def test_the_priorities_of_an_event_are_named_once_each(priorities: tuple[Priority, ...]) -> None:
    with pytest.raises(TopologyError, match=r"a publishes bell with the priorities .*: name each once"):
        check({"a": ServiceRow("a", "", publishes={"bell": priorities})})


def test_an_event_of_several_priorities_is_consumed_by_a_lane_each() -> None:
    rows = {
        "a": ServiceRow("a", "", publishes={"bell": ("urgent", "high"), "bark": "normal"}),
        "b": ServiceRow("b", "", consumes=("b*",)),
    }
    assert rows["a"].publications == (("bell", "urgent"), ("bell", "high"), ("bark", "normal"))
    assert consumed_types(rows["b"], rows) == {"urgent": ("bell",), "high": ("bell",), "normal": ("bark",)}


def test_a_pattern_matches_by_its_beginning() -> None:
    assert matches("order_*", "order_filled")
    assert not matches("order_*", "halt_changed")
    assert matches("halt_changed", "halt_changed")


def test_consumed_types_are_found_by_priority() -> None:
    assert consumed_types(SERVICES["paper-trading"]) == {"high": ("prediction_generated",)}


def test_every_service_and_the_bus_can_be_given_resources() -> None:
    assert set(get_args(ServiceName)) == {*SERVICES, "nats"}


def test_monitoring_asks_every_other_service_how_it_is_and_reads_reports_and_may_do_nothing_else() -> None:
    asked: dict[str, tuple[str, ...]] = {name: ("health",) for name in SERVICES if name != "monitoring"}
    asked["scheduler"] = ("health", "list_reports", "get_report")
    assert dict(SERVICES["monitoring"].calls) == asked


def test_a_standard_system_and_the_copy_of_a_drill_fit_into_one_and_a_half_processors() -> None:
    asked = NATS_RESOURCES.cpu_millis + sum(row.resources.cpu_millis for row in SERVICES.values())
    assert 2 * asked <= 1500
