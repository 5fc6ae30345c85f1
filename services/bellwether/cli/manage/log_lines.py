"""Log lines for people: which services' lines, and how a JSON line reads."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bellwether.runtime.terminal import visible


def _fields(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def of_services(lines: Iterable[str], services: Sequence[str], last: int | None, *, follow: bool) -> Iterator[str]:
    """Return the lines of some services; with `last` only the newest so many of those that are there already.

    A line that names no service belongs to its whole process, and is left out where services are asked for.
    """
    wanted = (one for one in lines if not services or _fields(one).get("service") in services)
    if last is None or follow:
        yield from wanted
    else:
        yield from deque(wanted, maxlen=last)


def shown(line: str) -> str:
    """Return a line as a person reads it: time (UTC), level, service, words; a traceback below."""
    found = _fields(line)
    if "msg" not in found:
        return visible(line)
    at = str(found.get("time", ""))[:23].replace("T", " ")
    head = f"{at}  {found.get('level', '')!s:<7} {found.get('service', '')!s:<14} {found['msg']}"
    text = visible(head)
    if "exception" in found:
        text += "\n" + visible(str(found["exception"]), keep="\n")
    return text
