"""What a decision is computed from, asked of the services that own it (I/O, nothing is decided here)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from bellwether.market.sessions import Calendar, Session
from bellwether.messages.envelope import LIVE
from bellwether.messages.market_data import Bars, GetWindows, Window, Windows
from bellwether.messages.models import Predict, Predicted, Predictions, PredictMany, Probability, ShadowModel
from bellwether.messages.quality import GetQuality
from bellwether.messages.quality import Quality as Qualities
from bellwether.messages.sentiment import AnalyzeSentiment, SymbolSentiment
from bellwether.prediction.asking import ask, expiry_in, recorded
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
from bellwether.training.features import MOVE, WINDOW, NotEnoughBars, basket_of, features, moves, needs_basket
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
MODEL_UNAVAILABLE = frozenset({"MODEL_NOT_READY", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""The model may come: what is made for looking at goes on without it, what belongs to a slot waits."""

ASKED_AGAIN = MODEL_UNAVAILABLE | {"OVERLOADED", "STOPPING", "NOT_READY"}
"""Answers that say a service is unreachable: asked again, it may answer."""
MOST_ASKED = 20
"""Symbols whose bars are asked for at once: a reply has room for those of some more."""
NEWS_SECONDS = 5.0
"""How long a live decision waits for news."""


class Recent:
    """The newest bars of each symbol and the features made of them: a session asks for both twice."""

    def __init__(self) -> None:
        self.bars: dict[str, Bars] = {}
        self._rows: dict[str, tuple[tuple[Any, ...], dict[str, float]]] = {}

    def features(
        self, bars: Bars, names: Sequence[str], basket: Mapping[str, str] | None, moved: Basket
    ) -> dict[str, float]:
        """Return the features as of the last of these bars; `basket` holds the revisions that `moved` is made of.

        Raises:
            NotEnoughBars: as `training.features`.
        """
        key = (bars.revision, tuple(names), None if basket is None else tuple(basket.items()))
        kept = self._rows.get(bars.symbol)
        if kept is None or kept[0] != key:
            kept = self._rows[bars.symbol] = (key, features(bars.bars, names, moved))
        return kept[1]


class Question(msgspec.Struct, frozen=True):
    """Decisions to be made at one instant, about several symbols."""

    symbols: tuple[str, ...]
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
    recent: Recent = msgspec.field(default_factory=Recent)
    """The bars and features that were asked for last."""
    feature_names: tuple[str, ...] | None = None
    """What the model's recipe names; None: its file is read."""


class _MarketInputs(msgspec.Struct, frozen=True):
    """What market-data said of a symbol, and the features made of it: empty where no model is to be asked."""

    symbol: str
    market: Market | None = None
    revision: str | None = None
    basket: dict[str, str] | None = None
    features: dict[str, float] = {}
    missing: dict[str, str] = {}
    bars: Bars | None = None
    moves: Basket | None = None
    """The market's own moves; None: no feature asked for them."""


class Gathered(NamedTuple):
    """The inputs of a decision, and what is reported beside it: no part of its record."""

    inputs: Inputs
    expiry: Expiry
    shadow: ShadowScore | None


async def gather_inputs(
    question: Question, calendar: Calendar, call: Call, works: Mapping[str, Call]
) -> dict[str, Gathered | Exception]:
    """Return by symbol the inputs of a decision with what is missing and why, or the error that there are none for.

    Each service is asked once for all symbols. `works` holds each symbol's own work, whose trace its answers join.
    The error is an RpcError when a service is unreachable, or does not know the symbol.
    """
    contexts = {symbol: trace for symbol, work in works.items() if (trace := work.trace_context) is not None}
    batch = _Batch(question, calendar, call, works, contexts)
    market = await _market_inputs(batch)
    models = await _models_of(batch, market)
    quality = await _quality_of(batch, [symbol for symbol in market if symbol not in batch.failed])
    left = [symbol for symbol in market if symbol not in batch.failed]
    target = calendar.next_session(question.as_of)

    async def finish(symbol: str) -> Gathered | Exception:
        try:
            return await _finish(batch, target, market[symbol], models[symbol], quality[symbol])
        except Exception as error:
            return error

    if question.news_declared:
        finished = await asyncio.gather(*map(finish, left))
    else:
        finished = [await finish(symbol) for symbol in left]
    return {**batch.failed, **dict(zip(left, finished, strict=True))}


class _Batch(msgspec.Struct, frozen=True):
    """A question, whose work each of its decisions is, and which of them failed."""

    question: Question
    calendar: Calendar
    call: Call
    works: Mapping[str, Call]
    contexts: Mapping[str, str]
    failed: dict[str, Exception] = {}

    def traces(self, symbols: Iterable[str]) -> dict[str, str]:
        """Return the trace contexts of those symbols whose decisions are traced."""
        return {symbol: self.contexts[symbol] for symbol in symbols if symbol in self.contexts}


async def _finish(
    batch: _Batch, target: Session, found: _MarketInputs, answer: _ModelAnswer, judged: tuple[Quality | None, str]
) -> Gathered:
    question, symbol, work = batch.question, found.symbol, batch.works[found.symbol]
    missing = dict(found.missing)
    shadow: ShadowScore | None = None
    if answer.shadow is not None:
        shadow = await _shadow_score(batch, answer.shadow, found, work)
    if found.features and answer.model is None:
        missing[MODEL] = answer.why
    quality, why = judged
    if quality is None:
        missing[QUALITY] = why
    news, why = await _news_of(question, symbol, work)
    if news is None:
        missing[SENTIMENT] = why
    inputs = Inputs(
        symbol=symbol,
        as_of=question.as_of,
        slot=question.slot,
        target_session=target.day,
        valid_until=target.close,
        trade_asked=question.trade_asked,
        model_name=question.model_name,
        market=found.market,
        stale_sessions=0 if found.market is None else stale_sessions(found.market, batch.calendar, question.as_of),
        bars_revision=found.revision,
        features=found.features,
        model=answer.model,
        quality=quality,
        missing=missing,
        news=news,
        basket=found.basket,
        news_weight=None if news is None else question.news_weight,
    )
    return Gathered(inputs, answer.expiry, shadow)


async def _market_inputs(batch: _Batch) -> dict[str, _MarketInputs]:
    """Return by symbol the market, the features, and why either is missing."""
    question = batch.question
    names = question.feature_names or recipe_features(question.model_name)
    together = needs_basket(names)
    try:
        windows = await _windows(batch, [*question.symbols, *(question.basket if together else ())])
    except RpcError as error:
        batch.failed.update(dict.fromkeys(question.symbols, error))
        return {}
    found: dict[str, _MarketInputs] = {}
    for symbol in question.symbols:
        try:
            found[symbol] = _market_input(question, symbol, windows, names, together=together)
        except Exception as error:
            batch.failed[symbol] = error
    return found


async def _windows(batch: _Batch, symbols: Iterable[str]) -> dict[str, Window]:
    """Return state and bars of symbols: as many bars as features look back over."""
    wanted, kept = list(dict.fromkeys(symbols)), batch.question.recent.bars
    found: dict[str, Window] = {}
    for start in range(0, len(wanted), MOST_ASKED):
        asked = wanted[start : start + MOST_ASKED]
        known = {symbol: kept[symbol] for symbol in asked if symbol in kept}
        revisions = {symbol: bars.revision for symbol, bars in known.items()}
        request = GetWindows(asked, WINDOW, revisions, batch.traces(asked))
        reply = await batch.call.request("market-data", "get_windows", request, Windows, idempotent=True)
        for symbol, window in reply.symbols.items():
            bars = window.bars
            if bars is not None and not bars.bars and bars.revision == revisions.get(symbol):
                bars = known[symbol]
            if bars is not None:
                kept[symbol] = bars
            found[symbol] = Window(window.market, bars, window.code, window.message)
    return found


def _market_input(
    question: Question, symbol: str, windows: Mapping[str, Window], names: Sequence[str], *, together: bool
) -> _MarketInputs:
    window = windows[symbol]
    if window.code and window.code not in NO_MARKET_DATA:
        raise RpcError(window.code, window.message, symbol=symbol)
    if window.market is None or window.bars is None:
        return _MarketInputs(symbol, missing={MARKET_DATA: window.code, MODEL: window.code})
    market, bars = market_of(window.market), window.bars
    basket: dict[str, str] | None = None
    market_moves: Basket = {}
    if together:
        basket, market_moves = _basket(question, bars, windows)
    try:
        row = question.recent.features(bars, names, basket, market_moves)
    except NotEnoughBars:
        return _MarketInputs(symbol, market, bars.revision, basket, missing={MODEL: "NOT_ENOUGH_BARS"})
    if not moves([bar.close for bar in bars.bars[-MOVE:]]):
        # Asked about constants, a model would answer about them.
        return _MarketInputs(symbol, market, bars.revision, basket, missing={MODEL: NO_MOVEMENT})
    asked = None if basket is None else market_moves
    return _MarketInputs(symbol, market, bars.revision, basket, row, bars=bars, moves=asked)


def _basket(question: Question, own: Bars, windows: Mapping[str, Window]) -> tuple[dict[str, str], Basket]:
    """Return the revisions of the other symbols' bars, and the market's own moves; who has no bars is left out."""
    revisions: dict[str, str] = {}
    histories = [own.bars]
    for symbol in question.basket:
        if symbol == own.symbol:
            continue
        window = windows[symbol]
        if window.bars is None:
            if window.code not in NO_MARKET_DATA | {"UNKNOWN_SYMBOL"}:
                raise RpcError(window.code, window.message, symbol=symbol)
            continue
        revisions[symbol] = window.bars.revision
        histories.append(window.bars.bars)
    return revisions, basket_of(histories)


async def _news_of(question: Question, symbol: str, call: Call) -> tuple[News | None, str]:
    """Return what sentiment says of a symbol, or why there is nothing.

    A replay waits for sentiment, or its decisions would depend on when it started; live, a decision goes on without.
    """
    if not question.news_declared:
        return None, "NOT_SERVED"
    asked = AnalyzeSentiment(symbol)
    budget = NEWS_SECONDS if call.run == LIVE else None
    try:
        reply = await call.request(
            "sentiment", "analyze_sentiment", asked, SymbolSentiment, idempotent=True, budget=budget
        )
    except RpcError as error:
        if call.run != LIVE and question.slot is not None and error.code in ASKED_AGAIN:
            raise
        return None, error.code
    return news_of(reply), reply.reason or "NO_NEWS"


async def _quality_of(batch: _Batch, symbols: list[str]) -> dict[str, tuple[Quality | None, str]]:
    """Return by symbol what data-quality says of its bars, or why there is nothing.

    A slot waits for data-quality: without it, its decisions could open no position. Other decisions go on without.
    """
    if not symbols:
        return {}
    asked = GetQuality(symbols, batch.traces(symbols))
    try:
        reply = await batch.call.request("data-quality", "get_quality", asked, Qualities, idempotent=True)
    except RpcError as error:
        if batch.question.slot is not None and error.code in ASKED_AGAIN:
            batch.failed.update(dict.fromkeys(symbols, error))
        return dict.fromkeys(symbols, (None, error.code))
    found: dict[str, tuple[Quality | None, str]] = {}
    for symbol in symbols:
        one = reply.symbols[symbol]
        found[symbol] = Quality(one.quality_score, [finding.rule for finding in one.findings], one.revision), ""
    return found


class _ModelAnswer(NamedTuple):
    """A probability, or None and why; and which model expires when."""

    model: Probability | None
    why: str
    expiry: Expiry
    shadow: ShadowModel | None = None


NOT_ASKED = _ModelAnswer(None, "", NO_EXPIRY)


async def _models_of(batch: _Batch, found: Mapping[str, _MarketInputs]) -> dict[str, _ModelAnswer]:
    """Return by symbol the model's probability for its row of features, or why there is none."""
    answers = dict.fromkeys(found, NOT_ASKED)
    asked = [symbol for symbol, one in found.items() if one.features]
    if not asked:
        return answers
    question, traces = batch.question, batch.traces(asked)
    request = PredictMany(
        [Predict(question.model_name, found[symbol].features, symbol) for symbol in asked],
        [traces.get(symbol, "") for symbol in asked] if traces else [],
    )
    try:
        reply = (await batch.call.request("ml-model", "predict_many", request, Predictions, idempotent=True)).rows
    except RpcError as error:
        reply = [Predicted(None, error.code, error.message, error.detail)] * len(asked)
    for symbol, one in zip(asked, reply, strict=True):
        said = one.probability
        if said is not None:
            expiry = Expiry(said.version, said.expires_on, said.novelty)
            answers[symbol] = _ModelAnswer(recorded(said), "", expiry, said.shadow)
        elif one.code in NO_MODEL or (one.code in MODEL_UNAVAILABLE and not question.wait_for_model):
            answers[symbol] = _ModelAnswer(None, one.code, expiry_in(one.detail))
        else:
            batch.failed[symbol] = RpcError(one.code, one.message, **one.detail)
    return answers


async def _shadow_score(batch: _Batch, shadow: ShadowModel, found: _MarketInputs, work: Call) -> ShadowScore | None:
    """Return what the model in shadow says of the same bars, None where it says nothing: no decision waits for it."""
    try:
        row = found.features
        if set(row) != set(shadow.features) and found.bars is not None:
            moved = found.moves
            if moved is None and needs_basket(tuple(shadow.features)):
                _, moved = _basket(batch.question, found.bars, await _windows(batch, batch.question.basket))
            row = features(found.bars.bars, shadow.features, moved or {})
        reply = await ask(Predict(shadow.model_name, row, found.symbol, shadow.version), work)
    except (RpcError, NotEnoughBars, LookupError) as error:
        _log.info("the model in shadow, %s, says nothing of %s: %s", shadow.version[:12], found.symbol, error)
        return None
    base_rate = FALLBACK_BASE_RATE if reply.base_rate is None else reply.base_rate
    return ShadowScore(reply.version, reply.model_name, reply.horizon_sessions, reply.probability, base_rate)


def stale_sessions(market: Market, calendar: Calendar, as_of: datetime) -> int:
    """Return how many sessions have closed since the newest bar's."""
    return calendar.sessions_between(market.last_session, calendar.previous_session(as_of).day)
