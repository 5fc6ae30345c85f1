"""What systems are told by."""

from __future__ import annotations

from typing import NamedTuple


class SystemKey(NamedTuple):
    """Which system: its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
