"""Restoring a backup: checked first, beside the running system; then trading stops, and the state takes its place.

    fetch     the pieces, compared with the manifest
    restore   them to a state of their own: databases, streams; the ledger's invariants are computed again
    keep      a backup of what is there, in the declared locations; where that fails it is only kept aside
    stop      the running system: orders are halted, then its process ends
    swap      the restored state takes the place of the former one, which is kept aside

Up to `stop` the running system is not touched, whatever fails. What is restored starts halted.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx

from bellwether.backups.errors import BackupError
from bellwether.backups.locations import repositories
from bellwether.backups.making import BackupRequest, Making
from bellwether.backups.manifest import Manifest
from bellwether.backups.records import Record
from bellwether.backups.restic import Repository
from bellwether.backups.source import Say
from bellwether.local.backup_places import Place, source_of
from bellwether.local.detached import Running, running, stop_detached
from bellwether.local.files import RunError
from bellwether.local.nats import NatsMissing
from bellwether.local.state import ASIDE, NEXT, SWAPPED, RunDirectory, begin_swap, finish_swap, opened
from bellwether.local.unpacking import fetched, rebuilt, scratch
from bellwether.runtime.config import ProcessConfig

HALT_SECONDS = 10.0
DECLARATION_FILE = "restored-system.json"


class Restored(NamedTuple):
    """What a restore has brought."""

    manifest: Manifest
    root: Path
    aside: Path | None
    """Where the former state is; None where there was none."""
    file: Path
    """The declaration of then, to start with."""


async def restore(
    place: Place,
    repository: Repository,
    system: str,
    backup_id: str,
    say: Say,
    *,
    stop_units: Callable[[], object] | None = None,
) -> Restored:
    """Restore a backup in place of a system's state; the lock of the records is held by the caller.

    `stop_units` ends the system's units and waits for their end; None: it is a local run's.

    Raises:
        NotRight, CopyError, RepositoryError, RunError, OSError: why not; before the swap nothing has been touched.
    """
    records, machine, root = place.records, place.machine(), place.root
    record = Record(backup_id, "restore", "running", datetime.now(UTC), step="fetch")
    records.write(record)
    began = time.monotonic()
    pieces, ready = scratch(machine, "incoming"), scratch(machine, NEXT)
    try:
        manifest = fetched(repository, system, backup_id, pieces, say)
        record = records.change(record, step="restore")
        state = RunDirectory(ready)
        if (root / "identity.json").exists():
            ready.mkdir(mode=0o700)
            # The same system goes on: its keys stay, and the ids of its messages.
            shutil.copy2(root / "identity.json", ready / "identity.json")
        ledger = await rebuilt(manifest, pieces, state, say)
        new = not place.declaration.exists()
        if new:
            shutil.copy2(ready / "identity.json", root / "identity.json")
        else:
            record = records.change(record, step="keep")
            await _kept(place, manifest, say)
        record = records.change(record, step="stop")
        await (stopped(root, backup_id, say) if stop_units is None else asyncio.to_thread(stop_units))
        record = records.change(record, step="swap")
        with opened(root, fresh=False):
            names = SWAPPED if stop_units is None else _by_unit(place, state)
            begin_swap(root, f"{ASIDE}{backup_id}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}", names)
            aside = finish_swap(root)
        file = root / DECLARATION_FILE
        file.write_text(json.dumps(declared(manifest), indent=1) + "\n")
        figures = {"seconds": round(time.monotonic() - began, 1), "orders": ledger.orders}
        records.change(record, state="complete", step="", ended=datetime.now(UTC), figures=figures)
        if new and aside is not None:
            aside.rmdir()
        return Restored(manifest, root, None if new else aside, file)
    except BaseException as error:
        reason = str(error) or type(error).__name__
        records.change(record, state="failed", reason=reason, ended=datetime.now(UTC))
        raise
    finally:
        for folder in (pieces, ready):
            shutil.rmtree(folder, ignore_errors=True)


def _by_unit(place: Place, state: RunDirectory) -> list[str]:
    """Lay a restored state out as units have it, a folder for each; return the folders' names."""
    names = {state.nats.name}
    for name, path in {**place.databases, **place.folders}.items():
        goal = state.root / path.relative_to(place.root)
        goal.parent.mkdir(mode=0o700, exist_ok=True)
        (state.data / name).rename(goal)
        names.add(goal.parent.name)
    return sorted(names)


async def _kept(place: Place, manifest: Manifest, say: Say) -> None:
    """Make a backup of the state that is to be replaced. It may be the broken one, so its failure stops nothing."""
    try:
        system = place.system()
        locations = repositories(system.spec.backup, None)
        release = ProcessConfig.from_environment().version
        order = BackupRequest(system.metadata.name, release, "incremental", locations, None, before=manifest.id)
        async with source_of(place) as source:
            made = await Making(order, source, place.machine(), place.records, say).make()
        say(f"what is there is kept as backup {made.id}")
    except (BackupError, NatsMissing, RunError, OSError) as error:
        say(f"no backup of what is there was made, it is kept aside only: {error}")


async def stopped(root: Path, backup_id: str, say: Say) -> None:
    """Halt the run of a folder and end it, its supervisor first; nothing where none goes on.

    Raises:
        RunError: if it does not end.
    """
    run = running(root)
    if run is not None:
        await _halted(root, run, backup_id, say)
    if await asyncio.to_thread(stop_detached, root):
        say("the run has ended")


async def _halted(root: Path, run: Running, backup_id: str, say: Say) -> None:
    """Have orders refused until the process has ended; that is done whether the run acknowledges it or not."""
    body = {"reason": f"restore of backup {backup_id}", "source": "restore"}
    try:
        token = str(json.loads(RunDirectory(root).run_file.read_text())["token"])
        async with httpx.AsyncClient(trust_env=False, timeout=HALT_SECONDS) as client:
            authorized = {"Authorization": f"Bearer {token}"}
            reply = await client.post(f"{run.url}/v1/halt", json=body, headers=authorized)
            reply.raise_for_status()
        say("orders are halted")
    except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
        say(f"the halt was not acknowledged ({type(error).__name__}); the process is ended all the same")


def declared(manifest: Manifest) -> dict[str, object]:
    """Return the TradingSystem of a backup as a file for `bellwether run`."""
    found = manifest.declaration
    name = {"name": found["metadata"]["name"]}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": name, "spec": found["spec"]}
