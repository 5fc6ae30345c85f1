"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def write_if_changed(path: Path, text: str) -> None:
    """Write a file whole, unless it says that already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        fresh = path.with_name(f"{path.name}.new")  # who is killed, or reads meanwhile, meets no half of it
        fresh.write_text(text)
        fresh.replace(path)
