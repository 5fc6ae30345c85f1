"""paper-trading on the runtime: which message does what."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from bellwether.messages import trading as messages
from bellwether.messages.envelope import LIVE, Event
from bellwether.messages.fields import from_row
from bellwether.messages.prediction import PredictionGenerated
from bellwether.messages.reporting import GetSessionBook, SessionBook
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Transaction
from bellwether.trading import tables
from bellwether.trading.answers import account_of, order_from, positions_of, refusal_seen, thinned
from bellwether.trading.brokers import Brokers
from bellwether.trading.check import check_ledger
from bellwether.trading.closing import Closes
from bellwether.trading.desk import Desk
from bellwether.trading.executor import Executor
from bellwether.trading.following import Following
from bellwether.trading.halting import Halting
from bellwether.trading.incoming import Incoming
from bellwether.trading.market import MarketQuestions
from bellwether.trading.money import Money
from bellwether.trading.opening import Opens
from bellwether.trading.pricing import text
from bellwether.trading.queries import find_equity, find_order, find_orders, find_refusals
from bellwether.trading.reconciling import Reconciling
from bellwether.trading.safety import safety_of
from bellwether.trading.session_book import session_book
from bellwether.trading.upkeep import register_upkeep

MOST_ROWS = 1000
MOST_POINTS = 2000
ALL_ROWS = 10_000_000

_log = logging.getLogger(__name__)


class Trader:
    """The parts of the desk over its opened ledger."""

    def __init__(self, context: ServiceContext, call: Callable[[float], Call]) -> None:
        store = context.open_store(tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES, durable=True)
        self.desk = desk = Desk(context, store)
        self.market, self.brokers = MarketQuestions(desk), Brokers(desk)
        executor = Executor(desk, self.brokers)
        self.halting = Halting(desk, executor)
        self.reconciling = Reconciling(desk, self.brokers, executor)
        self.following = Following(desk, self.brokers, executor, self.reconciling, call)
        self.incoming = Incoming(desk, self.market, executor)
        self.opens = Opens(desk, self.market, executor, self.brokers)
        self.closes = Closes(desk, self.market, executor, self.halting)
        self.money = Money(desk, self.brokers)


def create(context: ServiceContext) -> Service:
    """Return the service paper-trading with its ledger opened."""
    service = Service("paper-trading", context)
    trader = Trader(context, lambda budget: service.call(budget=budget))
    _register_effects(service, trader)
    _register_answers(service, trader)
    _register_explanations(service, trader.desk)
    _register_life(service, trader)
    _register_health(service, trader)
    register_upkeep(service, trader.desk, trader.following)
    return service


def _register_effects(service: Service, trader: Trader) -> None:
    service.rpc("session_open")(trader.opens.open)
    service.rpc("session_close")(trader.closes.close)
    service.rpc("execute_trade")(trader.incoming.trade)
    service.rpc("approve_order")(trader.incoming.approve)
    service.rpc("cancel_order")(trader.incoming.cancel)
    service.rpc("transfer")(trader.money.transfer)
    service.rpc("resume")(trader.halting.resume)
    service.rpc("sync_positions")(trader.reconciling.sync)

    @service.on_event("prediction_generated", together=trader.incoming.take)
    async def prediction_generated(event: Event[PredictionGenerated], call: Call) -> None:
        await trader.incoming.take([(event, call)])

    @service.rpc("halt", urgent=True)
    async def halt(request: messages.Halt, call: Call) -> messages.HaltState:
        answer = await trader.halting.halt(request, call)
        trader.following.halt()
        return answer

    @service.rpc("initialize_ig_markets")
    async def initialize_ig_markets(call: Call) -> messages.MarketsInitialized:
        mode = trader.desk.rules.mode
        if trader.brokers.at_ig(call.run):
            return messages.MarketsInitialized("ig_markets_initialized", list(await trader.brokers.ig.connect()))
        raise RpcError(
            "NO_IG_ACCOUNT",
            f"trading.mode is {mode}: orders go to the simulated broker, and no IG account is connected",
            mode=mode,
        )


def _register_answers(service: Service, trader: Trader) -> None:
    desk = trader.desk
    service.rpc("get_account")(trader.money.account)
    service.rpc("export")(trader.money.export)

    @service.rpc("get_equity")
    async def get_equity(request: messages.GetEquity, call: Call) -> messages.EquityCurve:
        if not 2 <= request.limit <= MOST_POINTS:
            raise RpcError("INVALID_PARAMS", f"limit: {request.limit} must be from 2 to {MOST_POINTS}")
        return messages.EquityCurve(thinned(await desk.look(call, find_equity), request.limit))

    @service.rpc("get_safety")
    async def get_safety(call: Call) -> messages.Safety:
        newest = await trader.market.newest(call)

        def look(tx: Transaction, run: str) -> messages.Safety:
            return safety_of(desk.ledger.book(tx, run), desk.circumstances(tx, run, desk.now_of(call)), newest)

        return await desk.look(call, look)

    @service.rpc("get_positions")
    async def get_positions(call: Call) -> messages.Positions:
        return messages.Positions(positions_of(await desk.look(call, desk.ledger.book)))

    @service.rpc("list_orders")
    async def list_orders(request: messages.ListOrders, call: Call) -> messages.Orders:
        limit = _limit(request.limit)

        def look(tx: Transaction, run: str) -> messages.Orders:
            rows, total = find_orders(tx, run, symbol=request.symbol, status=request.status, limit=limit)
            return messages.Orders([order_from(row) for row in rows], total)

        return await desk.look(call, look)

    @service.rpc("list_refusals")
    async def list_refusals(request: messages.ListRefusals, call: Call) -> messages.Refusals:
        limit = _limit(request.limit)

        def look(tx: Transaction, run: str) -> messages.Refusals:
            rows, total = find_refusals(tx, run, symbol=request.symbol, limit=limit)
            return messages.Refusals([from_row(messages.Refusal, row) for row in rows], total)

        return await desk.look(call, look)


def _register_explanations(service: Service, desk: Desk) -> None:
    @service.rpc("explain")
    async def explain(request: messages.Explain, call: Call) -> messages.Explanation:
        return await desk.look(call, lambda tx, run: _explain(tx, run, desk, request))

    @service.rpc("get_session_book")
    async def get_session_book(request: GetSessionBook, call: Call) -> SessionBook:
        def look(tx: Transaction, run: str) -> SessionBook:
            book = desk.ledger.book(tx, run)
            return session_book(tx, run, request, book, account_of(book, desk.rules, desk.halts(tx, run), 0))

        return await desk.look(call, look)

    @service.rpc("check_ledger")
    async def check(call: Call) -> messages.LedgerCheck:
        def look(tx: Transaction, run: str) -> messages.LedgerCheck:
            rows, _ = find_orders(tx, run, limit=ALL_ROWS)
            return check_ledger(desk.ledger.events(tx, run), desk.ledger.book(tx, run), rows)

        return await desk.look(call, look)


def _register_life(service: Service, trader: Trader) -> None:
    desk = trader.desk
    declared_halt: dict[str, bool] = {}

    @service.on_declaration
    async def declared(system: TradingSystem) -> None:
        # Reading it here makes a declaration that cannot be applied fail its acknowledgement.
        declaration = desk.declaration
        before = declared_halt.get("halted")
        declared_halt["halted"] = declaration.rules.halted
        if before is not None and before != declaration.rules.halted:
            generation = service.context.declaration.generation
            await trader.halting.declared_halt_changed(generation, service.call())
        if declaration.rules.halted:
            trader.following.halt()
        trader.following.wake()

    service.background(trader.following.run)
    service.background(trader.following.take_back)
    service.on_stop(trader.brokers.close)

    @service.on_start
    async def reconcile() -> None:
        if not service.context.declaration.known:
            return
        if trader.brokers.at_ig(LIVE):
            # The background work does it: IG may take its time, and the service answers meanwhile.
            return
        try:
            await trader.reconciling.sync(service.call())
        except RpcError as error:
            _log.error("positions are not reconciled: %s", error)


def _register_health(service: Service, trader: Trader) -> None:
    desk = trader.desk

    @service.on_health
    async def health() -> dict[str, Any]:
        if not service.context.declaration.known:
            return {"status": "degraded", "warning": "no declaration has arrived yet"}

        def look(tx: Transaction, run: str) -> dict[str, Any]:
            book, halts = desk.ledger.book(tx, run), desk.halts(tx, run)
            found: dict[str, Any] = {
                "mode": desk.rules.mode,
                "run": run,
                "halted": bool(halts),
                "halts": list(halts),
                "positions": len(book.holdings),
                "orders_queued": len(book.queued),
                "orders_filled": book.fills,
                "ledger_events": book.seq,
            }
            if trader.following.trouble:
                found |= {"status": "degraded", "warning": f"the broker: {trader.following.trouble}"}
            blocked = desk.unreconciled.of(tx, run)
            if blocked:
                found |= {"status": "degraded", "warning": "blocked until reconciled: " + "; ".join(blocked.values())}
            if book.imbalance() != 0:
                found |= {"status": "degraded", "warning": f"the ledger is out of balance by {text(book.imbalance())}"}
            return found

        return await desk.look(service.call(), look)


def _explain(tx: Transaction, run: str, desk: Desk, request: messages.Explain) -> messages.Explanation:
    seen = desk.ledger.seen(tx, run, request.symbol, request.prediction_id)
    if seen is None:
        return messages.Explanation(request.symbol, request.prediction_id, "unseen", None, [], [])
    row = None if seen.order_id is None else find_order(tx, run, seen.order_id)
    rows, _ = find_refusals(tx, run, prediction_id=seen.prediction_id)
    refusals = [from_row(messages.Refusal, one) for one in rows]
    own = refusal_seen(seen)
    if own is not None and not refusals:
        refusals = [own]
    return messages.Explanation(
        symbol=seen.symbol,
        prediction_id=seen.prediction_id,
        outcome=seen.outcome,
        order=None if row is None else order_from(row),
        refusals=refusals,
        guards=seen.guards,
    )


def _limit(limit: int) -> int:
    if not 1 <= limit <= MOST_ROWS:
        raise RpcError("INVALID_PARAMS", f"limit: {limit} must be from 1 to {MOST_ROWS}")
    return limit
