from pathlib import Path
from typing import Any

from devcluster.config import ClusterConfig, Level


def config(level: Level = Level.NODE, **changes: Any) -> ClusterConfig:
    slot, owner = changes.pop("slot", 3), changes.pop("owner", "/state/some")
    return ClusterConfig("some", level, slot, Path("/state/some"), owner, Path("/cache/programs"), **changes)
