"""Files and folders handled so that a kill or a loss of power at any time leaves nothing half done unnoticed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bellwether.messages.parts import PART, FilePart

_CHUNK = 1024 * 1024


class Stamp(NamedTuple):
    """By what a file is known to be unchanged, without reading it."""

    size: int
    modified_ns: int
    inode: int


class Listing(NamedTuple):
    """All that lies under some names of a folder, by path relative to it, sorted."""

    files: dict[str, Stamp]
    folders: list[str]


class NotAFile(OSError):
    """There is something else than files and folders; the message names it."""


def listing(root: Path, names: Iterable[str]) -> Listing:
    """Return what lies under these names; a name that is not there is left out.

    Raises:
        NotAFile: for a link, a socket or a device, which cannot be copied by content.
        OSError: if something cannot be read.
    """
    found = Listing({}, [])
    for name in sorted(names):
        if (root / name).is_symlink() or (root / name).exists():
            _list(root, name, found)
    return found


def _list(root: Path, name: str, found: Listing) -> None:
    state = os.lstat(root / name)
    if stat.S_ISREG(state.st_mode):
        found.files[name] = Stamp(state.st_size, state.st_mtime_ns, state.st_ino)
    elif stat.S_ISDIR(state.st_mode):
        found.folders.append(name)
        for inside in sorted(os.listdir(root / name)):
            _list(root, f"{name}/{inside}", found)
    else:
        raise NotAFile(f"{root / name} is neither a file nor a folder")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_file(source: Path, target: Path, report: Callable[[int], None]) -> str:
    """Copy a file to where none is, have it on the disk, and return the SHA-256 of what was read.

    `report` hears of each part how many bytes it has.
    """
    seen = hashlib.sha256()
    with source.open("rb") as given, target.open("xb") as made:
        os.fchmod(made.fileno(), stat.S_IMODE(os.fstat(given.fileno()).st_mode))
        while chunk := given.read(_CHUNK):
            seen.update(chunk)
            made.write(chunk)
            report(len(chunk))
        made.flush()
        os.fsync(made.fileno())
        # So that whoever reads it back reads the disk, not what is still in memory.
        os.posix_fadvise(made.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return seen.hexdigest()


def write_durably(path: Path, content: bytes) -> None:
    """Write a small file in one step: after a loss of power there is the old one or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for a lock file and hold it; a process that ends, however it ends, holds it no more."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def append_part(path: Path, offset: int, total: int, content: bytes, *, resumes: bool = False) -> int:
    """Append a part to a file of `total` bytes in the end, and return how many bytes are there.

    A part that begins elsewhere than where the file ends changes nothing: the sender goes on from what is returned. One
    that begins at 0 begins the file again, unless it `resumes`: where the name says the content.
    """
    there = path.stat().st_size if path.exists() else 0
    if offset == 0 and there and not resumes:
        path.unlink()
        there = 0
    if offset != there or there + len(content) > total:
        return there
    with path.open("ab") as stream:
        stream.write(content)
    return there + len(content)


def read_part(path: Path, offset: int) -> FilePart:
    """Return the part of a file that begins at a byte; empty behind its end.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open("rb") as stream:
        total = stream.seek(0, 2)
        stream.seek(min(max(offset, 0), total))
        return FilePart(stream.read(PART), total)
