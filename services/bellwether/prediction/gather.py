"""What a decision is computed from, asked of the services that own it (I/O, nothing is decided here)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from bellwether.market.sessions import Calendar
from bellwether.messages.envelope import LIVE
from bellwether.messages.market_data import Bar, Bars, GetBars, GetMarketData, MarketData
from bellwether.messages.models import Predict, Probability, ShadowModel
from bellwether.messages.quality import GetQuality
from bellwether.messages.quality import Quality as Qualities
from bellwether.messages.sentiment import AnalyzeSentiment, SymbolSentiment
from bellwether.prediction.logic import (
    FALLBACK_BASE_RATE,
    MARKET_DATA,
    MODEL,
    NO_EXPIRY,
    QUALITY,
    SENTIMENT,
    Expiry,
    Inputs,
    Market,
    News,
    NewsWeight,
    Quality,
    market_of,
    news_of,
)
from bellwether.prediction.store import ShadowScore
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.training.feature_table import Basket
from bellwether.training.features import WINDOW, NotEnoughBars, basket_of, features, moves, needs_basket
from bellwether.training.recipe import recipe_features

_log = logging.getLogger(__name__)

NO_MARKET_DATA = frozenset({"BARS_LOADING", "NO_BARS", "NOT_ENOUGH_BARS", "SOURCE_UNAVAILABLE", "HELD_BACK"})
"""Answers that say there is no market data, now or if asked again: the decision goes on without."""
NO_MODEL = frozenset(
    {"MODEL_NOT_FOUND", "MODEL_LOOKAHEAD", "MODEL_NOT_GATED", "MODEL_DEMOTED", "MODEL_EXPIRED", "FEATURES_MISMATCH"}
)
"""Answers that say no model will speak to this: the decision goes on without."""
NO_MOVEMENT = "NO_MOVEMENT"
"""Why no model is asked about a share whose price stands still: it is HOLD."""
MODEL_AWAY = frozenset({"MODEL_NOT_READY", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""The model may come: what is made for looking at goes on without it, what belongs to a slot waits."""

AWAY = MODEL_AWAY | {"OVERLOADED", "STOPPING", "NOT_READY"}
"""Answers that say a service is away: asked again, it may answer."""
NEWS_SECONDS = 5.0
"""How long a live decision waits for news."""


class Rows:
    """The newest row of features of each symbol: a session asks for it twice, by the same bars."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[Any, ...], dict[str, float]]] = {}

    def features(
        self, bars: Bars, names: Sequence[str], basket: Mapping[str, str] | None, moved: Basket
    ) -> dict[str, float]:
        """Return the features as of the last of these bars; `basket` holds the revisions that `moved` is made of.

        Raises:
            NotEnoughBars: as `training.features`.

        """
        key = (bars.revision, tuple(names), None if basket is None else tuple(basket.items()))
        kept = self._kept.get(bars.symbol)
        if kept is None or kept[0] != key:
            kept = self._kept[bars.symbol] = (key, features(bars.bars, names, moved))
        return kept[1]


@dataclass(frozen=True, slots=True)
class Question:
    """One decision to be made."""

    symbol: str
    as_of: datetime
    slot: str | None
    trade_asked: bool
    model_name: str
    wait_for_model: bool
    news_declared: bool = False
    """Whether `sentiment.provider` names a source of news; without one nobody is asked."""
    basket: tuple[str, ...] = ()
    """The declared symbols: the market's own state is what they do together."""
    news_weight: NewsWeight | None = None
    """How much the news moves the probability; None: not at all."""
    rows: Rows | None = None
    """The rows of features that were made last."""
    feature_names: tuple[str, ...] | None = None
    """What the model's recipe names; None: its file is read."""


@dataclass(frozen=True, slots=True)
class _MarketInputs:
    """What market-data said of a symbol, and the features made of it: empty where no model is to be asked."""

    market: Market | None = None
    revision: str | None = None
    basket: dict[str, str] | None = None
    features: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    moves: Basket | None = None
    """The market's own moves; None: no feature asked for them."""


class Gathered(NamedTuple):
    """The inputs of a decision, and what is told beside it: no part of its record."""

    inputs: Inputs
    expiry: Expiry
    shadow: ShadowScore | None


async def gather_inputs(question: Question, calendar: Calendar, call: Call) -> Gathered:
    """Return the inputs of a decision, with what is missing and why.

    Raises:
        RpcError: when a service is away, or does not know the symbol.

    """
    found = await _market_inputs(question, call)
    missing = dict(found.missing)
    model: Probability | None = None
    expiry, shadow = NO_EXPIRY, None
    if found.features:
        answer = await _model_of(question, found.features, call)
        model, expiry = answer.model, answer.expiry
        if answer.shadow is not None:
            shadow = await _shadow_score(question, answer.shadow, found, call)
        if model is None:
            missing[MODEL] = answer.why
    quality, why = await _quality_of(question, call)
    if quality is None:
        missing[QUALITY] = why
    news, why = await _news_of(question, call)
    if news is None:
        missing[SENTIMENT] = why
    target = calendar.next_session(question.as_of)
    inputs = Inputs(
        symbol=question.symbol,
        as_of=question.as_of,
        slot=question.slot,
        target_session=target.day,
        valid_until=target.close,
        trade_asked=question.trade_asked,
        model_name=question.model_name,
        market=found.market,
        stale_sessions=0 if found.market is None else stale_sessions(found.market, calendar, question.as_of),
        bars_revision=found.revision,
        features=found.features,
        model=model,
        quality=quality,
        missing=missing,
        news=news,
        basket=found.basket,
        news_weight=None if news is None else question.news_weight,
    )
    return Gathered(inputs, expiry, shadow)


async def _market_inputs(question: Question, call: Call) -> _MarketInputs:
    """Return the market, the features, and why either is missing."""
    market: Market | None = None
    try:
        data = await call.request(
            "market-data", "get_market_data", GetMarketData(question.symbol), MarketData, idempotent=True
        )
        market = market_of(data)
        bars = await _bars_of(question.symbol, call)
    except RpcError as error:
        if error.code not in NO_MARKET_DATA:
            raise
        return _MarketInputs(market, missing={MARKET_DATA: error.code, MODEL: error.code})
    names = question.feature_names or recipe_features(question.model_name)
    basket: dict[str, str] | None = None
    market_moves: Basket = {}
    if needs_basket(names):
        basket, market_moves = await _basket(question, bars.bars, call)
    try:
        row = (question.rows or Rows()).features(bars, names, basket, market_moves)
    except NotEnoughBars:
        return _MarketInputs(market, bars.revision, basket, missing={MODEL: "NOT_ENOUGH_BARS"})
    if not moves([bar.close for bar in bars.bars]):
        # Asked about constants, a model would answer about them.
        return _MarketInputs(market, bars.revision, basket, missing={MODEL: NO_MOVEMENT})
    asked = None if basket is None else market_moves
    return _MarketInputs(market, bars.revision, basket, row, bars=bars.bars, moves=asked)


async def _bars_of(symbol: str, call: Call) -> Bars:
    """Return as many bars as features look back over."""
    return await call.request("market-data", "get_bars", GetBars(symbol, count=WINDOW), Bars, idempotent=True)


async def _basket(question: Question, own: list[Bar], call: Call) -> tuple[dict[str, str], Basket]:
    """Return the revisions of the other symbols' bars, and the market's own moves; who has no bars is left out."""
    revisions: dict[str, str] = {}
    histories = [own]
    for symbol in question.basket:
        if symbol == question.symbol:
            continue
        try:
            told = await _bars_of(symbol, call)
        except RpcError as error:
            if error.code not in NO_MARKET_DATA | {"UNKNOWN_SYMBOL"}:
                raise
            continue
        revisions[symbol] = told.revision
        histories.append(told.bars)
    return revisions, basket_of(histories)


async def _news_of(question: Question, call: Call) -> tuple[News | None, str]:
    """Return what sentiment says of a symbol, or why there is nothing.

    A replay waits for sentiment, or its decisions would depend on when it started; live, a decision goes on without.
    """
    if not question.news_declared:
        return None, "NOT_SERVED"
    try:
        told = await call.request(
            "sentiment",
            "analyze_sentiment",
            AnalyzeSentiment(question.symbol),
            SymbolSentiment,
            idempotent=True,
            budget=NEWS_SECONDS if call.run == LIVE else None,
        )
    except RpcError as error:
        if call.run != LIVE and question.slot is not None and error.code in AWAY:
            raise
        return None, error.code
    return news_of(told), told.reason or "NO_NEWS"


async def _quality_of(question: Question, call: Call) -> tuple[Quality | None, str]:
    """Return what data-quality says of a symbol's bars, or why there is nothing.

    A slot waits for data-quality: without it, its decisions could open no position. Other decisions go on without.
    """
    asked = GetQuality([question.symbol])
    try:
        told = await call.request("data-quality", "get_quality", asked, Qualities, idempotent=True)
    except RpcError as error:
        if question.slot is not None and error.code in AWAY:
            raise
        return None, error.code
    found = told.symbols[question.symbol]
    return Quality(found.quality_score, [finding.rule for finding in found.findings], found.revision), ""


class _ModelAnswer(NamedTuple):
    """A probability, or None and why; and which model expires when."""

    model: Probability | None
    why: str
    expiry: Expiry
    shadow: ShadowModel | None = None


async def _model_of(question: Question, row: dict[str, float], call: Call) -> _ModelAnswer:
    """Return the model's probability for a row of features, or why there is none."""
    try:
        found = await _ask_model(Predict(question.model_name, row, question.symbol), call)
    except RpcError as error:
        if error.code not in NO_MODEL and (question.wait_for_model or error.code not in MODEL_AWAY):
            raise
        return _ModelAnswer(None, error.code, expiry_in(error.detail))
    return _ModelAnswer(_recorded(found), "", Expiry(found.version, found.expires_on, found.novelty), found.shadow)


async def _shadow_score(
    question: Question, shadow: ShadowModel, found: _MarketInputs, call: Call
) -> ShadowScore | None:
    """Return what the model in shadow says of the same bars, None where it says nothing: no decision waits for it."""
    try:
        row = found.features
        if set(row) != set(shadow.features):
            moved = found.moves
            if moved is None and needs_basket(shadow.features):
                _, moved = await _basket(question, found.bars, call)
            row = features(found.bars, shadow.features, moved or {})
        told = await _ask_model(Predict(shadow.model_name, row, question.symbol, shadow.version), call)
    except (RpcError, NotEnoughBars, LookupError) as error:
        _log.info("the model in shadow, %s, says nothing of %s: %s", shadow.version[:12], question.symbol, error)
        return None
    base_rate = FALLBACK_BASE_RATE if told.base_rate is None else told.base_rate
    return ShadowScore(told.version, told.model_name, told.horizon_sessions, told.probability, base_rate)


async def ask_model(name: str, symbol: str, row: dict[str, float], call: Call, version: str) -> Probability:
    """Return the probability that a version of a model gives for a row of features, as it is recorded."""
    return _recorded(await _ask_model(Predict(name, row, symbol, version), call))


async def _ask_model(request: Predict, call: Call) -> Probability:
    return await call.request("ml-model", "predict", request, Probability, idempotent=True)


def _recorded(found: Probability) -> Probability:
    # The version says when it expires; records from before that was told stay equal.
    return msgspec.structs.replace(found, expires_on=None, shadow=None, novelty=None)


def expiry_in(detail: Mapping[str, Any]) -> Expiry:
    """Return which model has expired and when, from the details of an error; nothing of an error about others."""
    try:
        return Expiry(str(detail["version"]), date.fromisoformat(str(detail["expires_on"])))
    except (KeyError, ValueError):
        return NO_EXPIRY


def stale_sessions(market: Market, calendar: Calendar, as_of: datetime) -> int:
    """Return how many sessions have closed since the newest bar's."""
    return calendar.sessions_between(market.last_session, calendar.previous_session(as_of).day)
