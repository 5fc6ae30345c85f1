"""What a notice says: one line by the channel's template, and the longer text of a mail. Pure."""

from __future__ import annotations

import re
from typing import Any

from bellwether.monitoring.book import Notice
from bellwether.spec.notifications import Notification

_PLACE = re.compile(r"\{(\w+)\}")


def facts(system: str, notice: Notice) -> dict[str, str]:
    """Return what a template may name."""
    return {
        "system": system,
        "severity": notice.severity,
        "state": notice.state,
        "type": notice.type,
        "service": notice.service,
        "message": notice.message,
        "since": f"{notice.since:%Y-%m-%d %H:%M} UTC",
    }


def line(channel: Notification, system: str, notice: Notice) -> str:
    """Return the text of a channel's template, as one line."""
    known = facts(system, notice)
    filled = _PLACE.sub(lambda found: known.get(found.group(1), found.group(0)), channel.template)
    return " ".join(filled.split())


def letter(channel: Notification, system: str, notice: Notice) -> str:
    """Return the text of a mail."""
    known = facts(system, notice)
    head = line(channel, system, notice)
    rows = [f"{name}: {known[name]}" for name in ("system", "type", "service", "severity", "state", "since")]
    details = [notice.details, ""] if notice.details else []
    return "\n".join([head, "", *details, *rows, f"id: {notice.id}", ""])


def document(channel: Notification, system: str, notice: Notice) -> dict[str, Any]:
    """Return the body of a webhook; `text` is what chat programs show."""
    return {
        "id": f"{notice.id}.{channel.name}",
        "notification": channel.name,
        "text": line(channel, system, notice),
        "system": system,
        "state": notice.state,
        "type": notice.type,
        "service": notice.service,
        "severity": notice.severity,
        "message": notice.message,
        "details": notice.details,
        "since": f"{notice.since:%Y-%m-%dT%H:%M:%SZ}",
        "timestamp": f"{notice.at:%Y-%m-%dT%H:%M:%SZ}",
    }
