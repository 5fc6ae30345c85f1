"""What was decided for a session, what came of earlier decisions, and with which features models were asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import select

from bellwether.messages.fields import from_fields
from bellwether.messages.models import ServedRows, ServingRecord
from bellwether.messages.prediction import Prediction
from bellwether.messages.reporting import (
    GetSessionDecisions,
    OutcomeDay,
    RealisedDecision,
    SessionDecision,
    SessionDecisions,
    UsedHeadline,
)
from bellwether.prediction.judged import DAYS, OUTCOMES, TRADING_BATCH, judged
from bellwether.prediction.logic import News
from bellwether.prediction.tables import decisions
from bellwether.storage.store import Transaction

MOST_SESSIONS = 5000
MOST_SHOWN = 5
"""Headlines of a decision that a report shows."""
# An id is its slot's name, a hyphen and the symbol: `.` is the character behind the hyphen.
_OF_SLOT = "run = ? AND id >= ? || '-' AND id < ? || '.'"
_DECISIONS = f"SELECT prediction, canonical FROM decisions WHERE {_OF_SLOT} ORDER BY sequence"  # noqa: S608
_SETTLED = (
    f"SELECT o.id, d.symbol, d.action, o.probability, o.base_rate, o.rose FROM {OUTCOMES} "  # noqa: S608
    "JOIN decisions d ON d.run = o.run AND d.id = o.id "
    "WHERE o.run = ? AND o.session = ? AND o.id >= ? || '-' AND o.id < ? || '.' ORDER BY o.id"
)
_DAYS_OF_SYMBOL = DAYS.replace("GROUP BY", "AND d.symbol = ? GROUP BY")
MOST_ROWS = 500


class _Inputs(msgspec.Struct):
    news: News | None = None


class _Record(msgspec.Struct):
    """The part of a canonical record that a report shows."""

    inputs: _Inputs


_predictions = msgspec.json.Decoder(Prediction)
_records = msgspec.json.Decoder(_Record)


def session_decisions(tx: Transaction, run: str, asked: GetSessionDecisions) -> SessionDecisions:
    """Return the decisions of the first slot that has any, and the outcomes up to the session."""
    execute, session = tx.driver.execute, asked.session.isoformat()
    found: list[Any] = []
    for slot in asked.slots:
        found = execute(_DECISIONS, (run, slot, slot)).fetchall()
        if found:
            break
    days, bins = judged(tx, run, asked.session, asked.sessions) if asked.sessions else ([], [])
    return SessionDecisions(
        decisions=sorted((_decision(*row) for row in found), key=lambda one: one.symbol),
        settled=[
            RealisedDecision(row[0], row[1], row[2], row[3], row[4], bool(row[5]))
            for row in execute(_SETTLED, (run, session, TRADING_BATCH, TRADING_BATCH)).fetchall()
        ],
        days=days,
        bins=bins,
    )


def outcomes_of_symbol(tx: Transaction, run: str, symbol: str) -> list[OutcomeDay]:
    """Return all outcomes of one symbol by session, of decisions of the batch that may trade."""
    values = (run, "", "9", TRADING_BATCH, TRADING_BATCH, symbol)
    found = tx.driver.execute(_DAYS_OF_SYMBOL, values).fetchall()
    return [OutcomeDay(date.fromisoformat(row[0]), *row[1:]) for row in found]


def _decision(prediction: bytes, canonical: bytes) -> SessionDecision:
    made = _predictions.decode(prediction)
    news = _records.decode(canonical).inputs.news if made.sentiment_data_available else None
    return from_fields(
        SessionDecision,
        made,
        sentiment_score=None if news is None else news.score,
        news_confidence=None if news is None else news.confidence,
        headlines=[]
        if news is None
        else [UsedHeadline(one.title, one.source, one.score) for one in news.headlines[:MOST_SHOWN]],
    )


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
