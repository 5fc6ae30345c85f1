"""How a waiting order meets its open: in which turn, with how many shares, sent, refused or cancelled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from bellwether.broker.values import MarketState
from bellwether.messages.fields import from_fields
from bellwether.messages.market_data import CorporateAction
from bellwether.trading.book import Book
from bellwether.trading.codes import Code
from bellwether.trading.events import LedgerEvent, OrderCancelled, OrderQueued, OrderReduced, Refused
from bellwether.trading.guards import REDUCING, Verdict, judge
from bellwether.trading.pricing import ZERO, most_shares, quote
from bellwether.trading.situation import Candidate, Circumstances, Situation


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known when a session opens.

    Attributes:
        session: its day.
        prices: opening prices by symbol; a symbol without one is left out.
        actions: splits and dividends effective before this open, those of missed sessions included.
        final: False while prices may still arrive: orders without one then stay queued, and the open is not done.
        at: its instant, at which a prediction has to hold whenever the price became known; None: that of the open.
    """

    session: date
    prices: Mapping[str, Decimal]
    actions: Sequence[CorporateAction]
    final: bool = True
    at: datetime | None = None


class Released(NamedTuple):
    """What becomes of one order: its events, and how many shares are to be sent; 0 and no events: it has to wait."""

    events: tuple[LedgerEvent, ...] = ()
    send: Decimal = ZERO


def by_turn(orders: Iterable[OrderQueued]) -> list[OrderQueued]:
    """Return orders in the turn in which they are filled, so that cash which is short goes by a declared rule.

    Sales come first. Then purchases by hand, then those of predictions, the strongest signal first; where that does not
    decide, by symbol.
    """
    return sorted(
        orders,
        key=lambda one: (one.side == "BUY", one.reason == "signal", -one.strength, one.symbol, one.at, one.order_id),
    )


def release(
    book: Book, order: OrderQueued, circumstances: Circumstances, opening: Opening, market: MarketState | None = None
) -> Released:
    """Return whether an order is to be sent now, with how many shares, or its refusal or cancellation.

    A purchase that a prediction asked for is made as small as the limit on a position's value and the cash ask for; it
    is refused where not even one share is left. `market` is what the broker says; without it the opening price decides.
    """
    now = circumstances.now
    if order.session < opening.session:
        return Released((cancelled(order, now, Code.ORDER_EXPIRED, str(opening.session), str(order.session)),))
    if order.approval:
        limit = f"an approval before {order.session} opens"
        return Released((cancelled(order, now, Code.NOT_APPROVED, "not approved", limit),))
    price = opening.prices.get(order.symbol, ZERO) if market is None else market.price
    if price <= 0 or (market is not None and not market.tradeable):
        if not opening.final and not (market is not None and market.final):
            return Released()
        limit = f"an opening price on {order.session}"
        return Released((cancelled(order, now, Code.NO_OPENING_PRICE, "none", limit),))
    sized = _sized(order, _situation(book, order, circumstances, opening, price), circumstances)
    if sized.verdict.code is not None:
        code, value, limit = sized.verdict.refusal
        return Released((from_fields(Refused, order, at=now, code=code, value=value, limit=limit, stage="open"),))
    events = () if sized.limit is None else (_reduced(book, order, now, sized.limit, sized.quantity),)
    return Released(events, sized.quantity)


def cancelled(order: OrderQueued, now: datetime, code: Code, value: str, limit: str) -> OrderCancelled:
    """Return the event of an order that will not be filled."""
    return OrderCancelled(
        at=now, order_id=order.order_id, symbol=order.symbol, code=code.name, value=value, limit=limit
    )


@dataclass(frozen=True, slots=True)
class _Sized:
    """The size of an order: the last verdict, on this quantity, and the one of the limit that made it smaller."""

    quantity: Decimal
    verdict: Verdict
    limit: Verdict | None = None


def _sized(order: OrderQueued, situation: Situation, circumstances: Circumstances) -> _Sized:
    rules, limit, quantity = circumstances.rules, None, order.quantity
    while True:
        cost = quote(order.side, quantity, situation.price, rules)
        verdict = judge(situation, Candidate(order.side, quantity, cost))
        if verdict.code is None or verdict.code not in REDUCING or order.reason != "signal":
            return _Sized(quantity, verdict, limit)
        of_cash = verdict.code is Code.INSUFFICIENT_CASH
        fitting = most_shares(_room(verdict.code, situation), situation.price, rules, with_commission=of_cash)
        if fitting < 1:
            return _Sized(quantity, verdict, limit)
        limit, quantity = verdict, fitting


def _room(code: Code, situation: Situation) -> Decimal:
    """Return how much money the limit that objected leaves for an order."""
    rules = situation.rules
    if code is Code.POSITION_VALUE_EXCEEDED:
        return rules.max_position_value - situation.held_value
    if code is Code.GROSS_EXPOSURE_EXCEEDED and rules.max_gross_exposure is not None:
        return rules.max_gross_exposure - situation.exposure
    if code is Code.TURNOVER_EXCEEDED and rules.max_turnover is not None:
        return rules.max_turnover - situation.turnover
    return situation.cash


def _reduced(book: Book, order: OrderQueued, now: datetime, limit: Verdict, quantity: Decimal) -> OrderReduced:
    code, value, bound = limit.refusal
    again = book.reductions.get(order.order_id, 0)
    said = {"code": code, "value": value, "limit": bound}
    return from_fields(OrderReduced, order, at=now, asked=order.quantity, quantity=quantity, again=again, **said)


def _situation(
    book: Book, order: OrderQueued, circumstances: Circumstances, opening: Opening, price: Decimal
) -> Situation:
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
    now = circumstances.now if opening.at is None else min(circumstances.now, opening.at)
    return Situation(
        circumstances=replace(circumstances, now=now),
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
        drawdown=book.drawdown_at(book.cash + value),
        # Orders that are still to come are judged in their turn, by what is held then.
        exposure=value,
        turnover=book.turnover.get(order.session, ZERO),
        sized_by=order.price,
        session=order.session,
        model_expires_on=order.model_expires_on,
    )
