"""What serving looks like: the newest features that models were asked with, and the outcomes by symbol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from bellwether.messages.models import ServedRows, ServingRecord
from bellwether.prediction.judged import TRADING_BATCH
from bellwether.prediction.session import outcomes_of_symbol
from bellwether.prediction.tables import decisions
from bellwether.storage.store import Transaction

MOST_ROWS = 500


class _Made(msgspec.Struct):
    model_version: str
    model_available: bool
    features: dict[str, float]
    horizon_sessions: int


_decoder = msgspec.json.Decoder(_Made)


def serving_record(tx: Transaction, run: str, symbols: Sequence[str]) -> ServingRecord:
    """Return the features of the newest decisions that may trade, of the model that made the newest one, and outcomes.

    Symbols with models of their own are parted by version: each version has rows of its own.
    """
    query = (
        select(decisions.c.prediction)
        .where(decisions.c.run == run, decisions.c.id.startswith(f"{TRADING_BATCH}-"))
        .order_by(decisions.c.sequence.desc())
        .limit(MOST_ROWS)
    )
    rows: Sequence[Any] = tx.execute(query).all()
    made = [one for one in (_decoder.decode(row[0]) for row in rows) if one.model_available]
    newest: dict[str, list[_Made]] = {}
    for one in made:
        newest.setdefault(one.model_version, []).append(one)
    return ServingRecord(
        horizon_sessions=made[0].horizon_sessions if made else 1,
        outcomes={symbol: outcomes_of_symbol(tx, run, symbol) for symbol in symbols},
        rows=[ServedRows(version, _columns(of)) for version, of in newest.items()],
    )


def _columns(made: Sequence[_Made]) -> dict[str, list[float]]:
    """Return the values of each feature, the newest first; all rows of one version have the same features."""
    names = made[0].features.keys()
    return {name: [one.features[name] for one in made if one.features.keys() == names] for name in names}
