"""Which system, which child, and in which state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class SystemKey(NamedTuple):
    """Which system: its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Version(NamedTuple):
    """A very object in a very state."""

    uid: str
    resource_version: int


def version_of(raw: Mapping[str, Any]) -> Version:
    """Return which object this is, in which state."""
    return Version(raw["metadata"]["uid"], int(raw["metadata"]["resourceVersion"]))


class ChildKey(NamedTuple):
    """Which child: its kind, namespace and name."""

    kind: str
    namespace: str
    name: str
