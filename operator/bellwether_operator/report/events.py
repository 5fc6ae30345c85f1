"""Which changes of a condition are worth an Event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bellwether.render.kubernetes.names import content_hash
from bellwether_operator.observe.kinds import SYSTEMS

_WORTH_TELLING = ("Ready", "Stalled")
NOTE_LIMIT = 1000


def transitions(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the conditions that a person wants to hear of: Ready and Stalled, when their status became another."""
    known = {each["type"]: each["status"] for each in before}
    started = {"Ready": "False", "Stalled": "False"}
    return [
        each
        for each in after
        if each["type"] in _WORTH_TELLING and known.get(each["type"], started[each["type"]]) != each["status"]
    ]


def event(system: Mapping[str, Any], condition: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the Event for a transition; the same transition gives the same name, so it is told once."""
    metadata = system["metadata"]
    good = condition["status"] == ("False" if condition["type"] == "Stalled" else "True")
    told = [
        metadata["uid"],
        condition["type"],
        condition["status"],
        condition["reason"],
        condition["lastTransitionTime"],
    ]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{content_hash(told, 16)}", "namespace": metadata["namespace"]},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": "Normal" if good else "Warning",
        "reason": condition["reason"],
        "action": f"{condition['type']}Changed",
        "note": f"{condition['type']} is {condition['status']}: {condition['message']}"[:NOTE_LIMIT],
        "reportingController": "bellwether.dev/operator",
        "reportingInstance": "bellwether-operator",
        "regarding": {
            "apiVersion": SYSTEMS.api_version,
            "kind": SYSTEMS.kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }
