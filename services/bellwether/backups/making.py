"""Making a backup: the pieces are copied, counted, kept in every location, and found whole there. Only then it is one.

    reach     every location, before anything is copied
    copy      the pieces, into a folder of their own
    count     what is in them; the manifest
    keep      in each location: store, read the manifest back, check, mark as verified
    retain    what has outlived its use is removed

A backup that was killed at any step leaves nothing that counts: an unmarked snapshot, and a folder that the next one
empties.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from bellwether.backups.databases import CopyError, newest_session
from bellwether.backups.errors import BackupError
from bellwether.backups.inspecting import pieces_in
from bellwether.backups.locations import OURS, Machine, opened
from bellwether.backups.manifest import FORMAT, MANIFEST, Kind, Manifest, Piece, decode, digest, encode
from bellwether.backups.records import Record, Records
from bellwether.backups.restic import Repository, Snapshot
from bellwether.backups.retention import Kept, outlived
from bellwether.backups.source import DATABASES, Collected, Say, Source, empty
from bellwether.spec.backup import BackupLocation, BackupRetention
from bellwether.spec.fields import parse_days

LEDGER = "ledger.db"
VERIFIED = "verified"
BEFORE = "before"
"""The tag of what was kept before a restore, with the id of what was restored. It is restored by its id only."""
FOR = "for"
"""The tag of what was made for a TradingBackup, with its uid."""
_EXPECTED = (BackupError, OSError)


class BackupFailed(BackupError):
    """A backup is not complete; the message says why, and the record too."""

    def __init__(self, record: Record, *, final: bool) -> None:
        super().__init__(record.reason)
        self.record = record
        self.final = final


class BackupRequest(NamedTuple):
    """What is to be done."""

    system: str
    release: str
    kind: Kind
    locations: Sequence[BackupLocation]
    retention: BackupRetention | None
    """None: nothing is removed after it."""
    before: str | None = None
    """The backup that is about to take the place of this state."""
    ordered_by: str | None = None
    """For whom it is made: by that it is found when the same one asks again."""
    make_repository: bool = True
    """Whether a location that holds no repository gets one."""


class Making:
    """One backup on its way."""

    def __init__(self, order: BackupRequest, source: Source, machine: Machine, records: Records, say: Say) -> None:
        self._order = order
        self._source = source
        self._machine = machine
        self._records = records
        self._say = say
        self._record = Record(records.new_id(), "backup", "running", datetime.now(UTC), kind=order.kind)
        self._staging = records.root / "staging"
        self._passing: list[str] = []
        """The locations whose failure may pass by itself."""

    async def make(self) -> Record:
        """Make it; return its record. The lock of the records is held by the caller.

        Raises:
            BackupFailed: if it is not in every location, verified; in those where it is, it stays.
        """
        self._at("reach")
        try:
            reached = self._reach()
            if reached:
                self._at("copy")
                empty(self._staging)
                cut = datetime.now(UTC)
                self._note(cut=cut)
                collected = await self._source.collect(self._staging, self._say)
                self._at("count")
                manifest = self._count(collected, cut)
                self._keep_in_each(reached, manifest)
        except _EXPECTED as error:
            raise self._failed(_words(error), final=_is_final(error)) from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
        if self._record.failed:
            raise self._failed("; ".join(self._record.failed.values()), final=not self._passing)
        self._note(state="complete", step="", ended=datetime.now(UTC))
        return self._record

    def _reach(self) -> list[tuple[str, Repository]]:
        found = []
        for location in self._order.locations:
            try:
                repository = opened(location, self._machine, make=self._order.make_repository)
                repository.unlock()
                found.append((location.name, repository))
            except _EXPECTED as error:
                self._lost(location.name, error)
        return found

    def _count(self, collected: Collected, cut: datetime) -> Manifest:
        found = pieces_in(self._staging)
        unreadable = [f"{path}: {piece}" for path, piece in found.items() if isinstance(piece, str)]
        if unreadable:
            raise CopyError("; ".join(unreadable))
        session = newest_session(self._staging / DATABASES / LEDGER)
        manifest = Manifest(
            format=FORMAT,
            id=self._record.id,
            system=self._order.system,
            kind=self._order.kind,
            release=self._order.release,
            cut=cut,
            session=session,
            declaration=collected.declaration,
            pieces=[piece for piece in found.values() if isinstance(piece, Piece)],
            left_out=collected.left_out,
        )
        (self._staging / MANIFEST).write_bytes(encode(manifest))
        self._note(size=manifest.size, session="" if session is None else session.isoformat())
        self._say(f"counted {len(manifest.pieces)} pieces, {manifest.size / 1e6:.1f} MB")
        return manifest

    def _keep_in_each(self, reached: Sequence[tuple[str, Repository]], manifest: Manifest) -> None:
        written = digest((self._staging / MANIFEST).read_bytes())
        for name, repository in reached:
            try:
                self._keep(name, repository, manifest, written)
            except _EXPECTED as error:
                self._lost(name, error)
                continue
            if self._order.retention is None:
                continue
            self._at(f"retain {name}")
            try:
                prune(repository, self._order.system, self._order.retention, self._say)
            except _EXPECTED as error:
                # The backup is good; the older ones that are still there are tried again after the next one.
                self._say(f"not pruned: {_words(error)}")

    def _keep(self, name: str, repository: Repository, manifest: Manifest, written: str) -> None:
        full = self._order.kind == "full"
        self._at(f"store {name}")
        session = [] if manifest.session is None else [f"session={manifest.session}"]
        before = [] if self._order.before is None else [f"{BEFORE}={self._order.before}"]
        ordered = [] if self._order.ordered_by is None else [f"{FOR}={self._order.ordered_by}"]
        tags = [OURS, f"id={manifest.id}", f"kind={manifest.kind}", f"manifest={written}", f"size={manifest.size}"]
        tags += [*session, *before, *ordered]
        summary = repository.save(
            self._staging, host=manifest.system, tags=tags, everything=full, report=_progress(self._say, name)
        )
        added = int(summary.get("data_added", 0))
        self._note(added={**self._record.added, name: added})
        self._say(f"stored in {name}: {added / 1e6:.1f} MB added")
        self._at(f"check {name}")
        snapshot = snapshot_of(repository, manifest.system, manifest.id)
        decode(repository.read(snapshot.id, MANIFEST), written)
        repository.check(read_data=full)
        repository.add_tag(snapshot.id, VERIFIED)
        self._say(f"checked {name}: {'every byte' if full else 'index and structure'}")

    def _at(self, step: str) -> None:
        self._note(step=step)
        self._say(f"step {step}")

    def _lost(self, name: str, error: BaseException) -> None:
        self._note(failed={**self._record.failed, name: _words(error)})
        self._passing += [] if _is_final(error) else [name]
        self._say(f"not in {name}: {_words(error)}")

    def _failed(self, reason: str, *, final: bool) -> BackupFailed:
        self._note(state="failed", reason=reason, ended=datetime.now(UTC))
        return BackupFailed(self._record, final=final)

    def _note(self, **changes: object) -> None:
        self._record = self._records.change(self._record, **changes)


def prune(repository: Repository, system: str, retention: BackupRetention, say: Say) -> list[str]:
    """Remove the backups of a system that have outlived their use; return their ids, oldest first."""
    snapshots = ours(repository, system)
    gone = outlived(
        [Kept(key, one.time, VERIFIED in one.tags) for key, one in snapshots.items()],
        datetime.now(UTC),
        count=retention.count,
        age=parse_days(retention.age),
    )
    if gone:
        repository.forget([snapshots[key].id for key in gone])
        say(f"pruned {repository.where}: {', '.join(gone)}")
    return gone


def ours(repository: Repository, system: str) -> Mapping[str, Snapshot]:
    """Return a system's snapshots by the id of the backup, oldest first."""
    found = {one.tag("id"): one for one in repository.snapshots(OURS) if one.host == system}
    return {key: one for key, one in found.items() if key is not None}


def snapshot_of(repository: Repository, system: str, backup_id: str) -> Snapshot:
    """Return the snapshot of a backup.

    Raises:
        CopyError: if it is not in the repository.
    """
    found = ours(repository, system).get(backup_id)
    if found is None:
        raise CopyError(f"{repository.where} has no backup {backup_id} of {system}")
    return found


def _progress(say: Say, name: str) -> Callable[[dict[str, object]], None]:
    shown = -1

    def report(message: dict[str, object]) -> None:
        nonlocal shown
        done = message.get("percent_done")
        tenth = int(done * 10) if isinstance(done, int | float) else 0
        if tenth > shown and tenth:
            shown = tenth
            say(f"storing in {name}: {tenth * 10} %")

    return report


def verified(repository: Repository, system: str) -> list[str]:
    """Return the ids of a system's backups that count, oldest first."""
    return [key for key, one in ours(repository, system).items() if VERIFIED in one.tags]


def chosen(repository: Repository, system: str, backup_id: str | None, session: str | None) -> str | None:
    """Return the id of the backup that is meant: that one, or the newest verified one (of a session); None: none is.

    What was kept before a restore is meant by its id only.
    """
    known = ours(repository, system)
    if backup_id is not None:
        return backup_id if backup_id in known else None
    fitting = [
        key
        for key, one in known.items()
        if VERIFIED in one.tags and one.tag(BEFORE) is None and session in (None, one.tag("session"))
    ]
    return fitting[-1] if fitting else None


def made_for(repository: Repository, system: str, ordered_by: str) -> Record | None:
    """Return the backup that a repository holds, verified, for whoever ordered one; None where there is none."""
    for key, snapshot in ours(repository, system).items():
        if VERIFIED in snapshot.tags and snapshot.tag(FOR) == ordered_by:
            found = decode(repository.read(snapshot.id, MANIFEST), snapshot.tag("manifest"))
            session = "" if found.session is None else found.session.isoformat()
            kind, size, cut = found.kind, found.size, found.cut
            return Record(key, "backup", "complete", cut, kind=kind, size=size, session=session, cut=cut)
    return None


def _is_final(error: BaseException) -> bool:
    return isinstance(error, BackupError) and error.final


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    return str(error)
