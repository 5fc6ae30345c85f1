"""What became of each backup, restore and drill, beside the system: a small file for each.

A record says `running` from its first step on. One whose process was killed becomes `failed`, at the step where it was,
when the next work takes the lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from bellwether.backups.errors import BackupError
from bellwether.storage.folders import write_durably

Work = Literal["backup", "drill", "restore"]
State = Literal["running", "complete", "failed"]


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of work."""

    id: str
    work: Work
    state: State
    started: datetime
    step: str = ""
    """The step it is at, or was at when it failed."""
    reason: str = ""
    """Why it failed."""
    ended: datetime | None = None
    cut: datetime | None = None
    """Of a backup: when its first piece was copied."""
    kind: str = ""
    size: int = 0
    """Bytes of the pieces."""
    added: dict[str, int] = msgspec.field(default_factory=dict)
    """Bytes that it added, by location."""
    failed: dict[str, str] = msgspec.field(default_factory=dict)
    """Why it is not in a location, by its name."""
    session: str = ""
    figures: dict[str, int | float | str] = msgspec.field(default_factory=dict)
    """Of a drill: what was compared."""


class InUse(BackupError):
    """Another process makes, restores or tests a backup of this system; the message names it."""


class Records:
    """The records of one system, in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root / "records"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other work out.

        Raises:
            InUse: if there is some.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InUse(
                    "a backup, restore or drill of this system goes on already: wait for its end "
                    "(`bellwether backup list` shows it)"
                ) from None
            self._end_killed()
            yield
        finally:
            os.close(lock)

    def write(self, record: Record) -> None:
        """Store a record in place of the one of its id and work."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._path(record), msgspec.json.format(msgspec.json.encode(record), indent=1))

    def change(self, record: Record, **changes: object) -> Record:
        """Store a record with some fields changed; return it."""
        changed = msgspec.structs.replace(record, **changes)
        self.write(changed)
        return changed

    def all(self, work: Work | None = None) -> list[Record]:
        """Return the records, oldest first; what cannot be read is passed over."""
        found = []
        for path in self._folder.glob("*.json"):
            try:
                record = msgspec.json.decode(path.read_bytes(), type=Record)
            except (OSError, msgspec.MsgspecError):
                continue
            if work in (None, record.work):
                found.append(record)
        return sorted(found, key=lambda one: (one.started, one.id))

    def new_id(self) -> str:
        """Return an id that none has, from the time: 20261129T231500Z."""
        known = {record.id for record in self.all()}
        now = datetime.now(UTC)
        stamp = int(now.timestamp())
        while (name := f"{datetime.fromtimestamp(stamp, UTC):%Y%m%dT%H%M%SZ}") in known:
            stamp += 1
        return name

    def _end_killed(self) -> None:
        """Mark what says that it is running as failed: the lock is ours, so its process is gone."""
        for record in self.all():
            if record.state == "running":
                reason = f"its process ended at the step: {record.step}"
                self.change(record, state="failed", reason=reason, ended=datetime.now(UTC))

    def _path(self, record: Record) -> Path:
        return self._folder / f"{record.work}-{record.id}.json"
