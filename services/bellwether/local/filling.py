"""What a pod does to fill the empty volumes of a new system from a repository, before anything else opens them.

Everything is fetched, compared and restored beside them first; what is on them when it is killed is removed by the next
try. A mark on each says that it is done, so doing it again changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bellwether.backups.errors import BackupError
from bellwether.backups.locations import Machine, opened
from bellwether.backups.making import chosen
from bellwether.backups.manifest import Manifest
from bellwether.backups.source import Say
from bellwether.local.state import RunDirectory
from bellwether.local.unpacking import fetched, rebuilt, scratch
from bellwether.render.kubernetes.configmaps import NATS_DIRECTORY
from bellwether.render.kubernetes.volumes import kept_on
from bellwether.spec.created_with import created_with, differences
from bellwether.spec.models import TradingSystem
from bellwether.storage.folders import locked, remove, write_durably

MARK = ".filled"
"""The file that says for which system a volume was filled, and from what."""
LOCK = ".restore-lock"
"""Held on the first volume: a pod whose Job was deleted goes on beside that of the next one until it is killed."""
_NOT_OURS = ("lost+found", LOCK)
_NATS = Path(NATS_DIRECTORY).name


def volumes_locked(volumes: Path) -> contextlib.AbstractContextManager[None]:
    """Wait for the lock on the volumes that are mounted in a folder, and hold it: one process changes them."""
    return locked(min(path for path in volumes.iterdir() if path.is_dir()) / LOCK)


class Unfit(BackupError):
    """The backup cannot become this system; the message says what would be right."""

    final = True


def fill(system: TradingSystem, volumes: Path, machine: Machine, say: Say) -> str:
    """Fill the volumes that are mounted in a folder, each in the folder of its component; return the backup's id.

    Raises:
        BackupError: naming what is wrong with the repository, the backup, or what is declared.
        OSError: if a volume cannot be written.
    """
    wanted = system.spec.restore_from
    if wanted is None or wanted.repository is None or wanted.system is None:
        raise Unfit("spec.restoreFrom.repository is not declared")
    folders = {path.name: path for path in sorted(volumes.iterdir()) if path.is_dir()}
    done = {_filled(path, system.metadata.uid) for path in folders.values()}
    if len(done) == 1 and (known := next(iter(done))) is not None:
        say(f"filled before, from {known}")
        return known
    repository = opened(wanted.repository, machine, make=False)
    key = chosen(repository, wanted.system, wanted.id, wanted.session)
    if key is None:
        raise Unfit(f"{repository.where} has not {wanted}: `bellwether backup list` says what there is")
    pieces, ready = scratch(machine, "incoming"), scratch(machine, "restored")
    try:
        manifest = fetched(repository, wanted.system, key, pieces, say)
        fits(manifest, system)
        state = RunDirectory(ready)
        asyncio.run(rebuilt(manifest, pieces, state, say))
        for component, folder in folders.items():
            _put(state, component, folder)
            write_durably(folder / MARK, json.dumps({"uid": system.metadata.uid, "id": key}).encode())
            say(f"filled the volume of {component}")
    finally:
        for each in (pieces, ready):
            shutil.rmtree(each, ignore_errors=True)
    return key


def _put(state: RunDirectory, component: str, target: Path) -> None:
    """Copy what is a component's own to its volume, which is emptied before."""
    for path in target.iterdir():
        if path.name not in _NOT_OURS:
            remove(path)
    copy_parts(parts_of(state, component), target)


def parts_of(state: RunDirectory, component: str) -> dict[str, Path]:
    """Return what of a restored state is a component's own, by its name in the top folder of the volume."""
    own = kept_on(component)
    sources = {path.name: path for path in state.data.iterdir()} | {_NATS: state.nats}
    return {name: source for name, source in sources.items() if not own or name in own}


def copy_parts(parts: Mapping[str, Path], target: Path) -> None:
    """Copy files and folders into a folder that has nothing by their names."""
    for name, source in parts.items():
        if source.is_dir():
            shutil.copytree(source, target / name)
        else:
            shutil.copy2(source, target / name)


def _filled(volume: Path, uid: str) -> str | None:
    """Return the backup that a volume was filled from for this very system; None where it was not, or not wholly."""
    try:
        found = json.loads((volume / MARK).read_text())
        return str(found["id"]) if found["uid"] == uid else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fits(manifest: Manifest, system: TradingSystem) -> None:
    """Return only where a system can go on with the stores of a backup.

    Raises:
        Unfit: if it declares another calendar, currency or initial cash than they were created with.
    """
    former: Mapping[str, Any] = manifest.declaration
    try:
        was = TradingSystem.model_validate({**former, "metadata": {**former["metadata"], "uid": "former"}})
    except ValidationError:
        return  # the stores themselves say so
    differ = differences(created_with(was), created_with(system))
    if differ is not None:
        raise Unfit(f"backup {manifest.id}: {differ}")
