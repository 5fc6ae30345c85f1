"""A small share of the processors, for tests that run beside others whose time matters.

`nice` alone is not enough: Linux shares the processors between terminal sessions first (autogroup), and many tests
begin sessions of their own. A control group holds all of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Where control groups of the processors are: version 1, version 2."""
WEIGHTS = {"cpu.shares": 128, "cpu.weight": 12}
"""By version, an eighth of what others have."""
_MEMBERS = "cgroup.procs"


@contextlib.contextmanager
def group(roots: tuple[Path, ...] = ROOTS) -> Iterator[Path | None]:
    """Make a control group with a small share and yield its file of members; None where none can be made."""
    made = next(filter(None, map(_made, roots)), None)
    try:
        yield None if made is None else made / _MEMBERS
    finally:
        if made is not None:
            # What a test left running keeps it.
            with contextlib.suppress(OSError):
                made.rmdir()


def _made(root: Path) -> Path | None:
    folder = root / f"bellwether-tests-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        return None
    for name, weight in WEIGHTS.items():
        if (folder / name).exists():
            with contextlib.suppress(OSError):
                (folder / name).write_text(str(weight))
                return folder
    with contextlib.suppress(OSError):
        folder.rmdir()
    return None


def command(words: list[str], members: Path | None) -> list[str]:
    """Return a command that runs as a member of the group, and gives way to others without one, too."""
    polite = ["nice", "-n", "10", *words]
    return polite if members is None else ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(members), *polite]
