"""The image that ours build on where no registry is at hand: a minimal Debian with Python, made here."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from devcluster.command import run
from devcluster.store import Store

_SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "python3", "python3-venv", "restic")
_DROPPED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
"""What no program in the image reads; the folders stay, empty."""

_HASH = hashlib.sha256(repr((_SUITE, _PACKAGES, _DROPPED)).encode()).hexdigest()[:12]

Report = Callable[[str], None]


def name(prefix: str) -> str:
    """The image's name, which changes with what goes into it (pure)."""
    return f"localhost/{prefix}/base:{_HASH}"


def ensure(store: Store, image: str, report: Report) -> None:
    """Make the image under that name when the store does not have it; takes about a minute."""
    if store.has(image):
        return
    report("making the base image from Debian packages; this takes about a minute and is kept")
    began = time.monotonic()
    store.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.home) as folder:
        tree, archive = Path(folder) / "tree", Path(folder) / "tree.tar"
        include = f"--include={','.join(_PACKAGES)}"
        run(["debootstrap", "--variant=minbase", include, _SUITE, str(tree)], seconds=900)
        for path in _DROPPED:
            shutil.rmtree(tree / path, ignore_errors=True)
            (tree / path).mkdir(parents=True, exist_ok=True)
        run(["tar", "--numeric-owner", "-C", str(tree), "-cf", str(archive), "."], seconds=300)
        store.import_tree(archive, image)
    report(f"made the base image in {time.monotonic() - began:.0f} s")
