"""Whether a decision changes when what came after it is taken away: then it saw the future (pure but for progress)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from bellwether.lineage.answers import Answers, inputs_at
from bellwether.lineage.past import Past
from bellwether.market.declared import slots_of
from bellwether.market_data.loaded import LoadedBars, NoData
from bellwether.messages.market_data import Bar
from bellwether.messages.models import Probability
from bellwether.models.child import TRAINING_BARS
from bellwether.prediction.logic import decide
from bellwether.runtime.errors import RpcError
from bellwether.training import dataset
from bellwether.training.dataset import make_rows, newest_share
from bellwether.training.fit import Fitted, TooFewRows, fit
from bellwether.training.recipe import Recipe

DECIDING = "prediction_generation"
"""The task whose decisions may trade."""
EDGE_SHARE = 0.3
"""The walk-forward is tried where the newest share of so much begins."""
COMPARED = 25
"""Rows whose scores are compared, evenly over what was learnt from."""


@dataclass(frozen=True)
class Change:
    """One value that is another one without what came later."""

    at: datetime
    """The instant of the decision; for what is learnt, the midnight before which may be learnt from."""
    symbol: str
    """Empty for what is learnt."""
    what: str
    whole: Any
    """The value with all that is recorded."""
    cut: Any
    """The value with what had happened by then."""


@dataclass(frozen=True)
class Judgement:
    """What was looked at, and every change."""

    instants: int
    decisions: int
    learnt: int
    changes: Sequence[Change]


def instants_of(past: Past, first: date, last: date, every: int = 1) -> list[datetime]:
    """Return the instants at which decisions that may trade are due from a day to another, each `every`-th session."""
    zone = past.calendar.timezone
    start = datetime.combine(first, time(0), zone).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), time(0), zone).astimezone(UTC)
    found = [slot.due for slot in slots_of(past.system.spec, start, end) if slot.task == DECIDING]
    return found[::every]


async def judge(
    past: Past, recipe: Recipe, first: date, instants: Sequence[datetime], say: Callable[[str], None]
) -> Judgement:
    """Return what changes when history is cut: of what is learnt before `first`, and of decisions at the instants.

    Raises:
        TooFewRows: where there is too little history before `first` to learn from.
    """
    whole = past.book()
    symbols = past.system.spec.symbols
    zone = past.calendar.timezone
    say(f"learning from the bars before {first}")
    histories = histories_at(whole, symbols, first, zone)
    if not any(histories.values()):
        raise TooFewRows(f"no declared symbol has bars before {first}")
    edge = date.fromordinal(newest_share(make_rows(histories, recipe.features, recipe.horizon_sessions), EDGE_SHARE))
    changes = [*_learnt_changes(past, recipe, first, None), *_learnt_changes(past, recipe, first, edge)]
    model = FittedModel(recipe, learnt(histories, recipe))
    decisions = 0
    for number, instant in enumerate(instants, 1):
        then = past.until(instant)
        both = [Answers(past, whole, instant, model), Answers(then, then.book(), instant, model)]
        for symbol in symbols:
            values = [await _values(answers, symbol) for answers in both]
            changes += _changes(instant, symbol, *values)
            decisions += 1
        if number % 25 == 0 or number == len(instants):
            say(f"{number} of {len(instants)} instants, {len(changes)} changes")
    return Judgement(len(instants), decisions, 2, changes)


def _learnt_changes(past: Past, recipe: Recipe, first: date, edge: date | None) -> list[Change]:
    """Return what a model learns otherwise without what came after: before `first`, or before a fold of the walk."""
    zone, symbols = past.calendar.timezone, past.system.spec.symbols
    limit = edge or first
    midnight = datetime.combine(limit, time(0), zone).astimezone(UTC)
    whole = histories_at(past.book(), symbols, first, zone)
    cut = histories_at(past.until(midnight).book(), symbols, limit, zone)
    sample = sample_of(cut, recipe)
    values = [numbers_of(learnt(one, recipe, edge), sample) for one in (whole, cut)]
    where = "the model" if edge is None else "a fold of the walk-forward"
    return [Change(midnight, "", f"{where}: {one.what}", one.whole, one.cut) for one in _changes(midnight, "", *values)]


async def _values(answers: Answers, symbol: str) -> dict[str, Any]:
    """Return everything that a decision is made from and says, by dotted name."""
    try:
        inputs = await inputs_at(answers, symbol)
    except RpcError as error:
        return {"error": error.code}
    found = {"inputs": msgspec.to_builtins(inputs), "outcome": msgspec.to_builtins(decide(inputs))}
    return dict(_flat(found))


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [one for key, deeper in value.items() for one in _flat(deeper, f"{path}.{key}" if path else str(key))]
    return [(path, value)]


def _changes(at: datetime, symbol: str, whole: Mapping[str, Any], cut: Mapping[str, Any]) -> list[Change]:
    return [
        Change(at, symbol, _name(key), whole.get(key), cut.get(key))
        for key in sorted(whole.keys() | cut.keys())
        if whole.get(key) != cut.get(key)
    ]


def _name(key: str) -> str:
    """Return what a value is called: features, and what was decided, by their plain names."""
    for prefix, word in (("inputs.features.", "feature "), ("outcome.", "decision "), ("inputs.", "input ")):
        if key.startswith(prefix):
            return word + key.removeprefix(prefix)
    return key


@dataclass(frozen=True)
class Summary:
    """One thing that changes: how often, and first when, of which symbols."""

    what: str
    times: int
    symbols: Sequence[str]
    first: Change


def summed(changes: Sequence[Change]) -> list[Summary]:
    """Return each thing that changes once, the decisions first, then features, then other inputs."""
    by_name: dict[str, list[Change]] = {}
    for one in changes:
        by_name.setdefault(one.what, []).append(one)
    order = ("the model", "a fold", "decision", "feature", "input")
    rank = {what: next((place for place, word in enumerate(order) if what.startswith(word)), 9) for what in by_name}
    return [
        Summary(what, len(found), sorted({one.symbol for one in found if one.symbol}), found[0])
        for what, found in sorted(by_name.items(), key=lambda item: (rank[item[0]], item[0]))
    ]


@dataclass(frozen=True)
class FittedModel:
    """Answers as the recipe's model would."""

    recipe: Recipe
    fitted: Fitted

    def predict(self, features: Mapping[str, float], symbol: str | None) -> Probability:
        """Return the calibrated probability of a row."""
        row = np.array([[features[name] for name in self.recipe.features]])
        score = float(self.fitted.scores(row)[0])
        calibrator = self.fitted.calibrator
        probability = calibrator.probability(score, symbol)
        return Probability(
            probability=probability,
            confidence=abs(probability - 0.5) * 2.0,
            model_name=self.recipe.name,
            version="",
            horizon_sessions=self.recipe.horizon_sessions,
            base_rate=calibrator.base_rate(symbol),
        )


def histories_at(book: LoadedBars, symbols: Sequence[str], day: date, zone: ZoneInfo) -> dict[str, list[Bar]]:
    """Return the bars that a model may learn from on a day: of sessions before it, as ml-model asks for them."""
    midnight = datetime.combine(day, time(0), zone)
    found: dict[str, list[Bar]] = {}
    for symbol in sorted(symbols):
        try:
            found[symbol] = book.view(symbol, midnight).bars(TRAINING_BARS)
        except NoData:
            continue
    return found


def learnt(histories: Mapping[str, Sequence[Bar]], recipe: Recipe, edge: date | None = None) -> Fitted:
    """Return what is learnt from histories; with an edge, from the rows that the walk-forward allows before it.

    Raises:
        TooFewRows: where the history does not suffice.
    """
    rows = dataset.make_rows(histories, recipe.features, recipe.horizon_sessions)
    if edge is not None:
        rows, _ = dataset.part_by_day(rows, edge.toordinal())
    return fit(rows, recipe)


def numbers_of(fitted: Fitted, sample: dataset.Matrix) -> dict[str, float]:
    """Return what was learnt as numbers by name: calibration, base rates, and the scores of some rows."""
    calibrator = fitted.calibrator
    found = {"slope": calibrator.slope, "intercept": calibrator.intercept, "base rate": fitted.base_rate}
    found |= {f"base rate of {symbol}": rate for symbol, rate in fitted.symbol_base_rates.items()}
    if len(sample):
        found |= {f"score of row {number}": float(score) for number, score in enumerate(fitted.scores(sample))}
    return found


def sample_of(histories: Mapping[str, Sequence[Bar]], recipe: Recipe) -> dataset.Matrix:
    """Return the features of some windows, made one by one."""
    rows = dataset.symbol_rows(next(iter(histories.values())), recipe.features, recipe.horizon_sessions, {})
    step = max(len(rows) // COMPARED, 1)
    return np.array([row[1] for row in rows[::step]][:COMPARED])
