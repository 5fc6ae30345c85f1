"""The kind program: the one on PATH, else built from its Go module, once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from devcluster.build import find_go
from devcluster.command import run
from devcluster.errors import ClusterError
from devcluster.slots import locked
from environments.machine import CLUSTERS

MODULE = "sigs.k8s.io/kind"
VERSION = "v0.33.0"
_BUILD_SECONDS = 900

Report = Callable[[str], None]


def ensure_kind(report: Report) -> str:
    """Return the path of a kind program.

    Raises:
        ClusterError: if there is none, and none can be built.
    """
    on_path = shutil.which("kind")
    if on_path is not None:
        return on_path
    folder = CLUSTERS.cache_home / "kind" / VERSION
    program = folder / "kind"
    if program.exists():
        return str(program)
    go = find_go()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / "build.lock"):
        if not program.exists():
            report(f"kind is not on PATH: building {MODULE} {VERSION}; it is kept")
            _build(go, folder)
    return str(program)


def _build(go: str, folder: Path) -> None:
    """Put the program in its place as a whole: a killed build leaves none."""
    fresh = folder.with_name(f"building-{os.getpid()}")
    try:
        run(["env", f"GOBIN={fresh}", "GOFLAGS=", go, "install", f"{MODULE}@{VERSION}"], seconds=_BUILD_SECONDS)
        folder.mkdir(exist_ok=True)
        (fresh / "kind").rename(folder / "kind")
    except ClusterError as error:
        raise ClusterError(f"kind is not on PATH and could not be built from {MODULE} {VERSION}: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
