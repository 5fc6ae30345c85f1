"""Which request is of which kind, and in which versions IG answers it. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

BASE = "/gateway/deal"


class Route(NamedTuple):
    """One method and path of the REST reference."""

    kind: str
    method: str
    path: re.Pattern[str]
    versions: tuple[int, ...]


class Asked(NamedTuple):
    """What a request is: its kind, what its path names, and whether its version is one that IG answers."""

    kind: str
    name: str
    version_known: bool


def _route(kind: str, method: str, path: str, *versions: int) -> Route:
    return Route(kind, method, re.compile(f"{BASE}{path}/?$"), versions)


_NAME = r"/(?P<name>[^/]+)"
ROUTES = (
    _route("login", "POST", "/session", 1, 2),
    _route("session", "GET", "/session", 1),
    _route("switch", "PUT", "/session", 1),
    _route("logout", "DELETE", "/session", 1),
    _route("accounts", "GET", "/accounts", 1),
    _route("application", "GET", "/operations/application", 1),
    _route("markets", "GET", "/markets", 1, 2),
    _route("market", "GET", "/markets" + _NAME, 1, 2, 3),
    _route("positions", "GET", "/positions", 1, 2),
    _route("open", "POST", "/positions/otc", 1, 2),
    _route("close", "DELETE", "/positions/otc", 1),
    _route("amend", "PUT", "/positions/otc" + _NAME, 1, 2),
    _route("position", "GET", "/positions" + _NAME, 1, 2),
    _route("confirm", "GET", "/confirms" + _NAME, 1),
    _route("workingorders", "GET", "/workingorders", 1, 2),
    _route("place", "POST", "/workingorders/otc", 1, 2),
    _route("cancel", "DELETE", "/workingorders/otc" + _NAME, 1, 2),
    _route("activity", "GET", "/history/activity", 2, 3),
    _route("transactions", "GET", "/history/transactions", 1, 2),
)
KINDS = tuple(route.kind for route in ROUTES)
TRADING = ("open", "close", "amend", "place", "cancel")


def asked_of(method: str, path: str, version: str | None) -> Asked | None:
    """Return what a request asks; None where IG has no such method and path. Without VERSION it is version 1."""
    for route in ROUTES:
        found = route.path.match(path)
        if found is not None and route.method == method:
            wanted = int(version) if version is not None and version.isdigit() else 1
            name = found.groupdict().get("name") or ""
            return Asked(route.kind, name, wanted in route.versions)
    return None
