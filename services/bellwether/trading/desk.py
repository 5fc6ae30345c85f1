"""The trading desk: each thing that changes the ledger, as one transaction with the events that tell of it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from bellwether.market.declared import calendar_of
from bellwether.market.freshness import expected_bar, settles_by
from bellwether.market.sessions import Calendar, Session
from bellwether.messages.envelope import LIVE
from bellwether.messages.market_data import (
    Bars,
    CorporateAction,
    CorporateActions,
    Freshness,
    GetBars,
    GetCorporateActions,
    GetFreshness,
    GetOpeningPrices,
    OpeningPrices,
)
from bellwether.messages.prediction import Prediction
from bellwether.messages.quality import GetQuality
from bellwether.messages.quality import Quality as Qualities
from bellwether.messages.trading import (
    BARS_AWAITED,
    ExecuteTrade,
    Halt,
    HaltChanged,
    HaltState,
    Order,
    OrderEvent,
    OrderRefused,
    Resume,
    Safety,
    SessionClosed,
    SessionOpened,
)
from bellwether.runtime.call import Call, ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store, Transaction
from bellwether.trading.answers import filled_order, newest_number, order_from, queued_order, refusal_of
from bellwether.trading.book import Book
from bellwether.trading.decide import Origin, Outcome, Wish, decide, order_id_of, quality_of, queue
from bellwether.trading.events import (
    AccountOpened,
    LedgerEvent,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderReduced,
    Refused,
    SessionMarked,
    SessionOpenDone,
)
from bellwether.trading.guards import Conditions, Quality
from bellwether.trading.ledger import Latch, Ledger, Seen, find_exits, find_order, refusal_text
from bellwether.trading.pricing import ZERO, exact_price
from bellwether.trading.rules import Rules, rules_of
from bellwether.trading.safety import Newest, safety_of
from bellwether.trading.sessions import Closing, Opening, close_session, open_session, untold_actions

NEWEST_SHARE = 0.6
"""Of the time that a question about safety has, so much is given to market-data."""
BARS_LOST = frozenset({"SOURCE_UNAVAILABLE", "NO_BARS"})
"""Codes that say market-data has no bar of a declared symbol."""
NO_PRICE = BARS_LOST | {"UNKNOWN_SYMBOL"}
"""Codes that answer whether a symbol has a price; every other error leaves that open."""
LATE_SESSIONS = 10
"""So many sessions back a live open hears of corporate actions that were told late."""
DECLARED_HALT = "declaration: spec.trading.halted is true"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Words:
    """What the declaration says, ready to use."""

    system: TradingSystem
    rules: Rules
    calendar: Calendar


class Market(NamedTuple):
    """What market-data said about the open, and for which symbols it was asked."""

    asked: frozenset[str]
    prices: Mapping[str, Decimal]
    actions: list[CorporateAction]


class Wanted(NamedTuple):
    """What has to be asked before an open: about which symbols, and what earlier opens did not hear of."""

    symbols: frozenset[str]
    opened: date | None
    missed: Mapping[str, date]


class Desk:
    """All that changes the ledger, and the words that it follows."""

    def __init__(self, context: ServiceContext, store: Store) -> None:
        self._context = context
        self._words: Words | None = None
        self.store = store
        self.ledger = Ledger()

    @property
    def words(self) -> Words:
        """The declaration in force.

        Raises:
            RpcError: NO_DECLARATION before one has arrived.

        """
        holder = self._context.declaration
        if not holder.known:
            raise RpcError("NO_DECLARATION", "paper-trading has no declaration yet; it comes from a file or the bus")
        system = holder.current
        if self._words is None or self._words.system is not system:
            self._words = Words(system, rules_of(system.spec), calendar_of(system.spec.market))
        return self._words

    @property
    def rules(self) -> Rules:
        """What the declaration in force says about trading."""
        return self.words.rules

    def run_of(self, tx: Transaction, call: Call) -> str:
        """Return the run that a call is about: its own, or in a replay the newest when it names none."""
        if call.run != LIVE or self._context.clock.live:
            return call.run
        return self.ledger.newest_run(tx) or LIVE

    def now_of(self, call: Call) -> datetime:
        """Return the moment to judge by: the present when live (a message may be old), else the message's."""
        return self._context.clock.now() if self._context.clock.live else call.as_of

    def halts(self, tx: Transaction) -> tuple[str, ...]:
        """Return what halts now, one line per source."""
        return self._lines(self.ledger.latches(tx))

    def _lines(self, latches: Iterable[Latch]) -> tuple[str, ...]:
        declared = (DECLARED_HALT,) if self.rules.halted else ()
        return declared + tuple(latch.line() for latch in latches)

    def conditions(self, tx: Transaction, now: datetime) -> Conditions:
        """Return what holds at this moment."""
        return self._conditions(self.halts(tx), now)

    def _conditions(self, halts: tuple[str, ...], now: datetime) -> Conditions:
        return Conditions(self.rules, halts, now, self._begun(now), expected_bar(self.words.calendar, now))

    def _begun(self, now: datetime) -> date:
        """Return the newest session whose open is not after a moment."""
        calendar = self.words.calendar
        return (calendar.session_at(now) or calendar.previous_session(now)).day

    def session_on(self, day: date) -> Session:
        """Return the session of a day.

        Raises:
            RpcError: NOT_A_SESSION when the exchange is closed all day.

        """
        session = self.words.calendar.session_on(day)
        if session is None:
            raise RpcError("NOT_A_SESSION", f"session {day}: {self.words.calendar.name} does not trade on that day")
        return session

    # Decisions and orders

    async def take(self, prediction: Prediction, event_id: str, call: Call) -> None:
        """Turn a prediction into an order, a refusal, or nothing, once."""

        def work(tx: Transaction) -> Outcome | None:
            if not tx.claim(call.run, event_id):
                return None
            book, latches, met = self.ledger.glance(tx, call.run, prediction.prediction_id)
            if met:
                return None
            now = self.now_of(call)
            book = book if book.seq else self._opened(tx, call.run, now)
            conditions = self._conditions(self._lines(latches), now)
            outcome = decide(prediction, call.trace_context or "", book, conditions)
            if outcome.events:
                self.ledger.append(tx, call.run, outcome.events)
            self.ledger.remember(tx, call.run, _seen(prediction, outcome, now), may_trade=prediction.may_trade)
            self._tell(tx, call.run, outcome.events, call)
            return outcome

        outcome = await self.store.transact(work)
        if outcome is not None:
            _annotate(call, prediction, outcome)

    async def trade(self, request: ExecuteTrade, call: Call) -> Order:
        """Queue an order by hand for the next session, or refuse it; the same `client_id` gives the same order.

        Raises:
            RpcError: INVALID_PARAMS for a quantity that is not a whole number of shares, CLIENT_ID_TAKEN when the id
                was used for another order, UNAVAILABLE while no price can be asked for: the id is free then.

        """
        quantity = request.quantity
        if not quantity.is_finite() or quantity <= 0 or quantity != quantity.to_integral_value():
            raise RpcError("INVALID_PARAMS", f"quantity: {quantity} must be a whole number of shares, at least 1")
        if not request.client_id:
            raise RpcError("INVALID_PARAMS", "client_id: it must not be empty; the same id never makes a second order")
        order_id = order_id_of("manual", request.client_id)
        newest = await self._last_price(request.symbol, call)

        def work(tx: Transaction) -> Order:
            run, now = self.run_of(tx, call), self.now_of(call)
            known = find_order(tx, run, order_id)
            if known is None:
                wish = Wish(
                    order_id=order_id,
                    reason="manual",
                    symbol=request.symbol,
                    side=request.action,
                    session=self.words.calendar.next_session(now).day,
                    price=newest.price,
                    quantity=quantity,
                    may_trade=True,
                    origin=Origin(trace_id=call.trace_id or "", traceparent=call.trace_context or ""),
                    bar_session=newest.session,
                )
                book = self._opened(tx, run, now)
                outcome = queue(wish, book, self.conditions(tx, now), "manual")
                self.ledger.append(tx, run, outcome.events)
                self._tell(tx, run, outcome.events, call)
                known = find_order(tx, run, order_id)
            if known is None:
                raise RpcError("INTERNAL", f"order {order_id} was not written")
            found = order_from(known)
            asked = (request.symbol, request.action, request.quantity)
            if (found.symbol, found.side, found.quantity) != asked:
                raise RpcError(
                    "CLIENT_ID_TAKEN",
                    f"client_id {request.client_id!r} is the order {found.side} {found.quantity} {found.symbol}",
                )
            return found

        return await self.store.transact(work)

    # Safety

    async def safety(self, call: Call) -> Safety:
        """Return whether an order would be allowed if the session were open, as far as it can be told in time."""
        newest = await self._newest(call)

        def look(tx: Transaction) -> Safety:
            book = self.ledger.book(tx, self.run_of(tx, call))
            return safety_of(book, self.conditions(tx, self.now_of(call)), newest)

        return await self.store.transact(look)

    async def _newest(self, call: Call) -> dict[str, Newest] | None:
        """Return the newest prices by symbol, None when market-data does not tell them in time."""
        # What is left afterwards is for the answer: that nobody told the prices is one, too.
        budget = call.remaining * NEWEST_SHARE
        try:
            told = await call.request("market-data", "get_freshness", GetFreshness(), Freshness, budget=budget)
        except RpcError as error:
            _log.debug("no newest prices: %s", error)
            return None
        qualities = await self._qualities([one.symbol for one in told.symbols], call)
        return {
            one.symbol: Newest(exact_price(one.close), one.last_session, qualities.get(one.symbol, Quality()))
            for one in told.symbols
        }

    async def _qualities(self, symbols: list[str], call: Call) -> dict[str, Quality]:
        """Return the quality of symbols' bars; it is unknown when data-quality does not answer in time."""
        budget = call.remaining * NEWEST_SHARE
        try:
            told = await call.request("data-quality", "get_quality", GetQuality(symbols), Qualities, budget=budget)
        except RpcError as error:
            said = Quality(None, (f"data-quality gave no answer: {error.code}",))
            return dict.fromkeys(symbols, said)
        return {
            symbol: quality_of(one.quality_score, [finding.rule for finding in one.findings])
            for symbol, one in told.symbols.items()
        }

    # Sessions

    async def open(self, day: date, call: Call) -> SessionOpened:
        """Do what a session's open does, once; asked again it gives the same answer.

        Live, an order whose opening price has not arrived stays queued and the next ask takes it up again, until the
        session no longer waits for its bars.

        Raises:
            RpcError: NOT_A_SESSION, NOT_OPEN_YET, or SESSION_PASSED when a later one was opened already.

        """
        session, now = self.session_on(day), self.now_of(call)
        if now < session.open:
            raise RpcError(
                "NOT_OPEN_YET", f"session {day} opens at {session.open.isoformat()}, it is {now.isoformat()}"
            )
        market = Market(frozenset(), {}, [])
        while True:
            answer = await self._open_with(session, market, now, call)
            if isinstance(answer, SessionOpened):
                return answer
            market = await self._ask_for_open(day, answer, call)

    async def _open_with(self, session: Session, market: Market, now: datetime, call: Call) -> SessionOpened | Wanted:
        """Open the session if prices are known of all symbols that matter, else return what is to be asked."""

        def work(tx: Transaction) -> SessionOpened | Wanted:
            book = self._opened(tx, call.run, now)
            if book.opened_session is not None and session.day <= book.opened_session:
                return self._opened_before(tx, call.run, session.day)
            wanted = frozenset(book.holdings) | {order.symbol for order in book.queued.values()}
            if not wanted <= market.asked:
                return Wanted(wanted, book.opened_session, book.missed)
            final = self._final(session, now)
            opening = Opening(session.day, market.prices, market.actions, final, session.open)
            opened = open_session(book, self.conditions(tx, now), opening)
            self.ledger.append(tx, call.run, opened.events)
            self._tell(tx, call.run, opened.events, call, before=book)
            done = [event for event in opened.events if isinstance(event, SessionOpenDone)]
            return _opened_answer(done[0]) if done else SessionOpened([], [], 0)

        return await self.store.transact(work)

    def _final(self, session: Session, now: datetime) -> bool:
        """Return whether the session's bars are final. In a replay they always are."""
        return not self._context.clock.live or now >= settles_by(self.words.calendar, session)

    async def _ask_for_open(self, day: date, wanted: Wanted, call: Call) -> Market:
        names = sorted(wanted.symbols)
        # Prices come first: market-data reads its source meanwhile, and the bar that brings a price tells the split or
        # dividend of its day. Asked the other way round, one that lands in between would end the open without it.
        prices = await call.request(
            "market-data", "get_opening_prices", GetOpeningPrices(day, names), OpeningPrices, idempotent=True
        )
        found: list[CorporateAction] = []
        # Live, a split may be told after its session was opened, by a source that restates its history late.
        again = LATE_SESSIONS if self._context.clock.live else 0
        for first, last, untold in untold_actions(self.words.calendar, day, *wanted, again=again):
            question = GetCorporateActions(last, sorted(untold), since=first)
            told = await call.request(
                "market-data", "get_corporate_actions", question, CorporateActions, idempotent=True
            )
            found += told.actions
        exact = {symbol: exact_price(price) for symbol, price in prices.prices.items()}
        return Market(wanted.symbols, {symbol: price for symbol, price in exact.items() if price > 0}, found)

    def _opened_before(self, tx: Transaction, run: str, day: date) -> SessionOpened:
        event = self.ledger.event(tx, run, f"open:{day}")
        if not isinstance(event, SessionOpenDone):
            raise RpcError("SESSION_PASSED", f"session {day} is over: a later one was opened, nothing is filled late")
        return _opened_answer(event)

    async def close(self, day: date, call: Call) -> SessionClosed:
        """Do what a session's close does, once; asked again it gives the same answer.

        Raises:
            RpcError: NOT_A_SESSION, NOT_CLOSED_YET, or SESSION_PASSED when a later one was opened or closed already.
                Live, BARS_AWAITED as long as an order may still get its opening price, a position its closing price,
                or the session's open may still be done for what is held; after that NOT_OPENED_YET until it is.

        """
        session, now = self.session_on(day), self.now_of(call)
        if now < session.close:
            raise RpcError(
                "NOT_CLOSED_YET", f"session {day} closes at {session.close.isoformat()}, it is {now.isoformat()}"
            )
        asked: frozenset[str] = frozenset()
        prices: dict[str, Decimal] = {}
        while True:
            answer = await self._close_with(session, (asked, prices), now, call)
            if isinstance(answer, SessionClosed):
                return answer
            asked = answer
            prices = {symbol: await self._close_price(symbol, day, call) for symbol in sorted(answer)}

    async def _close_with(
        self, session: Session, known: tuple[frozenset[str], Mapping[str, Decimal]], now: datetime, call: Call
    ) -> SessionClosed | frozenset[str]:
        asked, prices = known

        def work(tx: Transaction) -> SessionClosed | frozenset[str]:
            book = self._opened(tx, call.run, now)
            if book.closed_session is not None and session.day <= book.closed_session:
                return self._closed_before(tx, call.run, session.day)
            if book.opened_session is not None and session.day < book.opened_session:
                raise RpcError("SESSION_PASSED", f"session {session.day} is over: a later one was opened already")
            wanted = frozenset(book.holdings)
            if not wanted <= asked:
                return wanted
            if not self._final(session, now):
                self._refuse_awaited(book, session, prices)
            elif self._context.clock.live and not _opened_on(book, session) and (wanted or _waiting(book, session)):
                # Asked for while bars were still waited for, the open was left undone; nothing else does its part.
                raise RpcError("NOT_OPENED_YET", f"session {session.day} is closed once its open is done: ask for that")
            closing = Closing(session.day, self.words.calendar.after(session.day, 1).day, prices)
            closed = close_session(book, self.conditions(tx, now), closing)
            self.ledger.append(tx, call.run, closed.events)
            self._tell(tx, call.run, closed.events, call, before=book)
            return self._closed_before(tx, call.run, session.day)

        return await self.store.transact(work)

    def _refuse_awaited(self, book: Book, session: Session, prices: Mapping[str, Decimal]) -> None:
        waiting = _waiting(book, session)
        # A bar that came since the last look has a closing price, and may tell a split that only an open applies.
        opened = _opened_on(book, session)
        waiting |= {symbol for symbol in book.holdings if not opened or prices.get(symbol, ZERO) <= 0}
        if waiting:
            until = settles_by(self.words.calendar, session).isoformat()
            names = ", ".join(sorted(waiting))
            raise RpcError(BARS_AWAITED, f"session {session.day} waits until {until} for bars of {names}")

    def _closed_before(self, tx: Transaction, run: str, day: date) -> SessionClosed:
        event = self.ledger.event(tx, run, f"close:{day}")
        if not isinstance(event, SessionMarked):
            raise RpcError("SESSION_PASSED", f"session {day} is over: a later one was closed already")
        return SessionClosed(equity=event.cash + event.positions_value, exits=find_exits(tx, run, event.at))

    async def _close_price(self, symbol: str, day: date, call: Call) -> Decimal:
        """Return a symbol's closing price of this day, zero when it did not trade or nobody follows it any more.

        Live, zero also when its bars are lost and its source does not tell them; a replay stops at that.
        """
        # A close that is done late finds newer bars, too.
        newer = self.words.calendar.sessions_between(day, self._begun(self.now_of(call)))
        question = GetBars(symbol, 1 + newer, adjusted=False)
        try:
            bars = await call.request("market-data", "get_bars", question, Bars, idempotent=True)
        except RpcError as error:
            if error.code != "UNKNOWN_SYMBOL" and not (self._context.clock.live and error.code in BARS_LOST):
                raise
            # Its stored bars are lost, and no source tells them anew: once no bar is waited for any more, the day ends
            # all the same, at its last price. A share that cannot be priced must not hold up the others.
            _log.warning("%s is held, and nobody tells its price: %s", symbol, error.message)
            return ZERO
        return next((exact_price(bar.close) for bar in bars.bars if bar.session == day), ZERO)

    async def _last_price(self, symbol: str, call: Call) -> Newest:
        """Return a symbol's newest closing price, zero when there is none.

        Raises:
            RpcError: UNAVAILABLE while market-data cannot say.

        """
        try:
            bars = await call.request(
                "market-data", "get_bars", GetBars(symbol, 1, adjusted=False), Bars, idempotent=True
            )
        except RpcError as error:
            if error.code not in NO_PRICE:
                raise RpcError(
                    "UNAVAILABLE",
                    f"market-data does not tell the price of {symbol} now ({error}); nothing was stored: ask again",
                ) from error
            _log.info("no price of %s: %s", symbol, error.message)
            return Newest()
        return Newest(exact_price(bars.bars[-1].close), bars.bars[-1].session) if bars.bars else Newest()

    # Halts

    async def halt(self, request: Halt, call: Call) -> HaltState:
        """Stop every order until somebody resumes; the same halt again adds nothing."""
        reason, source = request.reason.strip(), request.source.strip() or "unknown"
        if not reason:
            raise RpcError("INVALID_PARAMS", "reason: say in a few words why orders are to stop")

        def work(tx: Transaction) -> HaltState:
            if not any((one.source, one.reason) == (source, reason) for one in self.ledger.latches(tx)):
                number = self.ledger.latch(tx, "halt", Latch(source, reason, self.now_of(call)))
                self._tell_halt(tx, f"halt-{number}", reason, call)
            return self._halt_state(tx)

        return await self.store.transact(work)

    async def resume(self, request: Resume, call: Call) -> HaltState:
        """Open every latch; a halt that the declaration states stays.

        Raises:
            RpcError: NEWER_HALT when one came after the newest that the caller has seen, HALT_NOT_STATED when the
                caller names none and there are several; INVALID_PARAMS without a reason.

        """
        reason, source = request.reason.strip(), request.source.strip() or "unknown"
        if not reason:
            raise RpcError("INVALID_PARAMS", "reason: say in a few words why orders may flow again")

        def work(tx: Transaction) -> HaltState:
            latches = self.ledger.latches(tx)
            _refuse_unseen(latches, request.seen)
            if latches:
                number = self.ledger.latch(tx, "resume", Latch(source, reason, self.now_of(call)))
                self._tell_halt(tx, f"halt-{number}", reason, call)
            return self._halt_state(tx)

        return await self.store.transact(work)

    async def declared_halt_changed(self, generation: int, call: Call) -> None:
        """Tell that the declaration halts, or no longer does."""
        reason = DECLARED_HALT if self.rules.halted else "declaration: spec.trading.halted is false"
        await self.store.transact(lambda tx: self._tell_halt(tx, f"halt-generation-{generation}", reason, call))

    def _halt_state(self, tx: Transaction) -> HaltState:
        halts = self.halts(tx)
        return HaltState(halted=bool(halts), halts=list(halts), newest_halt=newest_number(self.ledger.latches(tx)))

    def _tell_halt(self, tx: Transaction, event_id: str, reason: str, call: Call) -> None:
        tx.outbox(call.event("halt_changed", HaltChanged(self._halt_state(tx), reason), event_id=event_id))

    # What all of it shares

    def _opened(self, tx: Transaction, run: str, at: datetime) -> Book:
        """Return the book of a run, whose account begins with the first thing that happens in it."""
        book = self.ledger.book(tx, run)
        if book.seq:
            return book
        rules = self.rules
        return self.ledger.append(tx, run, [AccountOpened(at, rules.initial_cash, rules.currency)])

    def _tell(
        self, tx: Transaction, run: str, events: Iterable[LedgerEvent], call: Call, *, before: Book | None = None
    ) -> None:
        """Put into the outbox what others are to hear; a fill joins the trace of the decision behind it."""
        here = call if call.run == run else call.at(call.as_of, run=run)
        waiting = {} if before is None else before.queued
        reduced: dict[str, OrderReduced] = {}
        for event in events:
            match event:
                case OrderReduced(order_id=order_id):
                    reduced[order_id] = event
                case OrderQueued(order_id=order_id):
                    data = OrderEvent(queued_order(event))
                    tx.outbox(here.event("order_queued", data, event_id=f"order_queued:{order_id}"))
                case OrderFilled(order_id=order_id):
                    queued = waiting[order_id]
                    with here.start_span("fill", parent=queued.traceparent, attributes=_facts(event)) as filling:
                        data = OrderEvent(filled_order(queued, event, reduced.get(order_id)))
                        tx.outbox(filling.event("order_filled", data, event_id=f"order_filled:{order_id}"))
                case Refused(order_id=refused_id):
                    order = waiting.get(refused_id or "")
                    with _refusing(here, event, order) as refusing:
                        refusal = OrderRefused(refusal_of(event))
                        tx.outbox(refusing.event("order_refused", refusal, event_id=event.key))
                case OrderCancelled():
                    _log.info("order %s is cancelled: %s", event.order_id, event.code)
                case _:
                    pass


def _refuse_unseen(latches: Sequence[Latch], seen: int | None) -> None:
    """Refuse to open a latch that nobody has looked at."""
    newest = newest_number(latches)
    if seen is None:
        if len(latches) > 1:
            lines = "; ".join(latch.line() for latch in latches)
            raise RpcError(
                "HALT_NOT_STATED",
                f"{len(latches)} halts are in force: {lines}. State `seen`, the number of the newest you know of; the "
                f"newest is {newest}",
                newest_halt=newest,
            )
        return
    unseen = [f"{latch.number}: {latch.line()}" for latch in latches if latch.number > seen]
    if unseen:
        raise RpcError(
            "NEWER_HALT",
            f"nothing was resumed: after halt {seen}, the newest that was seen, came {'; '.join(unseen)}. Look at it, "
            f"and state {newest}",
            newest_halt=newest,
        )


def _facts(event: OrderFilled) -> dict[str, str]:
    return {
        "bellwether.order_id": event.order_id,
        "bellwether.symbol": event.symbol,
        "bellwether.side": event.side,
        "bellwether.quantity": str(event.quantity),
        "bellwether.price": str(event.price),
        "bellwether.session": str(event.session),
    }


def _refusing(call: Call, event: Refused, order: OrderQueued | None) -> contextlib.AbstractContextManager[Call]:
    """Return a span for a refusal at the open, in the trace of the decision; elsewhere the call has one already."""
    if order is None:
        return contextlib.nullcontext(call)
    attributes = {"bellwether.order_id": event.order_id or "", "bellwether.refusal": event.code}
    return call.start_span("refused at the open", parent=order.traceparent, attributes=attributes)


def _opened_on(book: Book, session: Session) -> bool:
    return book.opened_session is not None and book.opened_session >= session.day


def _waiting(book: Book, session: Session) -> set[str]:
    return {order.symbol for order in book.queued.values() if order.session <= session.day}


def _opened_answer(event: SessionOpenDone) -> SessionOpened:
    return SessionOpened(event.filled, event.refused, event.corporate_actions)


def _seen(prediction: Prediction, outcome: Outcome, now: datetime) -> Seen:
    verdict = outcome.refused
    refusal = None
    if verdict is not None and verdict.code is not None:
        refusal = (verdict.code.name, verdict.objection.value, verdict.objection.limit)
    return Seen(
        prediction_id=prediction.prediction_id,
        symbol=prediction.symbol,
        outcome=outcome.outcome,
        order_id=outcome.order_id,
        guards=list(outcome.guards),
        at=now,
        refusal=refusal,
    )


def _annotate(call: Call, prediction: Prediction, outcome: Outcome) -> None:
    if call.span is None:
        return
    facts = {
        "bellwether.prediction_id": prediction.prediction_id,
        "bellwether.symbol": prediction.symbol,
        "bellwether.outcome": outcome.outcome,
        "bellwether.guards_passed": ",".join(outcome.guards),
    }
    if outcome.order_id is not None:
        facts["bellwether.order_id"] = outcome.order_id
    verdict = outcome.refused
    if verdict is not None and verdict.code is not None:
        # Traces with a refusal are always kept; that there was nothing to do is not worth it.
        what = "refusal" if outcome.events else "nothing_to_do"
        facts[f"bellwether.{what}"] = refusal_text(verdict.code.name, *verdict.objection)
    call.annotate(**facts)
