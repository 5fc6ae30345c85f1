"""What was restored takes the place of what is on a system's volumes: on all of them or on none, whoever is killed.

It lies ready in a folder of each volume. A file on the first volume says that it is to be put in place: from then on
whoever comes brings that to its end first, by renaming alone. What was there is kept aside on each volume.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bellwether.local.filling import MARK
from bellwether.local.state import ASIDE
from bellwether.storage.folders import remove, sync_folder, write_durably

READY = ".restore"
"""The folder of a volume where what is to take the place lies ready."""
_DECIDED = ".restore-decided.json"
_DONE = ".restore-done.json"
_STAYS = ("lost+found", MARK)
_STAYS_BY_BEGINNING = (READY, f".{READY}", ASIDE)
"""Names that begin so are of restores; a dot more has a small file that is being written."""


class Exchanged(NamedTuple):
    """An exchange that was decided."""

    request: str
    """For which request."""
    backup: str


def stays(name: str) -> bool:
    """Whether what is on a volume by this name is no part of the system's state: nobody exchanges or removes it."""
    return name in _STAYS or name.startswith(_STAYS_BY_BEGINNING)


def done(volumes: Sequence[Path]) -> Exchanged | None:
    """Return the exchange that was brought to its end last on these volumes."""
    found = _read(_holder(volumes) / _DONE)
    return None if found is None else Exchanged(str(found["request"]), str(found["backup"]))


def clear(volumes: Sequence[Path]) -> None:
    """Take away what lies ready, where nothing was decided."""
    for volume in volumes:
        remove(volume / READY)


def decide(volumes: Sequence[Path], exchange: Exchanged) -> None:
    """Decide that what lies ready on these volumes takes the place of what is there, which goes to a folder aside."""
    os.sync()  # what lies ready is on the disk before anything says so
    names = {
        volume.name: {
            "former": sorted(path.name for path in volume.iterdir() if not stays(path.name)),
            "ready": sorted(path.name for path in (volume / READY).iterdir()),
        }
        for volume in volumes
    }
    decided = {**exchange._asdict(), "aside": f"{ASIDE}{exchange.backup}-{exchange.request}", "volumes": names}
    write_durably(_holder(volumes) / _DECIDED, json.dumps(decided).encode())


def finish(volumes: Sequence[Path]) -> Exchanged | None:
    """Bring a decided exchange to its end; return it, None where nothing was decided.

    Nobody else may use the volumes. Doing it again goes on where it was. What an earlier exchange kept aside goes.
    """
    holder = _holder(volumes)
    decided = _read(holder / _DECIDED)
    if decided is None:
        return None
    for volume in volumes:
        names = decided["volumes"][volume.name]
        _exchange(volume, volume / str(decided["aside"]), names["former"], names["ready"])
    found = Exchanged(str(decided["request"]), str(decided["backup"]))
    write_durably(holder / _DONE, json.dumps(found._asdict()).encode())
    (holder / _DECIDED).unlink()
    sync_folder(holder)
    return found


def _exchange(volume: Path, aside: Path, former: Sequence[str], restored: Sequence[str]) -> None:
    aside.mkdir(mode=0o700, exist_ok=True)
    ready = volume / READY
    waiting = [name for name in restored if os.path.lexists(ready / name)]
    for name in former:
        # By a name of the restored ones that waits no more lies the restored one already.
        if (name in waiting or name not in restored) and os.path.lexists(volume / name):
            (volume / name).rename(aside / name)
    for name in waiting:
        (ready / name).rename(volume / name)
    for folder in (volume, aside):
        sync_folder(folder)
    remove(ready)
    for path in list(volume.iterdir()):
        if path.name.startswith(ASIDE) and path != aside:
            remove(path)


def _holder(volumes: Sequence[Path]) -> Path:
    return min(volumes)


def _read(path: Path) -> Any:
    """Return what a small file says; None where it is not there."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
