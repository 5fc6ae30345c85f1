"""A process that is killed between two renames, played by an exception that nothing handles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def killed_before_rename(number: int) -> Iterator[None]:
    """Have what runs in it end before its rename of this number, from 1; fail where it comes to its own end."""
    renames = 0
    rename = Path.rename

    def counted(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == number:
            raise KeyboardInterrupt
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "rename", counted)
        with pytest.raises(KeyboardInterrupt):
            yield
