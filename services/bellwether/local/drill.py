"""A restore drill: the backup is restored into a scratch folder, and what is in it is proven to be right."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime

import msgspec

from bellwether.backups.records import Record
from bellwether.backups.restic import Repository
from bellwether.backups.source import Say
from bellwether.local.backup_places import Place
from bellwether.local.deciding import decided_again, told
from bellwether.local.state import RunDirectory
from bellwether.local.unpacking import fetched, rebuilt, scratch
from bellwether.spec.models import TradingSystem


async def drill(place: Place, repository: Repository, backup_id: str, say: Say, *, system: str, release: str) -> Record:
    """Restore a backup for a test and take the scratch away, whatever comes; return the record with its figures.

    The lock of the records is held by the caller.

    Raises:
        BackupError, OSError: why the backup does not restore; the record says it too.
    """
    records, machine = place.records, place.machine()
    record = Record(backup_id, "drill", "running", datetime.now(UTC), step="fetch")
    records.write(record)
    folder = scratch(machine, "drill")
    began = time.monotonic()
    try:
        manifest = fetched(repository, system, backup_id, folder / "pieces", say)
        records.write(record := msgspec.structs.replace(record, step="restore"))
        directory = RunDirectory(folder / "run")
        ledger = await rebuilt(manifest, folder / "pieces", directory, say)
        records.write(record := msgspec.structs.replace(record, step="decide"))
        declaration = TradingSystem.model_validate(manifest.declaration)
        outcomes = await decided_again(declaration, directory.data, was=manifest.release, release=release)
        say(f"decisions of the last session computed again: {told(outcomes)}")
        figures: dict[str, int | float | str] = {
            "pieces": len(manifest.pieces),
            "rows": sum(sum(piece.rows.values()) for piece in manifest.pieces),
            "messages": sum(piece.messages for piece in manifest.pieces),
            "orders": ledger.orders,
            "fills": ledger.fills,
            "seconds": round(time.monotonic() - began, 1),
            **{f"decisions {outcome}": count for outcome, count in sorted(outcomes.items())},
        }
        record = msgspec.structs.replace(
            record, state="complete", step="", ended=datetime.now(UTC), figures=figures, size=manifest.size
        )
        records.write(record)
        return record
    except BaseException as error:
        reason = str(error) or type(error).__name__
        records.write(msgspec.structs.replace(record, state="failed", reason=reason, ended=datetime.now(UTC)))
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
