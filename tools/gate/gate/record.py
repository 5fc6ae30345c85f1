"""Tests that are left out while nothing that they test has changed since they passed on this machine.

The record lies outside the clone, and only a run in which they passed writes it. Where there is none, all tests run.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from devcluster import needs
from gate.imports import Imports

KEPT = 50
"""So many passes are remembered: those of several branches, and of clones beside each other."""
LOCKS = ("pyproject.toml", "requirements/dev.txt")


@dataclass(frozen=True)
class Part:
    """Tests that belong together, and what they test.

    Attributes:
        name: what a person calls it.
        tests: the files or folders of the tests.
        files: patterns of further files whose content counts.
        modules: what is tested. It counts with all that it imports and with who imports it directly.
    """

    name: str
    tests: tuple[str, ...]
    files: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


PARTS = (
    Part(
        name="the embedded cluster's own tests and csi-sanity",
        tests=("tools/devcluster/tests/integration",),
        files=("tools/devcluster/**/*",),
    ),
)


def toolchain(cluster: str) -> dict[str, str]:
    """Return what else than the project's files decides how these tests end."""
    packages = sorted({*needs.PACKAGES_OF_NODE.values(), *needs.PACKAGES_OF_IMAGES.values()})
    return {
        "cluster": cluster,
        "root": str(os.geteuid() == 0),
        "python": sys.version,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "go": _output("go", "version"),
        "packages": _output("dpkg-query", "--show", *packages),
    }


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    except FileNotFoundError:
        return ""


def fingerprint(part: Part, top: Path, imports: Imports, tools: Mapping[str, str]) -> str:
    """Return a hash over the tests of a part, what they test, the locks and the toolchain."""
    files = set(_files(top, [*part.tests, *part.files, *LOCKS]))
    if part.modules:
        modules = [Path(each) for each in part.modules]
        files |= imports.closure(modules) | imports.users(modules)
    found = hashlib.sha256(json.dumps(tools, sort_keys=True).encode())
    for file in sorted(files):
        found.update(f"\0{file}\0".encode() + hashlib.sha256((top / file).read_bytes()).digest())
    return found.hexdigest()


def _files(top: Path, patterns: Iterable[str]) -> Iterable[Path]:
    for pattern in patterns:
        inside = f"{pattern}/**/*" if (top / pattern).is_dir() else pattern
        for path in top.glob(inside):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(top)


def record_file(variables: Mapping[str, str] = os.environ) -> Path:
    """Return where passes are written down."""
    base = variables.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "bellwether" / "gate" / "passed.json"


def passes(file: Path) -> dict[str, str]:
    """Return when tests of which fingerprint passed; an unreadable record counts as empty."""
    try:
        reported = json.loads(file.read_text())
        return {str(name): str(at) for name, at in reported.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def write_passes(file: Path, fingerprints: Sequence[str], now: datetime | None = None) -> None:
    """Write down that tests of these fingerprints passed."""
    at = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    known = {**passes(file), **dict.fromkeys(fingerprints, at)}
    newest = sorted(known.items(), key=lambda each: each[1])[-KEPT:]
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(dict(newest), indent=1))
    new.replace(file)
