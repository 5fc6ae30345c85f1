"""Deletes decisions that are older than what is kept. All functions run inside one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, select

from bellwether.prediction.store import stamp
from bellwether.prediction.tables import decisions, outcomes, shadows
from bellwether.storage.store import Transaction


def prune(tx: Transaction, run: str, after: datetime, before: datetime, keep: Iterable[str]) -> int:
    """Delete a run's decisions made from `after` until `before` but those named, with their outcomes; return how many.

    One whose outcome is still due stays until it is known.
    """
    within = (
        decisions.c.run == run,
        decisions.c.as_of >= stamp(after),
        decisions.c.as_of < stamp(before),
        decisions.c.outcome_session.is_(None),
    )
    named = set(keep)
    going = [one for one in tx.execute(select(decisions.c.id).where(*within)).scalars() if one not in named]
    for place in range(0, len(going), 500):
        part = going[place : place + 500]
        tx.execute(delete(outcomes).where(outcomes.c.run == run, outcomes.c.id.in_(part)))
        tx.execute(delete(shadows).where(shadows.c.run == run, shadows.c.id.in_(part)))
        tx.execute(delete(decisions).where(decisions.c.run == run, decisions.c.id.in_(part)))
    return len(going)


def oldest(tx: Transaction, run: str) -> datetime | None:
    """Return when the oldest decision of a run was made."""
    found = tx.execute(select(func.min(decisions.c.as_of)).where(decisions.c.run == run)).scalar()
    return None if found is None else datetime.fromisoformat(found)
