"""A system of a cluster that is restored in place: what the service is asked for is checked, and what the Job does.

    fetch     the backup, each piece compared with the manifest
    restore   it in a scratch folder: databases, streams; the ledger's invariants are computed again
    lay       each component's part ready beside what is on its volume
    decide    that it takes the place: until here what is there is untouched, whatever fails
    exchange  by renaming; what was there is kept aside on each volume

Nobody has the volumes meanwhile. Killed at any time, the next try begins again, or brings what was decided to its end.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from bellwether.backups.errors import BackupError
from bellwether.backups.locations import LocationError, Machine, opened, repositories
from bellwether.backups.making import VERIFIED, ours
from bellwether.backups.manifest import MANIFEST, decode
from bellwether.backups.restic import Repository
from bellwether.backups.secrets import SecretError
from bellwether.backups.source import Say
from bellwether.local import exchange
from bellwether.local.exchange import Exchanged
from bellwether.local.filling import Unfit, copy_parts, fits, parts_of
from bellwether.local.state import RunDirectory
from bellwether.local.unpacking import fetched, rebuilt, scratch
from bellwether.local.volumes import Adoption, make_own
from bellwether.render.kubernetes.filling import RestoreOrder
from bellwether.spec.fields import parse_instant
from bellwether.spec.models import TradingSystem

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_MEBIBYTE = 2**20


def restorable(found: Iterable[tuple[Repository, str]], system: TradingSystem, backup: str) -> str:
    """Return in which of some locations a backup is that can take the place of a system's state.

    Raises:
        BackupError: if it is in none, is not complete, or does not fit what the system declares.
    """
    lacking = []
    for repository, location in found:
        try:
            _check(repository, system, backup)
        except BackupError as error:
            lacking.append(str(error))
        else:
            return location
    raise Unfit("; ".join(lacking) or f"there is no location with backup {backup}")


def _check(repository: Repository, system: TradingSystem, backup: str) -> None:
    snapshot = ours(repository, system.metadata.name).get(backup)
    if snapshot is None:
        raise Unfit(f"{repository.where} has no backup {backup} of {system.metadata.name}")
    if VERIFIED not in snapshot.tags:
        raise Unfit(f"backup {backup} is not complete: it was never found whole in {repository.where}")
    fits(decode(repository.read(snapshot.id, MANIFEST), snapshot.tag("manifest")), system)


def restore_in_place(
    system: TradingSystem, root: Path, machine: Machine, order: RestoreOrder, say: Say, *, now: Callable[[], datetime]
) -> None:
    """Put a backup in the place of what is on the volumes mounted in a folder, each in the folder of its component.

    Raises:
        BackupError: why not; what is there is as it was. It is final where trying again cannot help, or where what may
            pass has not passed in time.
        OSError, RunError, NatsMissing: if something fails that may pass, and is tried again.
    """
    volumes = sorted(path for path in root.iterdir() if path.is_dir())
    ended = exchange.finish(volumes) or exchange.done(volumes)
    if ended is not None and ended.request == order.request:
        say(f"restored before, from {ended.backup}")
        return
    exchange.clear(volumes)
    try:
        _lay_ready(system, volumes, machine, order, say)
    except Exception as error:
        exchange.clear(volumes)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise Unfit(f"there is no room for backup {order.backup}: {error}") from error
        final = isinstance(error, BackupError) and error.final
        if not final and now() >= parse_instant(order.until):
            raise Unfit(f"{error} (tried until {order.until})") from error
        raise
    exchange.decide(volumes, Exchanged(order.request, order.backup))
    exchange.finish(volumes)
    say(f"restored {order.backup}: it starts halted")


def _lay_ready(system: TradingSystem, volumes: list[Path], machine: Machine, order: RestoreOrder, say: Say) -> None:
    try:
        (location,) = repositories(system.spec.backup, order.location)
        repository = opened(location, machine, make=False)
    except (LocationError, SecretError) as error:
        raise Unfit(str(error)) from error
    _check(repository, system, order.backup)
    pieces, ready = scratch(machine, "incoming"), scratch(machine, "restored")
    try:
        manifest = fetched(repository, system.metadata.name, order.backup, pieces, say)
        state = RunDirectory(ready)
        asyncio.run(rebuilt(manifest, pieces, state, say))
        metadata = system.metadata
        make_own(state.data, Adoption(metadata.uid, metadata.name, f"backup {order.backup}"))
        for volume in volumes:
            parts = parts_of(state, volume.name)
            needed, free = sum(map(_size, parts.values())), shutil.disk_usage(volume).free
            if needed > free:
                raise Unfit(
                    f"there is no room on the volume of {volume.name}: it needs {needed // _MEBIBYTE + 1} MiB beside "
                    f"what is there and has {free // _MEBIBYTE}; declare a larger storage.size"
                )
            (volume / exchange.READY).mkdir(mode=0o700)
            copy_parts(parts, volume / exchange.READY)
            say(f"laid ready on the volume of {volume.name}")
    finally:
        for each in (pieces, ready):
            shutil.rmtree(each, ignore_errors=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.rglob("*"))
