"""Which backups of a location have outlived their use. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple


class Kept(NamedTuple):
    """A backup in a location."""

    id: str
    cut: datetime
    verified: bool
    """Whether it was found whole after it was written."""


def outlived(backups: Sequence[Kept], now: datetime, *, count: int, age: timedelta) -> list[str]:
    """Return the ids to remove, oldest first: beyond the newest `count`, or older than `age`.

    The newest verified backup is never among them, however old it is. One that is not verified does not count: it is
    removed once a newer verified one is there, so that no failure takes the place of a good backup.
    """
    newest_first = sorted(backups, key=lambda one: (one.cut, one.id), reverse=True)
    good = [one for one in newest_first if one.verified]
    if not good:
        return []
    keep = {one.id for one in good[:count] if now - one.cut <= age} | {good[0].id}
    keep |= {one.id for one in newest_first if not one.verified and one.cut >= good[0].cut}
    return [one.id for one in reversed(newest_first) if one.id not in keep]
