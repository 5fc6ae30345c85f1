"""A restore drill: the backup is restored into a scratch folder, and what is in it is proven to be right.

The last session's decisions are computed again by the restored bars and models, asking nobody.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bellwether.backups.errors import BackupError
from bellwether.backups.locations import opened
from bellwether.backups.records import Record
from bellwether.backups.restic import Repository
from bellwether.backups.source import Say
from bellwether.local.backup_places import Place, of_run
from bellwether.local.registry import registry
from bellwether.local.state import RunDirectory
from bellwether.local.unpacking import fetched, rebuilt, scratch
from bellwether.messages.prediction import ReplayDecision, ReplayedDecision
from bellwether.render.kubernetes.containers import DECIDING
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.declaration import parse_declaration
from bellwether.runtime.errors import RpcError
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.runtime.process import Process
from bellwether.spec.backup import RestoreFrom
from bellwether.spec.models import TradingSystem
from bellwether.spec.sentiment import Sentiment

DATABASE = "decisions.db"
NOWHERE = "http://127.0.0.1:9"
"""The proxy of a drill, on which nothing listens: it asks nobody outside for anything."""
BUDGET = 60.0
OTHER_RELEASE = "of another release"
_SHOWN = 5


class DecidedOtherwise(BackupError):
    """Decisions that do not come out as they were stored; the message names the first ones."""

    final = True

    def __init__(self, problems: list[str]) -> None:
        more = " …" if len(problems) > _SHOWN else ""
        super().__init__(f"the decisions cannot be trusted: {'; '.join(problems[:_SHOWN])}{more}")
        self.problems = problems


class Decided(NamedTuple):
    """A stored decision."""

    id: str
    run: str
    as_of: datetime


async def decided_again(declaration: TradingSystem, data: Path, *, was: str, release: str) -> Counter[str]:
    """Compute the decisions of the newest session again, by the restored bars and models; return the outcomes.

    A decision of another release is counted as that; it need not come out with the same bytes.

    Args:
        declaration: the system of then.
        data: its databases and models, which may be written.
        was: the release that decided.
        release: the present one.

    Raises:
        DecidedOtherwise: if one of this release comes out otherwise, or one cannot be computed.
    """
    decisions = newest_decisions(data / DATABASE)
    if not decisions:
        return Counter()
    broker = MemoryBroker()
    await ensure(broker.connect("bootstrap"), bus_plan())
    system = silent(declaration)
    config = replace(
        ProcessConfig(), system=system.metadata.name, data_dir=data, version=release, proxy=NOWHERE, sampling=0.0
    )
    process = Process(config, registry(DECIDING), connect=broker.connect, declaration=system, health=False)
    outcomes: Counter[str] = Counter()
    problems: list[str] = []
    other = was != release
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.CRITICAL)
    try:
        await process.start()
        for one in decisions:
            call = process.services["prediction"].call(budget=BUDGET).at(one.as_of, run=one.run)
            try:
                found = await call.request("prediction", "replay_decision", ReplayDecision(one.id), ReplayedDecision)
            except RpcError as error:
                problems.append(f"decision {one.id} cannot be computed: {error.message}")
                continue
            outcomes[OTHER_RELEASE if other and found.outcome != "equal" else found.outcome] += 1
            if found.outcome == "different" and not other:
                problems.append(f"decision {one.id} comes out otherwise: {', '.join(found.differences)}")
    finally:
        await process.stop()
        root.setLevel(level)
    if problems:
        raise DecidedOtherwise(problems)
    return outcomes


def counted(outcomes: Counter[str]) -> str:
    """Return the outcomes in words."""
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "there are none"


def silent(system: TradingSystem) -> TradingSystem:
    """Return the declaration of a drill: it reads no news and sends no order."""
    spec = system.spec
    trading = spec.trading.model_copy(update={"halted": True})
    return system.model_copy(update={"spec": spec.model_copy(update={"sentiment": Sentiment(), "trading": trading})})


def newest_decisions(path: Path) -> list[Decided]:
    """Return the stored decisions for the newest session that there are any for."""
    query = (
        "SELECT id, run, as_of FROM decisions WHERE (run, target_session) = "
        "(SELECT run, target_session FROM decisions ORDER BY sequence DESC LIMIT 1) ORDER BY sequence"
    )
    with closing(sqlite3.connect(path)) as connection:
        return [Decided(row[0], row[1], datetime.fromisoformat(row[2])) for row in connection.execute(query)]


def drill_on(volumes: Path, source: str) -> dict[str, Any]:
    """Restore a backup for a test on the only volume that is mounted in a folder; return the figures.

    `source` is a spec.restoreFrom as JSON, with a repository and an id.

    Raises:
        BackupError, OSError, ValueError: why the backup does not restore.
    """
    wanted, (volume,) = RestoreFrom.model_validate_json(source), volumes.iterdir()
    if wanted.repository is None or wanted.system is None or wanted.id is None:
        raise ValueError("name repository, system and id")
    place, release = of_run(volume), ProcessConfig.from_environment().version
    repository = opened(wanted.repository, place.machine(), make=False)
    proving = drill(place, repository, wanted.id, lambda _: None, system=wanted.system, release=release)
    return dict(asyncio.run(proving).figures)


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
        record = records.change(record, step="restore")
        directory = RunDirectory(folder / "run")
        ledger = await rebuilt(manifest, folder / "pieces", directory, say)
        record = records.change(record, step="decide")
        declaration = parse_declaration(msgspec.json.encode(manifest.declaration))
        outcomes = await decided_again(declaration, directory.data, was=manifest.release, release=release)
        say(f"decisions of the last session computed again: {counted(outcomes)}")
        figures: dict[str, int | float | str] = {
            "pieces": len(manifest.pieces),
            "rows": sum(sum(piece.rows.values()) for piece in manifest.pieces),
            "messages": sum(piece.messages for piece in manifest.pieces),
            "orders": ledger.orders,
            "fills": ledger.fills,
            "seconds": round(time.monotonic() - began, 1),
            **{f"decisions {outcome}": count for outcome, count in sorted(outcomes.items())},
        }
        ended = datetime.now(UTC)
        return records.change(record, state="complete", step="", ended=ended, figures=figures, size=manifest.size)
    except BaseException as error:
        reason = str(error) or type(error).__name__
        records.change(record, state="failed", reason=reason, ended=datetime.now(UTC))
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
