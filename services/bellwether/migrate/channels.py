"""The old system's channels: how an event of this system is published there. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

PREFIX = "trading"


@dataclass(frozen=True)
class OldMessage:
    """A message for a channel of the old system."""

    channel: str
    body: str


def old_message(kind: str, data: dict[str, Any]) -> OldMessage | None:
    """Return an event of the gateway's stream as the old system published it; None for what is no event."""
    about = data.get("event")
    if not isinstance(about, dict) or not {"priority", "source_service", "id"} <= set(about):
        return None
    body = {
        "type": kind,
        "data": {name: value for name, value in data.items() if name not in ("event", "timestamp")},
        "timestamp": data.get("timestamp"),
        "source_service": about["source_service"],
        "priority": about["priority"],
        "id": about["id"],
    }
    return OldMessage(f"{PREFIX}:{about['priority']}:{kind}", json.dumps(body, ensure_ascii=False))


def stream_messages(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and data of each message of a stream of server-sent events, as its lines come."""
    name, data = "", ""
    for line in lines:
        if line == "":
            if name and data:
                yield name, json.loads(data)
            name, data = "", ""
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            data += line[6:]
