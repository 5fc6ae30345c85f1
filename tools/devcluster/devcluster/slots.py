"""Which slot (and so which addresses) a cluster has: one file for all clusters of a user, under a lock."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from devcluster.addresses import SLOTS
from devcluster.errors import ClusterError


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock; others wait for it. The kernel drops it with the process."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


Holder = Callable[[int], str | None]
"""Who but the cluster that asks has the addresses of a slot, in words; None when no one has."""


def choose(table: Mapping[str, int], folder: str, bound: int | None, holder: Holder) -> int:
    """The slot of a state folder: the one it has, else the lowest, that no one else has (pure).

    `bound` is the slot that the cluster's keys and data were made for, if any: no other will do.
    """
    taken = {slot: f"the cluster in {other}" for other, slot in table.items() if other != folder}
    if bound is not None:
        who = taken.get(bound) or holder(bound)
        if who is not None:
            raise ClusterError(
                f"{who} has the addresses that the cluster in {folder} was made with (slot {bound}); "
                "take that away, or this one with `down --purge`"
            )
        return bound
    former = [table[folder]] if folder in table else []
    for slot in chain(former, range(SLOTS)):
        if slot not in taken and holder(slot) is None:
            return slot
    raise ClusterError(f"all {SLOTS} address ranges are in use; `list` names the clusters, `down --purge` ends one")


class SlotTable:
    """The table on disk: state folder, links in its path resolved -> slot. A row whose folder is gone is free again."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "slots.json"
        self._lock = folder / "slots.lock"

    def take(self, state_dir: Path, bound: int | None, holder: Holder) -> int:
        """The slot of this folder, which is made so that the row counts."""
        with locked(self._lock):
            table, folder = self._read(), str(state_dir.resolve())
            slot = choose(table, folder, bound, holder)
            state_dir.mkdir(parents=True, exist_ok=True)
            if table.get(folder) != slot:
                self._write({**table, folder: slot})
            return slot

    def release(self, state_dir: Path) -> None:
        """Give the slot of this folder back."""
        with locked(self._lock):
            table = self._read()
            if table.pop(str(state_dir.resolve()), None) is not None:
                self._write(table)

    def rows(self) -> dict[str, int]:
        """State folder -> slot, of the folders that are there."""
        return self._read()

    def _read(self) -> dict[str, int]:
        try:
            table = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        # rows of before may name a folder through a link
        return {str(Path(folder).resolve()): slot for folder, slot in table.items() if Path(folder).exists()}

    def _write(self, table: Mapping[str, int]) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(table, indent=2))
        fresh.replace(self._file)
