"""Orders on their way in: from predictions, and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from bellwether.broker.lifecycle import AT_BROKER, UNSENT
from bellwether.messages.envelope import Event
from bellwether.messages.prediction import Prediction, PredictionGenerated
from bellwether.messages.trading import ApproveOrder, CancelOrder, ExecuteTrade, Order, Trade
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading.answers import order_from, trade_of
from bellwether.trading.codes import Code
from bellwether.trading.desk import Desk
from bellwether.trading.events import OrderApproved
from bellwether.trading.executor import Executor, Turn
from bellwether.trading.ledger import Seen
from bellwether.trading.market import MarketQuestions
from bellwether.trading.placing import OrderIntent, Origin, Placement, order_id_of, place, queue
from bellwether.trading.projection import refusal_text
from bellwether.trading.queries import find_order
from bellwether.trading.release import cancelled

MOST_SHARES = 10**9


class Incoming:
    """Turns predictions and requests into queued orders, or refusals."""

    def __init__(self, desk: Desk, market: MarketQuestions, executor: Executor) -> None:
        self._desk = desk
        self._market = market
        self._executor = executor

    async def take(self, arrived: Sequence[tuple[Event[PredictionGenerated], Call]]) -> None:
        """Turn predictions into orders, refusals, or nothing, each once, and all in one transaction."""

        def work(tx: Transaction) -> list[tuple[Call, Prediction, Placement]]:
            found: list[tuple[Call, Prediction, Placement]] = []
            # What waited for long may be of several instants.
            for (run, _), some in groupby(arrived, key=lambda one: (one[1].run, one[1].as_of)):
                found += self._placed(tx, run, [(event, call) for event, call in some if tx.claim(run, event.id)])
            return found

        for call, prediction, placement in await self._desk.store.transact(work):
            _annotate(call, prediction, placement)

    def _placed(
        self, tx: Transaction, run: str, arrived: Sequence[tuple[Event[PredictionGenerated], Call]]
    ) -> list[tuple[Call, Prediction, Placement]]:
        if not arrived:
            return []
        predictions = [(event.data.prediction, call) for event, call in arrived]
        book, latches, met = self._desk.ledger.glance(tx, run, [one.prediction_id for one, _ in predictions])
        now = self._desk.now_of(arrived[0][1])
        book = book if book.seq else self._desk.opened(tx, run, now)
        circumstances = self._desk.circumstances(tx, run, now, latches)
        found: list[tuple[Call, Prediction, Placement]] = []
        for prediction, call in predictions:
            if prediction.prediction_id in met:
                continue
            met.add(prediction.prediction_id)
            placement = place(prediction, call.trace_context or "", book, circumstances)
            if placement.events:
                book = self._desk.record(tx, run, placement.events, call)
            found.append((call, prediction, placement))
        self._desk.ledger.remember(tx, run, [_seen(prediction, placed, now) for _, prediction, placed in found])
        return found

    async def trade(self, request: ExecuteTrade, call: Call) -> Trade:
        """Queue an order by hand for the next session, or refuse it; the same `client_id` gives the same order.

        Without one the request's own id is taken, so that only the very same request is known again.

        Raises:
            RpcError: INVALID_PARAMS for a quantity that is not a whole number of shares, CLIENT_ID_TAKEN when the id
                was used for another order, UNAVAILABLE while no price can be asked for: the id is free then.
        """
        quantity = request.quantity
        if not quantity.is_finite() or not 0 < quantity <= MOST_SHARES or quantity != quantity.to_integral_value():
            raise RpcError(
                "INVALID_PARAMS", f"quantity: {quantity} must be a whole number of shares, 1 to {MOST_SHARES}"
            )
        order_id = order_id_of("manual", request.client_id or call.request_id)
        newest = await self._market.last_price(request.symbol, call)

        def work(tx: Transaction, run: str) -> Trade:
            now = self._desk.now_of(call)
            known = find_order(tx, run, order_id)
            if known is None:
                intent = OrderIntent(
                    order_id=order_id,
                    reason="manual",
                    symbol=request.symbol,
                    side=request.action,
                    session=self._desk.declaration.calendar.next_session(now).day,
                    price=newest.price,
                    quantity=quantity,
                    may_trade=True,
                    origin=Origin(trace_id=call.trace_id or "", traceparent=call.trace_context or ""),
                    bar_session=newest.session,
                )
                book = self._desk.opened(tx, run, now)
                placed = queue(intent, book, self._desk.circumstances(tx, run, now), "manual")
                self._desk.record(tx, run, placed.events, call)
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
            return trade_of(found, known["broker_id"])

        return await self._desk.look(call, work)

    async def approve(self, request: ApproveOrder, call: Call) -> Order:
        """Allow an order that waits for approval; allowed twice is allowed.

        Raises:
            RpcError: UNKNOWN_ORDER, or NOT_AWAITING for one that is past that.
        """

        def work(tx: Transaction, run: str) -> Order:
            order = self._known(tx, run, request.order_id)
            if order.status == "awaiting_approval":
                event = OrderApproved(self._desk.now_of(call), order.order_id, order.symbol, request.by or "unknown")
                self._desk.ledger.append(tx, run, [event])
                order = self._known(tx, run, request.order_id)
            elif order.status != "queued":
                raise RpcError("NOT_AWAITING", f"order {order.order_id} is {order.status}: there is nothing to approve")
            return order

        return await self._desk.look(call, work)

    async def cancel(self, request: CancelOrder, call: Call) -> Order:
        """End an order that waits here, or ask the broker to end it; one that is over stays as it is.

        Raises:
            RpcError: UNKNOWN_ORDER.
        """
        now = self._desk.now_of(call)

        def work(tx: Transaction, run: str) -> tuple[str, bool]:
            order = self._known(tx, run, request.order_id)
            if order.status in UNSENT:
                waiting = self._desk.ledger.book(tx, run).queued[order.order_id]
                event = cancelled(waiting, now, Code.CANCELLED_BY_HAND, request.by or "unknown", "nobody cancels it")
                self._desk.record(tx, run, [event], call)
            return run, order.status in AT_BROKER

        run, sent = await self._desk.look(call, work)
        if sent:
            await self._executor.cancel(Turn(run, now, call), [request.order_id])
        return await self._desk.store.transact(lambda tx: self._known(tx, run, request.order_id))

    def _known(self, tx: Transaction, run: str, order_id: str) -> Order:
        row = find_order(tx, run, order_id)
        if row is None:
            raise RpcError("UNKNOWN_ORDER", f"order {order_id}: there is no such order")
        return order_from(row)


def _seen(prediction: Prediction, placed: Placement, now: datetime) -> Seen:
    return Seen(
        prediction_id=prediction.prediction_id,
        symbol=prediction.symbol,
        outcome=placed.outcome,
        order_id=placed.order_id,
        guards=list(placed.guards),
        at=now,
        refusal=None if placed.refused is None else placed.refused.refusal,
        may_trade=prediction.may_trade,
    )


def _annotate(call: Call, prediction: Prediction, placed: Placement) -> None:
    if call.span is None:
        return
    facts = {
        "bellwether.prediction_id": prediction.prediction_id,
        "bellwether.symbol": prediction.symbol,
        "bellwether.outcome": placed.outcome,
        "bellwether.guards_passed": ",".join(placed.guards),
    }
    if placed.order_id is not None:
        facts["bellwether.order_id"] = placed.order_id
    if placed.refused is not None:
        # Traces with a refusal are always kept; that there was nothing to do is not worth it.
        what = "refusal" if placed.events else "nothing_to_do"
        facts[f"bellwether.{what}"] = refusal_text(*placed.refused.refusal)
    call.annotate(**facts)
