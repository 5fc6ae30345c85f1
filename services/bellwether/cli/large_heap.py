"""A replay's heap in large pages.

glibc takes the setting from the environment and reads it before the first line of a program runs, so the process has to
begin again. It is the same process all the same: same id, terminal, open files and options.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
LARGE_PAGES = "glibc.malloc.hugetlb=1"
FIRST_GLIBC = (2, 35)
"""The first release that knows the setting."""
_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def begin_again_with_large_heap() -> None:
    """Replace this process by itself with the setting; return where it is there, or where it would change nothing."""
    if os.environ.get(VARIABLE) == LARGE_PAGES:
        # Other programs that a replay starts are no long computations.
        del os.environ[VARIABLE]
    elif wants_large_heap(os.environ, _libc(), _pages()) and sys.executable:
        with contextlib.suppress(OSError):
            again = {**os.environ, VARIABLE: LARGE_PAGES}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], again)  # noqa: S606 (no shell on purpose)


def wants_large_heap(environ: Mapping[str, str], libc: str, pages: str) -> bool:
    """Return whether the setting does something: not where the user has set others, or the kernel has one size for all.

    `libc` is what `confstr` says, such as "glibc 2.36"; `pages` names what the kernel does, "always [madvise] never".
    """
    name, _, release = libc.partition(" ")
    numbers = tuple(int(part) for part in release.split(".") if part.isdecimal())
    return VARIABLE not in environ and name == "glibc" and numbers >= FIRST_GLIBC and "[madvise]" in pages


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return ""


def _pages() -> str:
    try:
        return _PAGES.read_text()
    except OSError:
        return ""
