"""The memory of a process: what only its start needed is given back, and a replay's is kept in large pages.

Freed heap and code that was run once are given back while a process runs.

Loading ONNX Runtime alone touches 15 MB of its code and tables; later a few hundred kilobytes of them are used. Pages
of a file that nobody wrote to are dropped from this process and read again from the system's page cache when they are
touched, so this costs some page faults and nothing else.
"""

from __future__ import annotations

import asyncio
import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FIRST_SECONDS = 30.0
"""By then a start is over."""
AGAIN_SECONDS = 60.0
SMALLEST = 256 * 1024
"""Bytes below which a mapping is not worth a system call."""
_LIBRARY = ctypes.CDLL(None)
_MADV_DONTNEED, _MADV_HUGEPAGE, _MADV_COLLAPSE = 4, 14, 25
_SMAPS, _MAPS = Path("/proc/self/smaps"), Path("/proc/self/maps")
_HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)(?: |$)")


class Mapping(NamedTuple):
    """A part of a process's addresses."""

    start: int
    length: int


async def keep_small() -> None:
    """Give back what is not needed after the start, and now and then again; ends when it is cancelled."""
    await asyncio.sleep(FIRST_SECONDS)
    while True:
        await asyncio.to_thread(give_back)
        await asyncio.sleep(AGAIN_SECONDS)


def give_back() -> int:
    """Give back free heap and unwritten pages of files; return how many bytes of addresses were let go of.

    Only Linux is asked to, and of its C libraries only glibc for the heap.
    """
    try:
        looks = _SMAPS.read_text(), _SMAPS.read_text()
    except OSError:
        return 0
    if trim := getattr(_LIBRARY, "malloc_trim", None):
        trim(0)
    return sum(one.length for one in unwritten_in_both(*looks) if _advise(one, _MADV_DONTNEED))


def use_large_pages() -> None:
    """Ask Linux to hold what this process has written in pages of 2 MB: a long computation finds its data sooner."""
    for one in written(_MAPS.read_text()) if _MAPS.exists() else ():
        _advise(one, _MADV_HUGEPAGE)
        _advise(one, _MADV_COLLAPSE)


def _advise(one: Mapping, advice: int) -> bool:
    return bool(_LIBRARY.madvise(ctypes.c_void_p(one.start), ctypes.c_size_t(one.length), advice) == 0)


def written(maps: str) -> Iterator[Mapping]:
    """Return the private mappings of no file that can be written to: heap, objects, stacks."""
    for head in filter(None, map(_HEAD.match, maps.splitlines())):
        start, end, rights, inode = head.groups()
        if rights == "rw-p" and inode == "0":
            yield Mapping(int(start, 16), int(end, 16) - int(start, 16))


def unwritten_in_both(first: str, second: str) -> set[Mapping]:
    """Return what `unwritten` finds in two looks.

    A library that another thread is loading may be seen before its addresses are moved, and would lose them; the
    second look finds other mappings where it was.
    """
    return {*unwritten(first)} & {*unwritten(second)}


def unwritten(smaps: str) -> Iterator[Mapping]:
    """Return the private mappings of files that cannot be written to and of which no page was ever changed.

    Where the loader has moved addresses (relocations), pages are the process's own: such a mapping has anonymous pages
    and would lose them, so it is left out.
    """
    found: Mapping | None = None
    for line in smaps.splitlines():
        if head := _HEAD.match(line):
            start, end, rights, inode = head.groups()
            size = int(end, 16) - int(start, 16)
            of_a_file = inode != "0" and "w" not in rights and rights.endswith("p")
            found = Mapping(int(start, 16), size) if of_a_file and size >= SMALLEST else None
        elif found is not None and line.startswith("Anonymous:"):
            if int(line.split()[1]) == 0:
                yield found
            found = None
