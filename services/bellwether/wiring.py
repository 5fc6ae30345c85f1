"""What follows from the table of services: start order, who consumes what, and whether the table is consistent."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from bellwether.service_row import PRIORITIES, Priority, ServiceRow
from bellwether.topology import BUILT_IN_METHODS, SERVICES


class TopologyError(ValueError):
    """The table contradicts itself; the message names the service and the fault."""


def start_order(rows: Mapping[str, ServiceRow] = SERVICES) -> list[str]:
    """Return the services so that each comes after all that it requires, otherwise as the table has them.

    The table is in this order itself, which is that of the pipeline: lists for people have it, too.

    Raises:
        TopologyError: if a service requires one that is not in the table, or if there is a cycle.
    """
    for name, row in rows.items():
        for needed in row.requires:
            if needed not in rows:
                raise TopologyError(f"{name} requires {needed}, which is not in the table")
    try:
        TopologicalSorter({name: row.requires for name, row in rows.items()}).prepare()
    except CycleError as error:
        raise TopologyError("services require each other in a circle: " + " -> ".join(error.args[1])) from error
    order: list[str] = []
    while len(order) < len(rows):
        order.append(next(one for one in rows if one not in order and set(rows[one].requires) <= set(order)))
    return order


def check(rows: Mapping[str, ServiceRow] = SERVICES) -> None:
    """Refuse a table in which a call has no server, an event no publisher, or a store two owners.

    Raises:
        TopologyError: naming the first fault.
    """
    start_order(rows)
    owners: dict[str, str] = {}
    published = {event for row in rows.values() for event in row.publishes}
    for row in rows.values():
        for peer, methods in row.calls.items():
            if peer not in rows:
                raise TopologyError(f"{row.name} calls {peer}, which is not in the table")
            unknown = [method for method in methods if method not in rows[peer].serves + BUILT_IN_METHODS]
            if unknown:
                raise TopologyError(f"{row.name} calls {peer}.{unknown[0]}, which {peer} does not serve")
        for pattern in row.consumes:
            if not any(matches(pattern, event) for event in published):
                raise TopologyError(f"{row.name} consumes {pattern}, which nobody publishes")
        if row.store is not None and owners.setdefault(row.store, row.name) != row.name:
            raise TopologyError(f"{row.store} has two owners: {owners[row.store]} and {row.name}")
        for event in row.publishes:
            allowed = row.priorities(event)
            if not allowed or len(set(allowed)) < len(allowed):
                said = ", ".join(allowed) or "none"
                raise TopologyError(f"{row.name} publishes {event} with the priorities {said}: name each once")


def matches(pattern: str, event_type: str) -> bool:
    """Whether an event type fits a pattern, in which a `*` at the end stands for any rest."""
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])
    return event_type == pattern


def consumed_types(row: ServiceRow, rows: Mapping[str, ServiceRow] = SERVICES) -> dict[Priority, tuple[str, ...]]:
    """Return, per priority, the event types that a service consumes, sorted."""
    found: dict[Priority, set[str]] = {priority: set() for priority in PRIORITIES}
    for publisher in rows.values():
        for event, priority in publisher.publications:
            if any(matches(pattern, event) for pattern in row.consumes):
                found[priority].add(event)
    return {priority: tuple(sorted(types)) for priority, types in found.items() if types}
