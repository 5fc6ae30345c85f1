"""How a waiting order meets its open: in which turn, with how many shares, filled, refused or cancelled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from bellwether.trading.book import Book, cost_of_sold
from bellwether.trading.codes import Code
from bellwether.trading.decide import names
from bellwether.trading.events import LedgerEvent, OrderCancelled, OrderFilled, OrderQueued, OrderReduced, Refused
from bellwether.trading.guards import REDUCING, Candidate, Conditions, Situation, Verdict, judge
from bellwether.trading.pricing import ZERO, Quote, most_shares, quote


class AtOpen(Protocol):
    """What is known when a session opens."""

    @property
    def session(self) -> date:
        """Its day."""

    @property
    def prices(self) -> Mapping[str, Decimal]:
        """Opening prices by symbol; a symbol without one is left out."""

    @property
    def final(self) -> bool:
        """False while prices may still arrive."""

    @property
    def at(self) -> datetime | None:
        """Its instant, at which a prediction has to hold whenever the price became known; None: that of the open."""


class Released(NamedTuple):
    """What became of one order: its events (none while it has to wait), and the guards that were passed."""

    events: tuple[LedgerEvent, ...]
    guards: tuple[str, ...]


def by_turn(orders: Iterable[OrderQueued]) -> list[OrderQueued]:
    """Return orders in the turn in which they are filled, so that cash which is short goes by a declared rule.

    Sales come first. Then purchases by hand, then those of predictions, the strongest signal first; where that does not
    decide, by symbol.
    """
    return sorted(
        orders,
        key=lambda one: (one.side == "BUY", one.reason == "signal", -one.strength, one.symbol, one.at, one.order_id),
    )


def release(book: Book, order: OrderQueued, conditions: Conditions, opening: AtOpen) -> Released:
    """Return the fill, refusal or cancellation of one order.

    A purchase that a prediction asked for is made as small as the limit on a position's value and the cash ask for; it
    is refused where not even one share is left.
    """
    now = conditions.now
    if order.session < opening.session:
        return Released((cancelled(order, now, Code.ORDER_EXPIRED, str(opening.session), str(order.session)),), ())
    price = opening.prices.get(order.symbol, ZERO)
    if price <= 0:
        if not opening.final:
            return Released((), ())
        return Released(
            (cancelled(order, now, Code.NO_OPENING_PRICE, "none", f"an opening price on {order.session}"),), ()
        )
    sized = _sized(order, _situation(book, order, conditions, opening), conditions)
    if sized.verdict.code is not None:
        return Released((_refused(order, now, sized.verdict),), names(sized.verdict.passed))
    events: list[LedgerEvent] = []
    if sized.limit is not None:
        events.append(_reduced(order, now, sized))
    events.append(_filled(book, order, sized, now))
    return Released(tuple(events), names(sized.verdict.passed))


def cancelled(order: OrderQueued, now: datetime, code: Code, value: str, limit: str) -> OrderCancelled:
    """Return the event of an order that will not be filled."""
    return OrderCancelled(
        at=now, order_id=order.order_id, symbol=order.symbol, code=code.name, value=value, limit=limit
    )


@dataclass(frozen=True, slots=True)
class _Sized:
    """The size of an order: the last verdict, on this quantity, and the one of the limit that made it smaller."""

    quantity: Decimal
    cost: Quote
    verdict: Verdict
    limit: Verdict | None = None


def _sized(order: OrderQueued, situation: Situation, conditions: Conditions) -> _Sized:
    rules, limit, quantity = conditions.rules, None, order.quantity
    while True:
        cost = quote(order.side, quantity, situation.price, rules)
        verdict = judge(situation, Candidate(order.side, quantity, cost))
        if verdict.code not in REDUCING or order.reason != "signal":
            return _Sized(quantity, cost, verdict, limit)
        room = rules.max_position_value - situation.held_value
        money = room if verdict.code is Code.POSITION_VALUE_EXCEEDED else situation.cash
        fitting = most_shares(
            money, situation.price, rules, with_commission=verdict.code is not Code.POSITION_VALUE_EXCEEDED
        )
        if fitting < 1:
            return _Sized(quantity, cost, verdict, limit)
        limit, quantity = verdict, fitting


def _refused(order: OrderQueued, now: datetime, verdict: Verdict) -> Refused:
    return Refused(
        at=now,
        prediction_id=order.prediction_id,
        order_id=order.order_id,
        symbol=order.symbol,
        code="" if verdict.code is None else verdict.code.name,
        value=verdict.objection.value,
        limit=verdict.objection.limit,
        stage="open",
        session=order.session,
    )


def _reduced(order: OrderQueued, now: datetime, sized: _Sized) -> OrderReduced:
    limit = sized.limit or sized.verdict
    return OrderReduced(
        at=now,
        order_id=order.order_id,
        symbol=order.symbol,
        session=order.session,
        asked=order.quantity,
        quantity=sized.quantity,
        code="" if limit.code is None else limit.code.name,
        value=limit.objection.value,
        limit=limit.objection.limit,
    )


def _filled(book: Book, order: OrderQueued, sized: _Sized, now: datetime) -> OrderFilled:
    realised, commission = ZERO, sized.cost.commission
    if order.side == "SELL":
        realised = sized.cost.value - cost_of_sold(book.holdings[order.symbol], sized.quantity)
        # Selling is never refused, so what is worth less than its commission costs what there is.
        commission = min(commission, book.cash + sized.cost.value)
    return OrderFilled(
        at=now,
        order_id=order.order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=sized.quantity,
        price=sized.cost.price,
        commission=commission,
        realised=realised,
        session=order.session,
    )


def _situation(book: Book, order: OrderQueued, conditions: Conditions, opening: AtOpen) -> Situation:
    price = opening.prices[order.symbol]
    held = book.held(order.symbol)
    value = sum(
        (
            holding.quantity * opening.prices.get(symbol, book.prices.get(symbol, ZERO))
            for symbol, holding in book.holdings.items()
        ),
        ZERO,
    )
    others = [one for one in book.queued.values() if one.order_id != order.order_id]
    # Orders of this session that are still to come do not count yet: each is judged in its turn.
    earlier = book.order_counts.get(order.session, 0) - sum(1 for one in others if one.session == order.session) - 1
    # A bar that came late tells the price of an open at which the prediction held.
    moment = conditions.now if opening.at is None else min(conditions.now, opening.at)
    return Situation(
        conditions=replace(conditions, now=moment),
        reason=order.reason,
        symbol=order.symbol,
        side=order.side,
        price=price,
        may_trade=True,
        valid_until=order.valid_until,
        held=held,
        held_value=held * price,
        # A second order of the same side is judged by what is held when its turn comes.
        queued_sides=frozenset(),
        cash=book.cash,
        session_orders=earlier,
        loss=book.loss_at(book.cash + value),
    )
