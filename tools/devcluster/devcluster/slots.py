"""Which slot (and so which addresses) a cluster has: one file for all clusters of a user, under a lock."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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


def choose(table: Mapping[str, int], owner: str, before: int | None, free: Callable[[int], bool]) -> int:
    """The owner's slot: the one it has, else the lowest that no one has and that is `free` (pure).

    `before` is the slot that the owner's keys and data were made for, if any: no other will do.
    """
    if owner in table and before in (None, table[owner]):
        return table[owner]
    taken = {slot for holder, slot in table.items() if holder != owner}
    if before is not None:
        if before in taken:
            raise ClusterError(
                f"another cluster took the addresses of {owner} (slot {before}); "
                "take one of them away with `down --purge`"
            )
        return before
    for slot in range(SLOTS):
        if slot not in taken and free(slot):
            return slot
    raise ClusterError(f"all {SLOTS} address ranges are in use; `down --purge` an old cluster")


class SlotTable:
    """The table on disk: state folder -> slot. A row whose folder is gone is free again."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "slots.json"
        self._lock = folder / "slots.lock"

    def take(self, state_dir: Path, before: int | None, free: Callable[[int], bool]) -> int:
        """The slot of this folder, which is made so that the row counts."""
        with locked(self._lock):
            table = self._read()
            slot = choose(table, str(state_dir), before, free)
            state_dir.mkdir(parents=True, exist_ok=True)
            if table.get(str(state_dir)) != slot:
                self._write({**table, str(state_dir): slot})
            return slot

    def release(self, state_dir: Path) -> None:
        """Give the slot of this folder back."""
        with locked(self._lock):
            table = self._read()
            if table.pop(str(state_dir), None) is not None:
                self._write(table)

    def _read(self) -> dict[str, int]:
        try:
            table = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return {folder: slot for folder, slot in table.items() if Path(folder).exists()}

    def _write(self, table: Mapping[str, int]) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(table, indent=2))
        fresh.replace(self._file)
