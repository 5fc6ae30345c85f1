"""What the wheel depends on: the groups of pyproject.toml that the services and training are locked from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Dependencies(MetadataHookInterface):
    """The requirements of the wheel, written nowhere but in the dependency groups."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set them, each once, sorted."""
        groups = tomllib.loads((Path(self.root) / "pyproject.toml").read_text())["dependency-groups"]
        found = {one for group in ("services", "training") for one in groups[group] if isinstance(one, str)}
        metadata["dependencies"] = sorted(found)
