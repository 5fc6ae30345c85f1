"""Putting a restored state in the place of a run's, so that a kill at any moment leaves one of the two whole.

What is restored lies ready in `backup/next`. A small file, the journal, says that it is to be put in place; from then
on whoever opens the folder brings that to its end first, by renaming alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from bellwether.storage.folders import sync_folder, write_durably

BACKUP = "backup"
NEXT = "next"
ASIDE = "before-restore-"
"""How the folder's name begins that the former state is kept in."""
SWAPPED = ("data", "nats", "system.json")
_JOURNAL = "swap.json"


def begin(root: Path, aside: str) -> None:
    """Decide that what lies in `backup/next` takes the place of the state, which goes to the folder `aside`."""
    write_durably(root / BACKUP / _JOURNAL, json.dumps({"aside": aside}).encode())


def finish(root: Path) -> Path | None:
    """Bring a decided swap to its end; return where the former state is, None where nothing was decided.

    Nobody else may have the folder open. Doing it again goes on where it was.
    """
    journal = root / BACKUP / _JOURNAL
    if not journal.exists():
        return None
    aside = root / str(json.loads(journal.read_text())["aside"])
    ready = root / BACKUP / NEXT
    aside.mkdir(mode=0o700, exist_ok=True)
    for name in SWAPPED:
        if not (ready / name).exists():
            continue
        if (root / name).exists() and not (aside / name).exists():
            (root / name).rename(aside / name)
        (ready / name).rename(root / name)
    for folder in (root, aside):
        sync_folder(folder)
    journal.unlink()
    sync_folder(journal.parent)
    return aside


def kept_aside(path: Path) -> bool:
    """Whether a folder is what a restore has set aside."""
    return path.name.startswith(ASIDE)
