"""Session reports on a terminal."""

from __future__ import annotations

from typing import Any

import msgspec

from bellwether.messages.reporting import StoredReport
from bellwether.reporting.session_text import session_lines

_EQUAL = {True: "composed again: equal", False: "composed again: different"}


def as_text(found: dict[str, Any]) -> Any:
    """Return a report as text."""
    from rich.text import Text

    stored = msgspec.convert(found, StoredReport)
    verified = [] if stored.equal is None else ["", _EQUAL[stored.equal]]
    return Text("\n".join([*session_lines(stored.report), *verified]))


def listed(found: dict[str, Any]) -> Any:
    """Return reports in one line each, newest first."""
    from rich.text import Text

    if not found["reports"]:
        return Text("there is no report yet: evening_analysis makes it", style="dim")
    return Text("\n".join(f"{one['session']}  {one['summary']}" for one in found["reports"]))
