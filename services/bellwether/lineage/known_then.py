"""Stored bars as they were known at an instant, and decisions made again by them or by today's versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from bellwether.lineage.answers import Answers, inputs_at
from bellwether.lineage.past import Past
from bellwether.market.declared import calendar_of
from bellwether.market_data import store as kept
from bellwether.market_data.known import Rules
from bellwether.market_data.loaded import recorded_of
from bellwether.market_data.service import final_delay
from bellwether.models.serving import ServedModel
from bellwether.prediction.logic import Decision, Inputs, canonical_record, decide
from bellwether.prediction.logic import differences as value_differences
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Transaction

Models = Callable[[str], ServedModel]
"""Gives a model by its version."""


class _Record(msgspec.Struct, frozen=True):
    code_version: str
    inputs: Inputs
    outcome: Decision


@dataclass(frozen=True)
class Remade:
    """A stored decision, made again by the versions known then and by those of today."""

    prediction_id: str
    symbol: str
    as_of: datetime
    live: Decision
    today: Decision
    differs_then: Sequence[str]
    """Which values of the record come out otherwise by the versions that were known: none, or something is wrong."""
    differs_today: Sequence[str]
    news: bool
    """Whether news was seen, which today's history would not have."""


def past_known(tx: Transaction, system: TradingSystem, instant: datetime | None) -> Past:
    """Return the stored bars of the declared symbols, in the versions known at an instant; None: in the newest."""
    calendar = calendar_of(system.spec.market)
    rules = Rules(calendar, final_delay(system.spec.data))
    recorded = {}
    for symbol in system.spec.symbols:
        loads = kept.all_loads(tx, symbol)
        known = [one.number for one in loads if instant is None or one.known_at <= instant]
        if known:
            recorded[symbol] = recorded_of(kept.read(tx, symbol, max(known)), rules)
    return Past(system, calendar, recorded)


def folder_of_models(root: Path) -> Models:
    """Return what opens models of a registry's folder, each once."""
    opened: dict[str, ServedModel] = {}

    def find(version: str) -> ServedModel:
        if version not in opened:
            opened[version] = ServedModel.open(root / version)
        return opened[version]

    return find


async def remade(identifier: str, stored: bytes, then: Past, today: Past, models: Models) -> Remade:
    """Return a decision made again at its instant, twice. News is taken from the record: no source has it still."""
    record = msgspec.json.decode(stored, type=_Record)
    again = [await _again(record, past, models) for past in (then, today)]
    plain: Any = msgspec.json.decode(stored)
    differing = []
    for inputs in again:
        # Equal bytes are the claim; only where they are not, the values are looked at one by one.
        made = canonical_record(inputs, decide(inputs), record.code_version)
        differing.append([] if made == stored else value_differences(plain, msgspec.json.decode(made))[0] or ["bytes"])
    return Remade(
        prediction_id=identifier,
        symbol=record.inputs.symbol,
        as_of=record.inputs.as_of,
        live=record.outcome,
        today=decide(again[1]),
        differs_then=differing[0],
        differs_today=differing[1],
        news=record.inputs.news is not None,
    )


async def _again(record: _Record, past: Past, models: Models) -> Inputs:
    stored = record.inputs
    model = None if stored.model is None else models(stored.model.version)
    made = await inputs_at(Answers(past, past.book(), stored.as_of, model), stored.symbol, stored.slot)
    missing = {name: why for name, why in made.missing.items() if name != "sentiment"}
    missing |= {name: why for name, why in stored.missing.items() if name == "sentiment"}
    if stored.model is None and "model" in stored.missing:
        # Whether a model may answer (gate, expiry) is no question of bars.
        missing["model"] = stored.missing["model"]
    return msgspec.structs.replace(
        made,
        trade_asked=stored.trade_asked,
        model_name=stored.model_name,
        news=stored.news,
        news_weight=stored.news_weight,
        missing=missing,
    )


@dataclass(frozen=True)
class Later:
    """A statement of a source that came after a decision and changed bars that it saw, or should have seen."""

    symbol: str
    known_at: datetime
    sessions: Sequence[date]
    """Whose bars it changed or brought."""
    late: bool
    """Whether it brought a bar that had not been there; else it restated some."""


def later_statements(tx: Transaction, symbol: str, after: datetime, through: date) -> list[Later]:
    """Return what a source stated later about a symbol's sessions up to a day, oldest first."""
    found = []
    for load in reversed(kept.all_loads(tx, symbol)):
        if load.known_at <= after:
            continue
        rows = tx.execute(
            kept.bars.select().where(
                kept.bars.c.symbol == symbol,
                kept.bars.c.load == load.number,
                kept.bars.c.session <= through.isoformat(),
            )
        ).all()
        days = [date.fromisoformat(row.session) for row in rows]
        if days:
            earlier = tx.execute(
                kept.bars.select().where(
                    kept.bars.c.symbol == symbol,
                    kept.bars.c.load < load.number,
                    kept.bars.c.session.in_([day.isoformat() for day in days]),
                )
            ).all()
            found.append(Later(symbol, load.known_at, days, late=len({row.session for row in earlier}) < len(days)))
    return found


def in_words(later: Sequence[Later]) -> str:
    """Return what came later, in words; empty where nothing did."""
    lines = []
    for one in later:
        first, more = one.sessions[0], len(one.sessions) - 1
        which = f"{first}" + (f" and {more} more" if more else "")
        verb = "the late bar of" if one.late else "restated history: the bar of"
        lines.append(f"{verb} {one.symbol} {which} was known at {one.known_at:%Y-%m-%d %H:%M} UTC")
    return "; ".join(lines)
