"""Moving what a system keeps from the volumes of one profile to those of another.

The source is only read. Into each target volume the files are copied in a hidden folder first, each on the disk and
read back, then put in place by renaming, and a marker is written last that names each file and its checksum. Whatever
was there before is set aside. Nobody opens the target meanwhile: pods use it only after the operator has seen the
whole move come to its end. So a move that was killed, at any point, is run again from its beginning and comes to the
same end; one that has come to its end, and whose source is still the same, changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bellwether.render.kubernetes.moves import Holding, Profile, holdings
from bellwether.storage.folders import (
    Listing,
    Stamp,
    copy_file,
    digest_of,
    free_bytes,
    in_use,
    listing,
    remove,
    sync_folder,
    write_durably,
)

_log = logging.getLogger(__name__)

WORK = ".bellwether-move"
"""The hidden folder of a volume that only moves write to."""
RESERVE_BYTES = 4 * 1024 * 1024
"""So much stays free: the databases need room for their first writes."""
_BLOCK = 4096
_BESIDE_A_DATABASE = ("-wal", "-journal")
"""Together with these a database that was not closed is whole."""
_REBUILT = "-shm"
"""Beside a database, made anew by whoever opens it; beside another database than its own it would be wrong."""
_TOLD_PARTS = 10

Files = Mapping[str, tuple[int, str]]
"""Size and SHA-256 by path."""


class MoveError(Exception):
    """A move cannot be done now; the message says why, and what would help."""


class FutileMove(MoveError):
    """A move cannot be done, and trying again will not help by itself."""


@dataclass(frozen=True)
class Order:
    """Which move is to be done, and where the volumes are: each in the folder of its component's name."""

    number: int
    source_profile: Profile
    target_profile: Profile
    source: Path
    target: Path


@dataclass(frozen=True)
class Marker:
    """What a move noted in a volume when it had filled it."""

    number: int
    source: str
    target: str
    files: Files


@dataclass
class Part:
    """One target volume, and what goes into it from where."""

    component: str
    root: Path
    sources: Mapping[str, Path]
    """By name in the top folder, the source volume that holds it; its own folder's name is its component's."""
    databases: Sequence[str]
    own: Sequence[str]
    """All names that are the system's, also those that are never copied."""
    listed: Mapping[str, Listing] = field(default_factory=dict)
    """By name, what is there to be copied."""
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """The hidden folder."""
        return self.root / WORK

    @property
    def staged(self) -> Path:
        """Where copies are made."""
        return self.work / "new"

    def before(self, number: int) -> Path:
        """Where is set aside what was there before a move; that it exists says that all of it was."""
        return self.work / f"before-{number}"

    @property
    def stamps(self) -> dict[str, Stamp]:
        """The files to be copied."""
        return {path: stamp for found in self.listed.values() for path, stamp in found.files.items()}

    @property
    def folders(self) -> list[str]:
        """The folders to be made, outer before inner."""
        return [path for found in self.listed.values() for path in found.folders]

    @property
    def files(self) -> dict[str, tuple[int, str]]:
        """What the marker says of the copies."""
        return {path: (stamp.size, self.digests[path]) for path, stamp in self.stamps.items()}

    def source_of(self, path: str) -> Path:
        """Return the file that is copied to a path."""
        return self.sources[path.partition("/")[0]] / path


def move(order: Order, free: Callable[[Path], int] = free_bytes) -> None:
    """Do a move, or finish one that was interrupted; `free` tells how many bytes a volume still takes.

    Raises:
        FutileMove: if it can never be done as ordered.
        MoveError: if it cannot be done now: something is open, changes, does not fit, or cannot be read or written.

    """
    try:
        parts = _parts(order)
        with _locked(parts):
            _refuse_later(order, parts)
            _refuse_open(order, parts)
            _list(parts)
            left = [part for part in parts if not _is_in(order, part)]
            if left:
                _refuse_lost(order, left)
                _move(order, left, free)
            _tidy(order, parts)
    except OSError as error:
        raise MoveError(f"{error.filename or order.target}: {error.strerror or error}") from error
    _log.info("move %d from %s to %s is done", order.number, order.source_profile, order.target_profile)


def _move(order: Order, parts: Sequence[Part], free: Callable[[Path], int]) -> None:
    for part in parts:
        _clear(order, part)
    _make_room(order, parts, free)
    progress = _Progress(sum(stamp.size for part in parts for stamp in part.stamps.values()))
    for part in parts:
        _stage(part, progress)
    _refuse_changed(order, parts)
    for part in parts:
        _set_aside(order, part)
        _put_in_place(order, part)
        marker = Marker(order.number, order.source_profile, order.target_profile, part.files)
        write_durably(_marker(part.root), json.dumps(vars(marker), sort_keys=True).encode())
        _log.info("the volume of %s has its %d files", part.component, len(part.files))


# What goes where


def _parts(order: Order) -> list[Part]:
    """Return the target volumes and what goes into each.

    Raises:
        FutileMove: if a volume is not there.

    """
    sources = {
        name: _volume(order.source, component)
        for component, holding in holdings(order.source_profile).items()
        for name in _copied(holding)
    }
    return [
        Part(
            component=component,
            root=_volume(order.target, component),
            sources={name: sources[name] for name in _copied(holding)},
            databases=holding.databases,
            own=[*_copied(holding), *(name + _REBUILT for name in holding.databases)],
        )
        for component, holding in sorted(holdings(order.target_profile).items())
    ]


def _copied(holding: Holding) -> list[str]:
    beside = [name + suffix for name in holding.databases for suffix in _BESIDE_A_DATABASE]
    return [*holding.databases, *beside, *holding.folders]


def _volume(folder: Path, component: str) -> Path:
    found = folder / component
    if not found.is_dir():
        raise FutileMove(f"{found} is not a folder: the volume of {component} has to be mounted there")
    return found


def _list(parts: Sequence[Part]) -> None:
    for part in parts:
        part.listed = {name: listing(root, [name]) for name, root in part.sources.items()}


# What stands against it


@contextlib.contextmanager
def _locked(parts: Sequence[Part]) -> Iterator[None]:
    """Keep a second process out that does the same: an old pod may still be ending when a new one begins."""
    with contextlib.ExitStack() as stack:
        for part in parts:
            part.work.mkdir(exist_ok=True)
            lock = stack.enter_context((part.work / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.info("waiting for another move that has the volume of %s", part.component)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse_later(order: Order, parts: Sequence[Part]) -> None:
    """Refuse to copy over what came later than this move: then the annotations of the claims are wrong."""
    rule = f"this is move {order.number}: set the annotation bellwether.dev/moved-in of that claim to what it holds"
    for part in parts:
        marker = _read_marker(part.root)
        if marker is not None and marker.number > order.number:
            raise FutileMove(f"the volume of {part.component} ({part.root}) was filled by move {marker.number}, {rule}")
    for component in holdings(order.source_profile):
        marker = _read_marker(order.source / component)
        if marker is not None and marker.number >= order.number:
            root = order.source / component
            raise FutileMove(f"the volume of {component} ({root}) was filled by move {marker.number}, {rule}")


def _refuse_open(order: Order, parts: Sequence[Part]) -> None:
    databases = [part.root / name for part in parts for name in part.databases]
    for component, holding in holdings(order.source_profile).items():
        databases += [order.source / component / name for name in holding.databases]
    for path in databases:
        if in_use(path) or in_use(path.with_name(path.name + _REBUILT)):
            raise MoveError(f"{path} is open: its service has to end first")


def _refuse_changed(order: Order, parts: Sequence[Part]) -> None:
    _refuse_open(order, parts)
    for part in parts:
        for name, root in part.sources.items():
            if listing(root, [name]) != part.listed[name]:
                raise MoveError(f"{root / name} changed while it was copied: what writes it has to end first")


def _refuse_lost(order: Order, parts: Sequence[Part]) -> None:
    """Refuse to replace a database by nothing: its source was lost, and what the target has may be the only copy."""
    lost = []
    for part in parts:
        # An interrupted try of this move may have set it aside.
        kept = [part.root, _unfinished(part.before(order.number)), part.before(order.number)]
        for name in part.databases:
            source = part.sources[name]
            found = next((folder / name for folder in kept if (folder / name).exists()), None)
            if found is not None and not (source / name).exists():
                lost.append(
                    f"{name} is missing in the volume of {source.name} ({source}), "
                    f"and the volume of {part.component} has one ({found})"
                )
    if lost:
        help_ = "put each back where it is missing, or take it out of the other volume if nobody wants it any more"
        raise FutileMove(f"{'; '.join(lost)}: {help_}")


def _make_room(order: Order, parts: Sequence[Part], free: Callable[[Path], int]) -> None:
    """See that the copies fit; what the source holds a later state of makes room for it where it has to.

    Raises:
        MoveError: if they do not.

    """
    missing = _missing(parts, free)
    if missing:
        for part in parts:
            if any(_has_later_state(order, part, name) for name in part.own):
                _set_aside(order, part)
                _remove_older(order, part)
        missing = _missing(parts, free)
    if missing:
        raise MoveError(f"{'; '.join(missing)}: let spec.storage.size be larger")


def _missing(parts: Sequence[Part], free: Callable[[Path], int]) -> list[str]:
    # Volumes may be folders of one file system, whose room they share.
    by_device: dict[int, list[Part]] = {}
    for part in parts:
        by_device.setdefault(part.root.stat().st_dev, []).append(part)
    found = []
    for together in by_device.values():
        needed = RESERVE_BYTES + sum(_room_for(part) for part in together)
        there = free(together[0].root)
        if needed > there:
            names = ", ".join(part.component for part in together)
            found.append(f"the volume of {names} has {_mebibytes(there)} free and needs {_mebibytes(needed)}")
    return found


def _room_for(part: Part) -> int:
    blocks = sum(-(-stamp.size // _BLOCK) for stamp in part.stamps.values())
    return (blocks + len(part.stamps) + len(part.folders)) * _BLOCK


def _has_later_state(order: Order, part: Part, name: str) -> bool:
    """Whether the very volume that feeds a name was filled from the target's profile and has the name still.

    Then what the target has of it is an older state. Another volume says nothing: one claim can be lost and made anew
    while the others stay. What lies beside a database goes with it: a database that was closed has nothing there.
    """
    whole = next((database for database in part.databases if name.startswith(f"{database}-")), name)
    source = part.sources[whole]
    marker = _read_marker(source)
    return marker is not None and marker.source == order.target_profile and (source / whole).exists()


# Copying


class _Progress:
    """Says now and then how far the copying is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._told = 0

    def add(self, count: int) -> None:
        """Count bytes that were copied."""
        self._done += count
        if (self._done - self._told) * _TOLD_PARTS >= self._total:
            self._told = self._done
            _log.info("copied %s of %s", _mebibytes(self._done), _mebibytes(self._total))


def _clear(order: Order, part: Part) -> None:
    """Remove what an interrupted try left, and what an earlier move had set aside."""
    remove(part.staged)
    for old in part.work.glob("before-*"):
        if old != part.before(order.number) and old != _unfinished(part.before(order.number)):
            remove(old)


def _stage(part: Part, progress: _Progress) -> None:
    part.staged.mkdir()
    for path in part.folders:
        (part.staged / path).mkdir()
    for path in part.stamps:
        copy = part.staged / path
        part.digests[path] = copy_file(part.source_of(path), copy, progress.add)
        if digest_of(copy) != part.digests[path]:
            raise MoveError(f"{copy} does not read back as it was written: the volume of {part.component} is damaged")
    for path in [*reversed(part.folders), "."]:
        sync_folder(part.staged / path)


def _set_aside(order: Order, part: Part) -> None:
    """Take out what was there before; a second time nothing happens."""
    before = part.before(order.number)
    if before.exists():
        return
    unfinished = _unfinished(before)
    unfinished.mkdir(exist_ok=True)
    for name in part.own:
        if (part.root / name).exists():
            (part.root / name).rename(unfinished / name)
    sync_folder(unfinished)
    sync_folder(part.root)
    unfinished.rename(before)
    sync_folder(part.work)


def _unfinished(before: Path) -> Path:
    return before.with_name(f"{before.name}-unfinished")


def _put_in_place(order: Order, part: Part) -> None:
    for name in part.own:
        # What was there before is set aside: this is from a try that was interrupted, or that was never used.
        remove(part.root / name)
    for made in sorted(part.staged.iterdir()):
        made.rename(part.root / made.name)
    sync_folder(part.root)


# What is noted


def _marker(root: Path) -> Path:
    return root / WORK / "moved-in.json"


def _read_marker(root: Path) -> Marker | None:
    """Return what the last move into a volume noted; None where there was none.

    Raises:
        FutileMove: if it cannot be read.

    """
    path = _marker(root)
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in told["files"].items()}
        return Marker(int(told["number"]), str(told["source"]), str(told["target"]), files)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FutileMove(f"{path} is damaged ({error}): remove it if you know what the volume holds") from error


def _is_in(order: Order, part: Part) -> bool:
    """Whether this very move has filled a volume, from a source that has not changed since.

    After it was filled the old pods may have run again, and the same move begun anew.
    """
    marker = _read_marker(part.root)
    if marker is None or marker.number != order.number or marker.files.keys() != part.stamps.keys():
        return False
    part.digests = {path: digest_of(part.source_of(path)) for path in part.stamps}
    return marker.files == part.files


def _tidy(order: Order, parts: Sequence[Part]) -> None:
    """Remove what is not needed any more; what nobody has a later state of stays set aside until the next move."""
    for part in parts:
        remove(part.staged)
        _remove_older(order, part)
        before = part.before(order.number)
        if before.exists() and any(before.iterdir()):
            _log.info("what the volume of %s held before is kept in %s until the next move", part.component, before)


def _remove_older(order: Order, part: Part) -> None:
    """Remove from what was set aside what the source has a later state of."""
    for name in part.own:
        if _has_later_state(order, part, name):
            remove(part.before(order.number) / name)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
