"""Where things are kept: state of clusters, and what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def state_home() -> Path:
    """The folder below which clusters keep their state."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "bellwether" / "devcluster"


def cache_home() -> Path:
    """The folder of what can be made again: programs, base images, wheels."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "bellwether"


def repository() -> Path:
    """The top folder of the project."""
    return Path(__file__).resolve().parents[3]


def go_module() -> Path:
    """The folder of the Go programs' sources."""
    return Path(__file__).resolve().parents[1] / "go"
