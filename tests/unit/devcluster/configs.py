from pathlib import Path
from typing import Any

from devcluster.config import ClusterConfig, Level


def config(level: Level = Level.NODE, **changes: Any) -> ClusterConfig:
    return ClusterConfig("some", level, changes.pop("slot", 3), Path("/state/some"), Path("/cache/programs"), **changes)
