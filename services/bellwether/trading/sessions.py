"""A session's open and close: corporate actions, fills at the opening price, marks, exits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from bellwether.market.sessions import Calendar
from bellwether.messages.market_data import CorporateAction
from bellwether.trading.book import Book, apply
from bellwether.trading.codes import Code
from bellwether.trading.events import (
    DividendPaid,
    LedgerEvent,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderRejected,
    OrderSplit,
    PositionSplit,
    Refused,
    SessionMarked,
    SessionOpenDone,
)
from bellwether.trading.placing import exit_intent, exit_reason, queue
from bellwether.trading.pricing import CENT, PRICE_STEP, ZERO
from bellwether.trading.release import Opening, by_turn, cancelled
from bellwether.trading.situation import Circumstances

MISSED_SESSIONS = 10
"""So many sessions back a held share's missed bar is still asked for, at each open until there is one of it again."""
LONG_AGO = timedelta(days=60)


class ActionsToAskFor(NamedTuple):
    """Sessions, from the first to the last, of which an open has to hear of corporate actions of these symbols."""

    first: date
    last: date
    symbols: frozenset[str]


def actions_to_ask_for(
    calendar: Calendar,
    day: date,
    symbols: frozenset[str],
    opened: date | None,
    missed: Mapping[str, date],
    *,
    again: int = 0,
) -> list[ActionsToAskFor]:
    """Return of which sessions, and for which symbols, the open of a day has to hear of corporate actions.

    Args:
        calendar: the exchange's.
        day: of the session that opens.
        symbols: what is held or waits in an order.
        opened: the newest session whose open was done; None: there is none.
        missed: those of which that open had no bar, each with the first session of which they have had none.
        again: so many sessions that were opened are asked for once more: a source may tell of an action late.
    """
    # A system that was down for sessions still holds what was split meanwhile.
    first = day if opened is None else opened + timedelta(days=1)
    if again and opened is not None:
        first = min([first, *(one.day for one in calendar.sessions(first - LONG_AGO, opened)[-again:])])
    found = [ActionsToAskFor(first, day, symbols)]
    if not missed:
        return found
    # A bar that came after its session's open was done tells what nobody has asked for yet.
    late = [one.day for one in calendar.sessions(min(missed.values()), first - timedelta(days=1))[-MISSED_SESSIONS:]]
    if late:
        begins = {symbol: max(since, late[0]) for symbol, since in missed.items() if since <= late[-1]}
        found += [
            ActionsToAskFor(begin, late[-1], frozenset(symbol for symbol in begins if begins[symbol] == begin))
            for begin in sorted(set(begins.values()))
        ]
    return found


def due(book: Book, opening: Opening) -> list[OrderQueued]:
    """Return the orders that an open has to do something about, in their turn."""
    return [order for order in by_turn(book.queued.values()) if order.session <= opening.session]


def open_done(
    events: Sequence[LedgerEvent], book: Book, opening: Opening, now: datetime, unknown: frozenset[str] = frozenset()
) -> SessionOpenDone | None:
    """Return the event that ends an open, None while it has to wait for prices or for the broker.

    `events` are the ledger's since the last close or open. What is held waits, too: a split or dividend of the day is
    reported by the bar that has the opening price. An order whose outcome is unknown is not waited for.
    """
    waiting = any(symbol not in opening.prices for symbol in book.holdings)
    if any(order.order_id not in unknown for order in due(book, opening)) or (waiting and not opening.final):
        return None
    return _done(events, book, opening, now)


def corporate_events(book: Book, opening: Opening, now: datetime) -> list[LedgerEvent]:
    """Return what splits and dividends do to positions and queued orders; those applied already are left out."""
    events: list[LedgerEvent] = []
    state = book.copied()
    for action in sorted(opening.actions, key=lambda one: (one.session, one.kind != "split", one.symbol)):
        found: list[LedgerEvent] = []
        if action.kind == "split":
            found = _split(state, action, opening, now)
        elif _held_before(state, action):
            amount = Decimal(repr(action.amount))
            quantity = state.held(action.symbol)
            cash = (amount * quantity).quantize(CENT, ROUND_DOWN)
            found = [DividendPaid(now, action.symbol, action.session, amount, quantity, cash)]
        for event in found:
            if not _had_effect(state, event.key, action, opening):
                apply(state, event)
                events.append(event)
    return events


def _had_effect(book: Book, key: str, action: CorporateAction, opening: Opening) -> bool:
    """Return whether an action has had the effect with this key, be it under the date that it had before.

    An action is dated on the first session with a bar after it: once that gap is filled, it is reported for an earlier
    one and no longer for the later.
    """
    if key in book.actions_done:
        return True
    what, _, day = key.rpartition(":")
    stated = {str(one.session) for one in opening.actions if (one.symbol, one.kind) == (action.symbol, action.kind)}
    done = (known.rpartition(":") for known in book.actions_done)
    return any(before == what and later > day and later not in stated for before, _, later in done)


def _held_before(book: Book, action: CorporateAction) -> bool:
    """Return whether an action reaches a position: what was bought at its open, or later, was bought without it."""
    holding = book.holdings.get(action.symbol)
    return holding is not None and holding.opened < action.session


def _sized_before(order: OrderQueued, action: CorporateAction) -> bool:
    """Return whether the price that a purchase was sized by is one before an action."""
    if order.bar_session is None:
        # Stored by a version that did not write it down. A purchase is queued at the earliest after the close before.
        return order.session == action.session
    return order.bar_session < action.session


def _split(book: Book, action: CorporateAction, opening: Opening, now: datetime) -> list[LedgerEvent]:
    ratio = Decimal(repr(action.ratio))
    if ratio <= 0:
        raise ValueError(f"split of {action.symbol} on {action.session}: ratio is {action.ratio}, it must be above 0")
    events: list[LedgerEvent] = []
    holding = book.holdings.get(action.symbol)
    applied = _had_effect(book, f"split:{action.symbol}:{action.session}", action, opening)
    reached = not applied and _held_before(book, action)
    if holding is not None and reached:
        known = book.prices.get(action.symbol, ZERO)
        price = opening.prices.get(action.symbol) or (known / ratio).quantize(PRICE_STEP)
        exact = holding.quantity * ratio
        whole = exact.to_integral_value(ROUND_DOWN)
        # A fraction of a share is sold at the session's opening price, without costs; its cost leaves with it.
        in_lieu = ((exact - whole) * price).quantize(CENT, ROUND_DOWN)
        cost = holding.cost if exact == whole else (holding.cost * whole / exact).quantize(PRICE_STEP)
        events.append(
            PositionSplit(
                at=now,
                symbol=action.symbol,
                session=action.session,
                ratio=ratio,
                quantity=whole,
                cost=cost,
                price=price,
                cash_in_lieu=in_lieu,
                realised=in_lieu - (holding.cost - cost),
            )
        )
    for order in book.queued.values():
        # An order sized before the split means the same shares after it. A sale counts them as the position does.
        follows = reached if order.side == "SELL" else _sized_before(order, action)
        if order.symbol == action.symbol and follows:
            quantity = (order.quantity * ratio).to_integral_value(ROUND_DOWN)
            price = (order.price / ratio).quantize(PRICE_STEP)
            events.append(OrderSplit(now, order.order_id, action.symbol, action.session, ratio, quantity, price))
    return events


def _done(events: Sequence[LedgerEvent], book: Book, opening: Opening, now: datetime) -> SessionOpenDone:
    ended = [
        event
        for event in events
        if (isinstance(event, Refused) and event.stage == "open") or isinstance(event, (OrderCancelled, OrderRejected))
    ]
    return SessionOpenDone(
        at=now,
        session=opening.session,
        filled=list(dict.fromkeys(event.order_id for event in events if isinstance(event, OrderFilled))),
        # What was cancelled before the open is not of it.
        refused=[event.order_id or "" for event in ended if opening.at is None or event.at >= opening.at],
        corporate_actions=sum(1 for event in events if isinstance(event, (PositionSplit, DividendPaid))),
        missed=sorted(symbol for symbol in book.holdings if symbol not in opening.prices),
        prices={symbol: opening.prices[symbol] for symbol in sorted(book.holdings) if symbol in opening.prices},
    )


@dataclass(frozen=True, slots=True)
class Closing:
    """What is known when a session closes: closing prices of held symbols that traded, and the session after it."""

    session: date
    following: date
    prices: Mapping[str, Decimal]


def close_session(
    book: Book, circumstances: Circumstances, closing: Closing, in_flight: frozenset[str] = frozenset()
) -> list[LedgerEvent]:
    """Return everything that a session's close does to the ledger.

    Orders for this session or an earlier one that are still queued are cancelled, but not those that the broker has or
    may have (`in_flight`). Positions are valued at the close, and those that an exit rule closes (stop-loss, trailing
    stop, take-profit, the end of the horizon) are queued for sale at the following open. A share whose bar the open
    missed keeps its last price: the closing price may be that after a split which only an open applies.
    """
    state, now = book.copied(), circumstances.now
    events: list[LedgerEvent] = []
    for order in by_turn(state.queued.values()):
        if order.session <= closing.session and order.order_id not in in_flight:
            late = cancelled(order, now, Code.ORDER_EXPIRED, now.isoformat(), f"the open of {order.session}")
            apply(state, late)
            events.append(late)
    held = sorted(state.holdings)
    priced = [symbol for symbol in held if symbol not in state.missed]
    prices = {symbol: closing.prices[symbol] for symbol in priced if closing.prices.get(symbol, ZERO) > 0}
    value = sum(
        (state.holdings[symbol].quantity * prices.get(symbol, state.prices.get(symbol, ZERO)) for symbol in held), ZERO
    )
    marked = SessionMarked(now, closing.session, prices, state.cash, value)
    apply(state, marked)
    events.append(marked)
    for symbol in held:
        reason = exit_reason(state.holdings[symbol], prices.get(symbol, ZERO), circumstances.rules)
        if reason is None:
            continue
        intent = exit_intent(reason, symbol, state, closing.session, closing.following)
        for event in queue(intent, state, circumstances, "signal").events:
            apply(state, event)
            events.append(event)
    return events
