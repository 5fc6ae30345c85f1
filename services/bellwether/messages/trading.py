"""What paper-trading answers and publishes. Money and quantities are decimals, in the declared currency."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

Side = Literal["BUY", "SELL"]
OrderStatus = Literal[
    "queued",
    "awaiting_approval",
    "sending",
    "working",
    "partially_filled",
    "filled",
    "refused",
    "rejected",
    "cancelled",
    "expired",
    "unknown",
]
"""`refused`: by a guard here; `rejected`: by the broker. `unknown`: sent, and the broker does not say what became of
it. `partially_filled` stays once the rest is over."""

OrderReason = Literal["signal", "sell_signal", "horizon", "stop_loss", "take_profit", "trailing_stop", "manual"]

BARS_AWAITED = "BARS_AWAITED"
"""Code with which a live session's close is put off while bars that the ledger needs may still come."""


class Order(msgspec.Struct, frozen=True):
    """One order. Its id is a function of the decision it came from, so that a decision has at most one."""

    order_id: str
    prediction_id: str | None
    """The decision it came from, for a `horizon` exit the one that opened the position; None for an order by hand."""
    reason: OrderReason
    symbol: str
    side: Side
    quantity: Decimal
    status: OrderStatus
    session: date
    """The session it is to be filled in."""
    created_at: datetime
    model_name: str
    model_version: str
    trace_id: str
    filled_at: datetime | None = None
    fill_price: Decimal | None = None
    """Price per share with slippage."""
    commission: Decimal | None = None
    refusal: str | None = None
    """Code of the guard that refused it, with value and limit."""
    strength: float = 0.0
    """Of a purchase that a prediction asked for: by how much its probability is above the base rate."""
    reduced_from: Decimal | None = None
    """The quantity that was asked for, where the open had room for fewer shares."""
    reduction: str | None = None
    """Code of the guard that would have refused that, with value and limit."""
    filled_quantity: Decimal | None = None
    """How many shares were filled; None before the first."""


class Position(msgspec.Struct, frozen=True):
    """What is held of one symbol."""

    symbol: str
    quantity: Decimal
    average_cost: Decimal
    market_price: Decimal
    market_value: Decimal
    unrealised: Decimal
    opened: date
    sessions_held: int


class Account(msgspec.Struct, frozen=True):
    """The account: equity = cash + value of positions at the newest price, of an open or a close."""

    currency: str
    cash: Decimal
    positions_value: Decimal
    equity: Decimal
    initial_cash: Decimal
    realised: Decimal
    commission: Decimal
    orders_filled: int
    as_of: datetime | None
    halted: bool
    halts: list[str]
    """What halts now, one line per source."""
    newest_halt: int = 0
    """Number of the newest halt that nobody resumed, for whoever resumes; 0: there is none."""
    transferred: Decimal = Decimal(0)
    """Deposits less withdrawals, after the initial cash."""
    adjusted: Decimal = Decimal(0)
    """What the broker moved for other reasons than fills."""


class GetEquity(msgspec.Struct, frozen=True):
    """Ask for the account over time, at most `limit` (2 to 2000) sessions of it."""

    limit: int = 400


class EquityPoint(msgspec.Struct, frozen=True):
    """The account at the close of one session."""

    session: date
    cash: Decimal
    positions_value: Decimal
    equity: Decimal


class EquityCurve(msgspec.Struct, frozen=True):
    """The account at the close of sessions, oldest first; thinned evenly, the first and the last are there."""

    points: list[EquityPoint]


class Positions(msgspec.Struct, frozen=True):
    """Open positions by symbol."""

    positions: list[Position]


class ListOrders(msgspec.Struct, frozen=True):
    """Ask for orders, newest first."""

    symbol: str | None = None
    status: OrderStatus | None = None
    limit: int = 50


class Orders(msgspec.Struct, frozen=True):
    """Orders, newest first; `total` counts all that fit the question."""

    orders: list[Order]
    total: int


class Refusal(msgspec.Struct, frozen=True):
    """A decision or order that a guard refused: `code` of the guard, the value it saw and the limit."""

    prediction_id: str | None
    symbol: str
    code: str
    value: str
    limit: str
    at: datetime
    stage: Literal["signal", "open", "manual"]


class ListRefusals(msgspec.Struct, frozen=True):
    """Ask for refusals, newest first."""

    symbol: str | None = None
    limit: int = 50


class Refusals(msgspec.Struct, frozen=True):
    """Refusals, newest first."""

    refusals: list[Refusal]
    total: int


class ExecuteTrade(msgspec.Struct, frozen=True):
    """Ask for an order by hand. `client_id` makes a retry harmless: the same id never makes a second order.

    Without one the request's own id is taken, so that only the very same request is known again.
    """

    symbol: str
    action: Side
    quantity: Decimal
    client_id: str = ""


class Trade(msgspec.Struct, frozen=True):
    """An order by hand in the shape of the old system, with the order itself.

    `status` was `executed` or `failed` there. Here it is `executed` once the order is filled, never before; `queued`
    while it waits for its session, an approval or the broker; `failed` when it was refused, rejected or cancelled.
    """

    symbol: str
    action: Side
    quantity: Decimal
    timestamp: datetime
    trade_id: str
    """Our own id of the order."""
    ig_order_id: str | None
    """What IG calls it; None for the simulated broker, and until IG has it."""
    status: Literal["queued", "executed", "failed"]
    error: str | None
    """Why it failed."""
    order: Order


class ApproveOrder(msgspec.Struct, frozen=True):
    """Allow an order that waits for approval; `by` says who."""

    order_id: str
    by: str


class CancelOrder(msgspec.Struct, frozen=True):
    """End an order that is not over; `by` says who."""

    order_id: str
    by: str


class Transfer(msgspec.Struct, frozen=True):
    """Put cash into the simulated account (positive) or take it out; the same `transfer_id` counts once."""

    amount: Decimal
    transfer_id: str
    note: str = ""


class Export(msgspec.Struct, frozen=True):
    """Ask for rows of the ledger as a table, `limit` of them after the first `skip`."""

    what: Literal["trades", "lots"]
    skip: int = 0
    limit: int = 1000


class Exported(msgspec.Struct, frozen=True):
    """Rows of a table; `total` counts all of them."""

    columns: list[str]
    rows: list[list[str]]
    total: int


class SyncedPositions(msgspec.Struct, frozen=True):
    """Positions after comparing the ledger with the broker; differences are named."""

    synced_positions: int
    differences: list[str]


class MarketsInitialized(msgspec.Struct, frozen=True):
    """Answer of `initialize_ig_markets`."""

    status: Literal["ig_markets_initialized"]
    markets: list[str]


class SessionOpen(msgspec.Struct, frozen=True):
    """The session opened: apply corporate actions, release queued orders, fill them at the opening price."""

    session: date


class SessionOpened(msgspec.Struct, frozen=True):
    """What happened at the open."""

    filled: list[str]
    refused: list[str]
    corporate_actions: int


class SessionClose(msgspec.Struct, frozen=True):
    """The session closed: mark to market, queue the exits whose horizon is over."""

    session: date


class SessionClosed(msgspec.Struct, frozen=True):
    """What happened at the close."""

    equity: Decimal
    exits: list[str]


class Halt(msgspec.Struct, frozen=True):
    """Stop every order until somebody resumes."""

    reason: str
    source: str


class Resume(msgspec.Struct, frozen=True):
    """Clear every latch; a halt that the declaration states stays."""

    reason: str
    source: str
    seen: int | None = None
    """Number of the newest halt that the caller has seen (`newest_halt`): with a newer one nothing is resumed. Without
    it, several halts are not resumed."""


class HaltState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether orders are stopped, and by whom."""

    halted: bool
    halts: list[str]
    newest_halt: int = 0
    """Number of the newest halt that nobody resumed; 0: there is none."""


class Explain(msgspec.Struct, frozen=True):
    """Ask what became of the newest decision about a symbol."""

    symbol: str
    prediction_id: str | None = None


class Explanation(msgspec.Struct, frozen=True):
    """The order or the refusals of one decision; `unseen` when the trader has not met it."""

    symbol: str
    prediction_id: str | None
    outcome: Literal["order", "refused", "ignored", "unseen"]
    order: Order | None
    refusals: list[Refusal]
    guards: list[str]
    """Codes of the guards it passed, in order."""


class SafetyRefusal(msgspec.Struct, frozen=True):
    """Why orders would not be allowed now: code of the guard, what it saw and needs, and a sentence for people."""

    code: str
    value: str
    limit: str
    message: str
    symbol: str = ""
    """The only symbol that it is about; empty: it is about every order."""


class Safety(msgspec.Struct, frozen=True):
    """Whether an order would be allowed if the session were open; None: that is not known now.

    Where it is safe, each refusal is about one symbol, and there is another one that could be traded.
    """

    safe: bool | None
    refusals: list[SafetyRefusal]


class LedgerCheck(msgspec.Struct, frozen=True):
    """The ledger's invariants, computed again from its events; `violations` is empty when all hold."""

    orders: int
    fills: int
    duplicate_orders: int
    cash: Decimal
    cash_from_events: Decimal
    violations: list[str]


class OrderEvent(msgspec.Struct, frozen=True):
    """An order was queued or filled."""

    order: Order


class OrderRefused(msgspec.Struct, frozen=True):
    """A decision or order was refused."""

    refusal: Refusal


class HaltChanged(msgspec.Struct, frozen=True):
    """Orders were stopped or allowed again."""

    state: HaltState
    reason: str
