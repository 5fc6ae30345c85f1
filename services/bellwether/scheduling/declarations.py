"""The table of declarations: what was in force when. All functions run inside a transaction of the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from bellwether.scheduling.versions import Timing, Version, next_version
from bellwether.storage.store import Transaction

KEPT = timedelta(days=20)
"""How long a version is kept that is no longer in force. Longer than slots are judged."""

_LAST = "SELECT number, spec FROM declarations ORDER BY number DESC LIMIT 1"
_ADD = "INSERT INTO declarations (generation, spec, effective_from) VALUES (?, ?, ?)"
_TAKE_OVER = "UPDATE declarations SET generation = ?, spec = ? WHERE number = ?"
# The first one stays: it says when the system started.
_FORGET = (
    "DELETE FROM declarations WHERE number > (SELECT min(number) FROM declarations) "
    "AND number < (SELECT max(number) FROM declarations WHERE effective_from <= ?)"
)
_ALL = "SELECT effective_from, spec FROM declarations ORDER BY number"
_decoder = msgspec.json.Decoder(Timing)


class History(NamedTuple):
    """When the live system first started (UTC), and the versions of its declaration since, oldest first."""

    began: datetime
    versions: Sequence[Version]


def see(tx: Transaction, generation: int, timing: Timing, now: datetime) -> History:
    """Note what is in force at `now` (aware), and return the history with it.

    The one seen last is in force, whatever its generation: a restored system counts them from another start.
    """
    spec = msgspec.json.encode(timing).decode()
    number, last = tx.driver.execute(_LAST).fetchone() or (None, None)
    if number is not None and last is None:
        # An earlier release kept no declarations: its system has had this one all along.
        tx.driver.execute(_TAKE_OVER, (generation, spec, number))
    elif last != spec:
        tx.driver.execute(_ADD, (generation, spec, now.isoformat()))
        tx.driver.execute(_FORGET, ((now - KEPT).isoformat(),))
    return history(tx) or History(now, ())


def history(tx: Transaction) -> History | None:
    """Return what is kept, None before a live system's first start."""
    rows = [(datetime.fromisoformat(at), spec) for at, spec in tx.driver.execute(_ALL)]
    versions: list[Version] = []
    for at, spec in rows:
        if spec is not None:
            versions.append(next_version(versions[-1] if versions else None, _decoder.decode(spec), at))
    return History(rows[0][0], versions) if rows else None
