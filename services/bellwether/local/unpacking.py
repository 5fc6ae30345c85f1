"""From the pieces of a backup to the state of a system that can be started, halted, and to whether it is right."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bellwether.backups.errors import BackupError
from bellwether.backups.inspecting import compare
from bellwether.backups.locations import Machine
from bellwether.backups.making import LEDGER, snapshot_of
from bellwether.backups.manifest import MANIFEST, Manifest, ManifestError, decode
from bellwether.backups.restic import Repository
from bellwether.backups.source import DATABASES, DECLARATION, FOLDERS, STREAMS, Say, empty
from bellwether.backups.streams import StreamError, restore_stream
from bellwether.local.backup_places import nats_over
from bellwether.local.state import RunDirectory
from bellwether.render.nats import BOOTSTRAP
from bellwether.runtime.nats_bus import NatsBus
from bellwether.storage.store import Store, StoreError, Transaction
from bellwether.trading import tables
from bellwether.trading.check import check_ledger
from bellwether.trading.ledger import Latch, Ledger
from bellwether.trading.queries import find_orders

SOURCE_OF_HALT = "restore"
_ALL = 10_000_000


class NotRight(BackupError):
    """A backup is not what was written, or its contents contradict each other; the message names each difference."""

    final = True

    def __init__(self, what: str, problems: list[str]) -> None:
        super().__init__(f"{what} cannot be trusted: {'; '.join(problems[:5])}" + (" …" if len(problems) > 5 else ""))
        self.problems = problems


class LedgerFigures(NamedTuple):
    """What the ledger of a backup says of itself."""

    runs: int
    orders: int
    fills: int


def fetched(repository: Repository, system: str, backup_id: str, target: Path, say: Say) -> Manifest:
    """Fetch a backup into an empty folder and compare every piece with its manifest; return that.

    Raises:
        CopyError, RepositoryError, OSError: if it cannot be fetched.
        NotRight: if a piece is missing, damaged or another one.
    """
    snapshot = snapshot_of(repository, system, backup_id)
    empty(target)
    say(f"fetching {backup_id} from {repository.where}")
    repository.fetch(snapshot.id, target)
    try:
        manifest = decode((target / MANIFEST).read_bytes(), snapshot.tag("manifest"))
    except (ManifestError, FileNotFoundError) as error:
        raise NotRight(f"backup {backup_id}", [str(error)]) from error
    problems = compare(manifest, target)
    if problems:
        raise NotRight(f"backup {backup_id}", problems)
    say(f"compared {len(manifest.pieces)} pieces with the manifest: equal")
    return manifest


async def unpacked(manifest: Manifest, pieces: Path, directory: RunDirectory, say: Say) -> None:
    """Make a run's state of a backup's pieces, which are used up; every stream holds what the manifest says.

    Raises:
        NotRight: if the server gives back another stream than was kept, or refuses it.
    """
    directory.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.data.mkdir(mode=0o700)
    for database in (pieces / DATABASES).iterdir():
        shutil.move(database, directory.data / database.name)
    for folder in (pieces / FOLDERS).iterdir():
        shutil.move(folder, directory.data / folder.name)
    shutil.move(pieces / DECLARATION, directory.declaration)
    async with nats_over(directory) as url:
        bus = NatsBus(url, BOOTSTRAP, directory.keys / f"{BOOTSTRAP}.nk")
        await bus.start()
        try:
            await bus.wait_connected(10.0)
            for piece in manifest.of_kind("stream"):
                held = await restore_stream(bus, piece.name, pieces / STREAMS / f"{piece.name}.snapshot")
                if (held.messages, held.last) != (piece.messages, piece.last.get(piece.name)):
                    words = f"{held.messages} messages, last {held.last}; kept were {piece.messages}, last {piece.last}"
                    raise NotRight(f"stream {piece.name}", [words])
                say(f"restored stream {piece.name}: {held.messages} messages, last {held.last}")
        except StreamError as error:
            raise NotRight("a stream", [str(error)]) from error
        finally:
            await bus.close()


async def rebuilt(manifest: Manifest, pieces: Path, directory: RunDirectory, say: Say) -> LedgerFigures:
    """Make a state that can be started, halted, of a backup's pieces, which are used up; return its ledger's figures.

    Raises:
        NotRight: if a stream comes back otherwise, or an invariant of the ledger does not hold.
    """
    await unpacked(manifest, pieces, directory, say)
    made_ready(manifest, directory.data)
    ledger = await ledger_holds(directory.data)
    say(f"the ledger's invariants hold: {ledger.orders} orders, {ledger.fills} fills")
    return ledger


def made_ready(manifest: Manifest, data: Path) -> None:
    """Let restored databases go on: orders are halted, and events that the streams may not hold are published again.

    Whoever had an event already knows its id and skips it.
    """
    since = manifest.cut.timestamp()
    for path in sorted(data.glob("*.db")):
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE outbox SET published_at = NULL WHERE published_at >= ?", (since,))
            if path.name == LEDGER:
                reason = (
                    f"restored from backup {manifest.id} of {manifest.cut:%Y-%m-%d %H:%M} UTC: compare, then resume"
                )
                latch = Latch(SOURCE_OF_HALT, reason, datetime.now(UTC))
                connection.execute(
                    "INSERT INTO halts (kind, source, reason, at) VALUES ('halt', ?, ?, ?)",
                    (latch.source, latch.reason, latch.at.isoformat()),
                )


async def ledger_holds(data: Path) -> LedgerFigures:
    """Compute the ledger's invariants again, for every run in it.

    Raises:
        NotRight: naming each that does not hold.
    """
    problems: list[str] = []
    try:
        store = Store.open(data / LEDGER, tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES)
    except StoreError as error:
        raise NotRight(LEDGER, [str(error)]) from error
    ledger = Ledger()

    def look(tx: Transaction) -> LedgerFigures:
        # Of a run whose events are lost there may be orders.
        every = "SELECT run FROM ledger_events UNION SELECT run FROM orders ORDER BY run"
        runs = [str(row[0]) for row in tx.driver.execute(every)]
        orders = fills = 0
        for run in runs:
            rows, _ = find_orders(tx, run, limit=_ALL)
            found = check_ledger(ledger.events(tx, run), ledger.book(tx, run), rows)
            problems.extend(f"{run}: {one}" for one in found.violations)
            orders += found.orders
            fills += found.fills
        return LedgerFigures(len(runs), orders, fills)

    try:
        figures = await store.transact(look)
    finally:
        await store.close()
    if problems:
        raise NotRight(LEDGER, problems)
    return figures


def scratch(machine: Machine, name: str) -> Path:
    """Return a folder for pieces on their way; what an earlier, killed work left there is removed."""
    folder = machine.work / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder
