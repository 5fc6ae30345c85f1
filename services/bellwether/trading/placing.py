"""From a decision to an order or a refusal, and from a session's open and close to what the ledger records. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from bellwether.messages.fields import from_fields
from bellwether.messages.prediction import BUY_ACTIONS, SELL_ACTIONS, Prediction
from bellwether.messages.trading import Side
from bellwether.trading.book import Book, Holding
from bellwether.trading.codes import Code
from bellwether.trading.events import LedgerEvent, OrderQueued, Reason, Refused, Stage
from bellwether.trading.guards import NOTHING_TO_DO, REDUCING, Objection, Verdict, judge
from bellwether.trading.pricing import ONE, ZERO, exact_price, quote, whole_shares
from bellwether.trading.rules import Rules
from bellwether.trading.situation import Candidate, Circumstances, News, Novelty, Quality, Situation

SIDE_OF_REASON: dict[Reason, Side] = {"signal": "BUY", "sell_signal": "SELL"}
BY_RULE: frozenset[Reason] = frozenset({"stop_loss", "trailing_stop", "take_profit", "horizon"})
"""Reasons of exits that a declared rule asks for: they wait for nobody's approval."""


class Placement(NamedTuple):
    """What became of a decision: `guards` are the codes of the guards it passed, `refused` what the next one said.

    A refusal without an event says that there is nothing to do: it stays with the decision and is no fact of the
    ledger.
    """

    outcome: Literal["order", "refused", "ignored"]
    events: tuple[LedgerEvent, ...]
    guards: tuple[str, ...]
    order_id: str | None
    refused: Verdict | None = None


class Origin(msgspec.Struct, frozen=True):
    """Where an order comes from: the decision, its model and its trace; all empty for an order by hand."""

    prediction_id: str | None = None
    model_name: str = ""
    model_version: str = ""
    trace_id: str = ""
    traceparent: str = ""
    valid_until: datetime | None = None
    model_expires_on: date | None = None


class OrderIntent(msgspec.Struct, frozen=True):
    """What asks for an order: `quantity` None leaves the size to the rules."""

    order_id: str
    reason: Reason
    symbol: str
    side: Side
    session: date
    price: Decimal
    quantity: Decimal | None
    may_trade: bool
    origin: Origin
    bar_session: date | None = None
    """Session of the bar that `price` is the close of."""
    quality: Quality | None = None
    """Of the data behind a prediction; None for what no prediction asks for."""
    news: News | None = None
    """About the symbol, that a prediction was made with."""
    novelty: Novelty | None = None
    """How unlike the training rows a prediction's inputs are; None for what no model was asked for."""
    strength: float = 0.0
    """Of a signal to buy: by how much its probability is above the base rate."""


def order_id_of(kind: str, source: str) -> str:
    """Return the order id that this source always gets: 30 characters that any broker takes as a reference."""
    return "bw-" + hashlib.sha256(f"{kind}\n{source}".encode()).hexdigest()[:27]


def intent_of(prediction: Prediction, traceparent: str) -> OrderIntent | None:
    """Return what a prediction asks for; none for HOLD."""
    reason: Reason
    if prediction.action in BUY_ACTIONS:
        reason = "signal"
    elif prediction.action in SELL_ACTIONS:
        reason = "sell_signal"
    else:
        return None
    real = prediction.market_data_available
    return OrderIntent(
        order_id=order_id_of("prediction", prediction.prediction_id),
        reason=reason,
        symbol=prediction.symbol,
        side=SIDE_OF_REASON[reason],
        session=prediction.target_session,
        price=exact_price(prediction.current_price) if real else ZERO,
        quantity=None,
        may_trade=prediction.may_trade,
        origin=Origin(
            prediction_id=prediction.prediction_id,
            model_name=prediction.model_name,
            model_version=prediction.model_version,
            trace_id=prediction.trace_id,
            traceparent=traceparent,
            valid_until=prediction.valid_until,
            model_expires_on=prediction.model_expires_on,
        ),
        bar_session=prediction.bar_session if real else None,
        quality=quality_of(prediction.quality_score, prediction.quality_issues),
        novelty=Novelty(prediction.novelty) if prediction.model_available else None,
        news=news_of(prediction),
        strength=strength_of(prediction) if reason == "signal" else 0.0,
    )


def quality_of(score: float | None, rules: Sequence[str]) -> Quality:
    """Return a quality score as the guards compare it."""
    return Quality(None if score is None else Decimal(str(score)), tuple(rules))


def news_of(prediction: Prediction) -> News | None:
    """Return the news of a prediction as the guard compares it; None where there was none."""
    if not prediction.sentiment_data_available:
        return None
    score, confidence = Decimal(str(prediction.sentiment_score)), Decimal(str(prediction.news_confidence))
    return News(score, confidence, tuple(prediction.bad_news))


def strength_of(prediction: Prediction) -> float:
    """Return how strong a signal is: the distance of its probability from the base rate, to 1e-6."""
    return round(abs(prediction.probability - prediction.base_rate), 6)


def place(prediction: Prediction, traceparent: str, book: Book, circumstances: Circumstances) -> Placement:
    """Return what a prediction leads to under these circumstances.

    HOLD and predictions made for looking at are ignored; a guard's objection is a refusal; else an order is queued
    for the prediction's target session.
    """
    intent = intent_of(prediction, traceparent)
    if intent is None:
        return Placement("ignored", (), (), None)
    return queue(intent, book, circumstances, "signal")


def queue(intent: OrderIntent, book: Book, circumstances: Circumstances, stage: Stage) -> Placement:
    """Return the queued order that an intent leads to, or the refusal."""
    now, rules = circumstances.now, circumstances.rules
    situation = situation_of(intent, book, circumstances)
    started = max(filter(None, (book.opened_session, circumstances.started_session)), default=None)
    if started is not None and intent.session <= started:
        # A message that came after its session's open, when the opening price may be known: filling it then would be
        # trading on the past.
        limit = f"a session after {started}"
        late = Verdict(Code.ORDER_EXPIRED, Objection(str(intent.session), limit), ())
        return _refused(intent, now, stage, late)
    first = judge(situation, None)
    if first.code is Code.NOT_FOR_TRADING:
        return Placement("ignored", (), first.passed, None)
    if first.code is not None:
        return _refused(intent, now, stage, first)
    quantity = _quantity(intent, book, rules)
    verdict = _judged(quantity, intent, situation)
    if verdict.code in REDUCING and intent.reason == "signal" and quantity > 1:
        # The open makes the order as small as it has to be; what is refused before is one without room for a share.
        verdict = _judged(ONE, intent, situation)
    if verdict.code is not None:
        return _refused(intent, now, stage, verdict)
    # A rule was approved by whoever declared it: a stop-loss that waits for a person is none.
    approval = rules.approval and intent.reason not in BY_RULE
    return Placement("order", (order_of(intent, quantity, now, approval=approval),), verdict.passed, intent.order_id)


def _judged(quantity: Decimal, intent: OrderIntent, situation: Situation) -> Verdict:
    return judge(
        situation, Candidate(intent.side, quantity, quote(intent.side, quantity, intent.price, situation.rules))
    )


def situation_of(intent: OrderIntent, book: Book, circumstances: Circumstances) -> Situation:
    """Return what the guards judge an intent by, before its session."""
    held, value = book.held(intent.symbol), book.positions_value
    return Situation(
        circumstances=circumstances,
        reason=intent.reason,
        symbol=intent.symbol,
        side=intent.side,
        price=intent.price,
        may_trade=intent.may_trade,
        valid_until=intent.origin.valid_until,
        held=held,
        held_value=held * intent.price,
        queued_sides=frozenset(order.side for order in book.queued.values() if order.symbol == intent.symbol),
        cash=book.cash,
        session_orders=book.order_counts.get(intent.session, 0),
        loss=book.loss_at(book.cash + value),
        bar_session=intent.bar_session,
        quality=intent.quality,
        novelty=intent.novelty,
        news=intent.news,
        session=intent.session,
        model_expires_on=intent.origin.model_expires_on,
        drawdown=book.drawdown_at(book.cash + value),
        exposure=value + waiting_value(book, side="BUY"),
        turnover=book.turnover.get(intent.session, ZERO) + waiting_value(book, session=intent.session),
    )


def waiting_value(book: Book, *, side: Side | None = None, session: date | None = None) -> Decimal:
    """Return the value of orders that wait, by the prices that they were sized with."""
    waiting = [one for one in book.queued.values() if side in (None, one.side) and session in (None, one.session)]
    return sum([one.quantity * one.price for one in waiting], ZERO)


def order_of(intent: OrderIntent, quantity: Decimal, now: datetime, *, approval: bool = False) -> OrderQueued:
    """Return the event that queues the order."""
    return from_fields(OrderQueued, intent, intent.origin, at=now, quantity=quantity, approval=approval)


def exit_reason(holding: Holding, price: Decimal, rules: Rules) -> Reason | None:
    """Return which exit rule closes a position at this closing price, None when none does.

    A loss comes before a gain, and both before the horizon: the reason that is reported is the most urgent one.
    """
    average = holding.cost / holding.quantity
    if price > 0:
        if rules.stop_loss is not None and price <= average * (1 - rules.stop_loss):
            return "stop_loss"
        if rules.trailing_stop is not None and price <= max(holding.peak, average) * (1 - rules.trailing_stop):
            return "trailing_stop"
        if rules.take_profit is not None and price >= average * (1 + rules.take_profit):
            return "take_profit"
    return "horizon" if rules.horizon_sessions and holding.closes >= rules.horizon_sessions else None


def exit_intent(reason: Reason, symbol: str, book: Book, closed: date, following: date) -> OrderIntent:
    """Return the exit of a position by a rule that held at this close, for the following session."""
    holding = book.holdings[symbol]
    return OrderIntent(
        order_id=order_id_of(reason, f"{symbol}\n{closed}"),
        reason=reason,
        symbol=symbol,
        side="SELL",
        session=following,
        price=book.prices.get(symbol, ZERO),
        quantity=holding.quantity,
        may_trade=True,
        origin=_origin_of(holding.opened_by),
    )


def _origin_of(order: OrderQueued | None) -> Origin:
    """Return where an exit comes from: the decision that opened the position, whose validity no longer matters."""
    if order is None:
        return Origin()
    return from_fields(Origin, order, valid_until=None, model_expires_on=None)


def _quantity(intent: OrderIntent, book: Book, rules: Rules) -> Decimal:
    if intent.quantity is not None:
        return intent.quantity
    if intent.side == "SELL":
        return book.held(intent.symbol)
    return whole_shares(rules, book.equity, intent.price)


def _refused(intent: OrderIntent, now: datetime, stage: Stage, verdict: Verdict) -> Placement:
    if verdict.code in NOTHING_TO_DO and intent.reason in ("signal", "sell_signal"):
        return Placement("refused", (), verdict.passed, None, verdict)
    events: list[LedgerEvent] = []
    order_id = None
    if stage == "manual":
        # Whoever asked by hand gets an order to look up; its id makes a retry meet the same answer.
        order_id = intent.order_id
        events.append(order_of(intent, ZERO if intent.quantity is None else intent.quantity, now))
    code, value, limit = verdict.refusal
    refused = from_fields(
        Refused, intent, intent.origin, at=now, order_id=order_id, code=code, value=value, limit=limit, stage=stage
    )
    return Placement("refused", (*events, refused), verdict.passed, order_id, verdict)
