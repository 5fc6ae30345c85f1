"""The account as the fold of its events: cash, positions, queued orders. Pure; the tables are its copy.

Always holds, whatever the events: initial cash + transfers + adjustments + realised + dividends - commission =
cash + cost of positions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from bellwether.trading.events import (
    AccountOpened,
    Adjusted,
    BrokerStated,
    DividendPaid,
    LedgerEvent,
    OrderApproved,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderReduced,
    OrderRejected,
    OrderSplit,
    PositionSplit,
    Refused,
    RiskReset,
    SessionMarked,
    SessionOpenDone,
    Transferred,
)
from bellwether.trading.pricing import PRICE_STEP, ZERO

ACTIONS_REMEMBERED = timedelta(days=40)
"""How long a corporate action that was applied is remembered. Longer than opens ask back for late ones."""


class Holding(msgspec.Struct, frozen=True):
    """Shares held: `cost` of all of them without commission; `closes` counts the closes since the opening fill.

    `opened_by` is the order that opened the position: its exit belongs to the same decision. `peak` is the highest
    closing price since, zero before the first close.
    """

    quantity: Decimal
    cost: Decimal
    opened: date
    closes: int = 0
    opened_by: OrderQueued | None = None
    peak: Decimal = ZERO


class Book(msgspec.Struct):
    """The state of one run's account after `seq` events."""

    seq: int = 0
    initial: Decimal = ZERO
    cash: Decimal = ZERO
    realised: Decimal = ZERO
    dividends: Decimal = ZERO
    commission: Decimal = ZERO
    transferred: Decimal = ZERO
    """Deposits less withdrawals, after the initial cash."""
    adjusted: Decimal = ZERO
    """What the broker moved for other reasons than fills."""
    holdings: dict[str, Holding] = {}
    queued: dict[str, OrderQueued] = {}
    prices: dict[str, Decimal] = {}
    """Newest known price by symbol, of those that are or were held."""
    order_counts: dict[date, int] = {}
    """Orders, queued or filled, by the session they are for; sessions that are over are dropped."""
    actions_done: frozenset[str] = frozenset()
    """Keys of the corporate actions of late, and since the newest open that missed no bar: they may come again."""
    missed: dict[str, date] = {}
    """Held symbols that the newest open had no bar of, with the first session of which they have had none."""
    closing_equity: Decimal = ZERO
    """Equity at the newest close; the initial cash before the first one."""
    session_loss: Decimal = ZERO
    """By how much equity fell over the newest closed session, from the close before it; negative for a gain."""
    opened_session: date | None = None
    closed_session: date | None = None
    peak_equity: Decimal = ZERO
    """The highest equity at a close, or the initial cash; transfers move it, too."""
    turnover: dict[date, Decimal] = {}
    """Value of the fills by session; sessions that are over are dropped."""
    margin: Decimal = ZERO
    """What the broker held back for open positions when it was last asked."""
    broker_offset: Decimal | None = None
    """The broker's balance less the cost of open positions, less our cash, when both were first compared."""
    partly: frozenset[str] = frozenset()
    """Orders of which a part was filled and the rest is not over."""
    reductions: dict[str, int] = {}
    """How often an order that waits was made smaller."""
    turned: int = 0
    """`seq` of the newest open or close."""
    fills: int = 0
    as_of: datetime | None = None

    def copied(self) -> Book:
        """Return a copy that can be changed without changing this one."""
        other = copy.copy(self)
        other.holdings = dict(self.holdings)
        other.queued = dict(self.queued)
        other.prices = dict(self.prices)
        other.order_counts = dict(self.order_counts)
        other.missed = dict(self.missed)
        other.turnover = dict(self.turnover)
        other.reductions = dict(self.reductions)
        return other

    @property
    def positions_value(self) -> Decimal:
        """Value of all positions at the newest known prices."""
        return sum(map(self.value_of, self.holdings), ZERO)

    @property
    def equity(self) -> Decimal:
        """Cash and positions at the newest known prices."""
        return self.cash + self.positions_value

    def loss_at(self, equity: Decimal) -> Decimal:
        """Return the loss that `maxDailyLoss` is held against, at an equity of this instant; negative for a gain.

        It is that since the newest close or that of the session which then closed, whichever is more: a session that
        lost too much stops the next one.
        """
        return max(self.closing_equity - equity, self.session_loss)

    def value_of(self, symbol: str) -> Decimal:
        """Return what is held of a symbol, at its newest known price."""
        holding = self.holdings.get(symbol)
        return ZERO if holding is None else holding.quantity * self.prices.get(symbol, ZERO)

    def held(self, symbol: str) -> Decimal:
        """Return how many shares of a symbol are held."""
        holding = self.holdings.get(symbol)
        return ZERO if holding is None else holding.quantity

    def imbalance(self) -> Decimal:
        """Return by how much cash and cost of positions differ from what was put in, gained and paid; 0 is right."""
        cost = sum((holding.cost for holding in self.holdings.values()), ZERO)
        came_in = self.initial + self.transferred + self.adjusted + self.realised + self.dividends
        return self.cash + cost - (came_in - self.commission)

    def drawdown_at(self, equity: Decimal) -> Decimal:
        """Return by how much an equity is below the peak, as a share of that; 0 at a new peak."""
        if self.peak_equity <= 0 or equity >= self.peak_equity:
            return ZERO
        return ((self.peak_equity - equity) / self.peak_equity).quantize(PRICE_STEP)


def fold(events: Iterable[LedgerEvent], book: Book | None = None) -> Book:
    """Return the book after these events, beginning with a copy of the given one or an empty one."""
    state = Book() if book is None else book.copied()
    for event in events:
        apply(state, event)
    return state


def cost_of_sold(holding: Holding, quantity: Decimal) -> Decimal:
    """Return the part of a holding's cost that leaves with `quantity` of its shares (average cost)."""
    if quantity >= holding.quantity:
        return holding.cost
    return (holding.cost * quantity / holding.quantity).quantize(PRICE_STEP)


def apply(book: Book, event: LedgerEvent) -> None:
    """Change the book by one event."""
    book.seq += 1
    book.as_of = event.at
    match event:
        case AccountOpened():
            book.initial = book.cash = book.closing_equity = book.peak_equity = event.cash
        case PositionSplit():
            _split(book, event)
        case DividendPaid():
            book.cash += event.cash
            book.dividends += event.cash
            book.actions_done |= {event.key}
        case SessionOpenDone():
            _open(book, event)
        case SessionMarked():
            _mark(book, event)
        case Transferred():
            _transfer(book, event.amount)
            book.transferred += event.amount
        case BrokerStated():
            book.margin = event.margin
            if book.broker_offset is None:
                book.broker_offset = event.balance - event.open_cost - book.cash
        case Adjusted():
            book.cash += event.amount
            book.adjusted += event.amount
        case RiskReset():
            book.peak_equity = book.closing_equity
        case _:
            _apply_to_order(book, event)


def _apply_to_order(book: Book, event: LedgerEvent) -> None:
    match event:
        case OrderQueued():
            book.queued[event.order_id] = event
            book.order_counts[event.session] = book.order_counts.get(event.session, 0) + 1
        case Refused(order_id=order_id):
            if order_id is not None:
                _take_out(book, order_id)
        case OrderCancelled() | OrderRejected():
            _take_out(book, event.order_id)
        case OrderApproved():
            order = book.queued[event.order_id]
            book.queued[event.order_id] = replace(order, approval=False)
        case OrderFilled():
            _fill(book, event, _taken(book, event))
        case OrderSplit() | OrderReduced():
            _resize(book, event)


def _resize(book: Book, event: OrderSplit | OrderReduced) -> None:
    order = replace(book.queued[event.order_id], quantity=event.quantity)
    if isinstance(event, OrderSplit):
        order = replace(order, price=event.price)
        book.actions_done |= {event.key}
    else:
        book.reductions[event.order_id] = book.reductions.get(event.order_id, 0) + 1
    book.queued[event.order_id] = order


def _transfer(book: Book, amount: Decimal) -> None:
    # Money that comes or goes is neither gain nor loss.
    book.cash += amount
    book.closing_equity += amount
    book.peak_equity += amount


def _taken(book: Book, event: OrderFilled) -> OrderQueued | None:
    """Take an order out of those that wait; one that is filled in part stays, with its rest."""
    order = book.queued.get(event.order_id)
    if order is None:
        return None
    if event.leaves is not None:
        book.queued[event.order_id] = replace(order, quantity=event.leaves)
        book.partly |= {event.order_id}
    else:
        _forget(book, event.order_id)
    return order


def _forget(book: Book, order_id: str) -> OrderQueued | None:
    book.partly -= {order_id}
    book.reductions.pop(order_id, None)
    return book.queued.pop(order_id, None)


def _take_out(book: Book, order_id: str) -> None:
    partly = order_id in book.partly
    order = _forget(book, order_id)
    if order is not None and not partly:
        book.order_counts[order.session] = book.order_counts.get(order.session, 1) - 1


def _fill(book: Book, event: OrderFilled, order: OrderQueued | None) -> None:
    value = event.price * event.quantity
    holding = book.holdings.get(event.symbol)
    book.fills += 1
    book.turnover[event.session] = book.turnover.get(event.session, ZERO) + value
    book.commission += event.commission
    if event.side == "BUY":
        book.cash -= value + event.commission
        if holding is None:
            book.holdings[event.symbol] = Holding(event.quantity, value, event.session, opened_by=order)
        else:
            book.holdings[event.symbol] = replace(
                holding, quantity=holding.quantity + event.quantity, cost=holding.cost + value
            )
        book.prices.setdefault(event.symbol, event.price)
        return
    if holding is None or event.quantity > holding.quantity:
        held = book.held(event.symbol)
        raise ValueError(f"order {event.order_id} sells {event.quantity} {event.symbol}, but {held} are held")
    book.cash += value - event.commission
    book.realised += event.realised
    sold = cost_of_sold(holding, event.quantity)
    if event.quantity == holding.quantity:
        del book.holdings[event.symbol]
    else:
        book.holdings[event.symbol] = replace(
            holding, quantity=holding.quantity - event.quantity, cost=holding.cost - sold
        )


def _split(book: Book, event: PositionSplit) -> None:
    holding = book.holdings[event.symbol]
    book.cash += event.cash_in_lieu
    book.realised += event.realised
    book.prices[event.symbol] = event.price
    book.actions_done |= {event.key}
    if event.quantity > 0:
        book.holdings[event.symbol] = replace(
            holding, quantity=event.quantity, cost=event.cost, peak=(holding.peak / event.ratio).quantize(PRICE_STEP)
        )
    else:
        del book.holdings[event.symbol]


def _open(book: Book, event: SessionOpenDone) -> None:
    book.opened_session = event.session
    book.turned = book.seq
    book.prices.update(event.prices)
    book.missed = {symbol: book.missed.get(symbol, event.session) for symbol in event.missed}
    if not book.missed and book.actions_done:
        oldest = str(event.session - ACTIONS_REMEMBERED)
        book.actions_done = frozenset(key for key in book.actions_done if key.rpartition(":")[2] >= oldest)


def _mark(book: Book, event: SessionMarked) -> None:
    for symbol, holding in book.holdings.items():
        peak = max(holding.peak, event.prices.get(symbol, ZERO))
        book.holdings[symbol] = replace(holding, closes=holding.closes + 1, peak=peak)
    book.prices = {symbol: price for symbol, price in book.prices.items() if symbol in book.holdings}
    book.prices.update(event.prices)
    book.closed_session = event.session
    equity = event.cash + event.positions_value
    book.session_loss = book.closing_equity - equity
    book.closing_equity = equity
    book.peak_equity = max(book.peak_equity, equity)
    book.turned = book.seq
    book.turnover = {day: value for day, value in book.turnover.items() if day > event.session}
    book.order_counts = {day: count for day, count in book.order_counts.items() if day > event.session and count > 0}
