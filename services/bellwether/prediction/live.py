"""What came of the decisions that models made, and of those that models in shadow were asked beside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import select

from bellwether.messages.registry import LiveDay, LiveRecord, LiveRecords
from bellwether.prediction.tables import decisions, outcomes, shadows
from bellwether.storage.store import Transaction

MOST_VERSIONS = 100
MOST_SESSIONS = 1000
"""Of a record: the newest."""
_INSIDE = 1.0e-6
"""Probabilities count as this far from 0 and 1 at least, as in the evidence of the gate."""


class Said(NamedTuple):
    """One decision with its outcome, as one model saw it."""

    version: str
    model_name: str
    role: str
    horizon_sessions: int
    symbol: str
    session: date
    probability: float
    base_rate: float
    rose: bool


def records(tx: Transaction, run: str, versions: Sequence[str]) -> LiveRecords:
    """Return the records of those of the versions that have any."""
    wanted = set(versions)
    return LiveRecords(records_of([*_served(tx, run, wanted), *_shadowed(tx, run, versions)]))


def records_of(said: Iterable[Said]) -> list[LiveRecord]:
    """Return the records of decisions with their outcomes, given oldest first (pure).

    Of several of a symbol with the same newest bar the last one counts: they have the same outcome.
    """
    last: dict[tuple[str, str, str, date], Said] = {}
    for one in said:
        last[(one.version, one.role, one.symbol, one.session)] = one
    by_model: dict[tuple[str, str], list[Said]] = {}
    for one in last.values():
        by_model.setdefault((one.version, one.role), []).append(one)
    return [
        LiveRecord(version, of[0].model_name, role, of[0].horizon_sessions, _days(of)[-MOST_SESSIONS:])
        for (version, role), of in sorted(by_model.items())
    ]


def _days(said: Sequence[Said]) -> list[LiveDay]:
    by_day: dict[date, list[Said]] = {}
    for one in said:
        by_day.setdefault(one.session, []).append(one)
    return [
        LiveDay(
            session=day,
            rows=len(of),
            model=math.fsum(_loss(one.probability, one.rose) for one in of),
            base=math.fsum(_loss(one.base_rate, one.rose) for one in of),
            brier=math.fsum((one.probability - one.rose) ** 2 for one in of),
            base_brier=math.fsum((one.base_rate - one.rose) ** 2 for one in of),
        )
        for day, of in sorted(by_day.items())
    ]


def _loss(probability: float, rose: bool) -> float:
    inside = min(max(probability, _INSIDE), 1.0 - _INSIDE)
    return -math.log(inside if rose else 1.0 - inside)


def _served(tx: Transaction, run: str, versions: set[str]) -> Iterator[Said]:
    query = (
        select(decisions.c.prediction, outcomes.c.probability, outcomes.c.base_rate, outcomes.c.rose)
        .join(outcomes, (outcomes.c.run == decisions.c.run) & (outcomes.c.id == decisions.c.id))
        .where(decisions.c.run == run)
        .order_by(decisions.c.sequence)
    )
    rows: Sequence[Any] = tx.execute(query).all()
    for prediction, probability, base_rate, rose in rows:
        made = msgspec.json.decode(prediction, type=_Made)
        if made.model_version in versions and made.bar_session is not None:
            yield Said(
                made.model_version,
                made.model_name,
                "serving",
                made.horizon_sessions,
                made.symbol,
                made.bar_session,
                probability,
                base_rate,
                bool(rose),
            )


def _shadowed(tx: Transaction, run: str, versions: Sequence[str]) -> Iterator[Said]:
    query = (
        select(
            shadows.c.version,
            shadows.c.model_name,
            shadows.c.horizon_sessions,
            shadows.c.probability,
            shadows.c.base_rate,
            decisions.c.prediction,
            outcomes.c.rose,
        )
        .join(decisions, (decisions.c.run == shadows.c.run) & (decisions.c.id == shadows.c.id))
        .join(outcomes, (outcomes.c.run == shadows.c.run) & (outcomes.c.id == shadows.c.id))
        .where(shadows.c.run == run, shadows.c.version.in_(list(versions)))
        .order_by(decisions.c.sequence)
    )
    rows: Sequence[Any] = tx.execute(query).all()
    for version, name, horizon, probability, base_rate, prediction, rose in rows:
        made = msgspec.json.decode(prediction, type=_Made)
        # The outcome is that of the decision's own horizon: a shadow of another one cannot be judged by it.
        if made.bar_session is not None and made.horizon_sessions == horizon:
            yield Said(
                version, name, "shadow", horizon, made.symbol, made.bar_session, probability, base_rate, bool(rose)
            )


class _Made(msgspec.Struct):
    symbol: str
    model_name: str
    model_version: str
    horizon_sessions: int
    bar_session: date | None
