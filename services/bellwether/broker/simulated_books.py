"""The books of the simulated broker: what each order, split and deposit does to them, in one transaction each.

They lie in the trader's database beside the ledger. Nothing in them is made from the ledger, so comparing the two
compares two counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from bellwether.broker.costs import Costs, costs_of
from bellwether.broker.values import (
    ZERO,
    Accepted,
    Adjustment,
    AdjustmentKind,
    BrokerEvent,
    Ended,
    Fill,
    NewOrder,
    Rejected,
)
from bellwether.storage.store import Transaction
from bellwether.storage.tables import texts


@dataclass(frozen=True, slots=True)
class Settings:
    """What the declaration says of the simulation.

    Attributes:
        costs: slippage and commission.
        currency: of the account.
        symbols: those that can be bought.
        volume_share: the largest share of the last closed session's volume that an order gets; None: no limit.
    """

    costs: Costs
    currency: str
    symbols: frozenset[str]
    volume_share: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Market:
    """An open session: `at` now, opening prices and the last closed session's volumes by symbol.

    `final` says that a symbol without a price will not get one any more. With `held` nothing is filled yet: orders
    work until the next time that the market is given.
    """

    session: date
    at: datetime
    prices: Mapping[str, Decimal]
    volumes: Mapping[str, Decimal] = field(default_factory=dict)
    final: bool = True
    held: bool = False


class Move(NamedTuple):
    """Something besides an order that moves shares or money: the shares of `symbol` become `ratio` as many."""

    key: str
    at: datetime
    kind: Literal["split", "dividend", "transfer"]
    cash: Decimal
    symbol: str = ""
    ratio: Decimal = Decimal(1)


class _Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as it is stored."""

    kind: Literal["accepted", "fill", "rejected", "ended"]
    at: datetime
    words: str = ""
    code: str = ""
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    commission: Decimal = ZERO


_KINDS: dict[str, AdjustmentKind] = {"dividend": "dividend", "transfer": "transfer"}
_order = msgspec.json.Decoder(NewOrder)
_reported = msgspec.json.Decoder(_Report)
_encode = msgspec.json.Encoder(decimal_format="string").encode


class Books:
    """The books of one account within a transaction; `reported` is what the broker has to report once it is in."""

    def __init__(self, tx: Transaction, account: str, settings: Settings) -> None:
        self._tx = tx
        self._account = account
        self._settings = settings
        self.reported: list[BrokerEvent] = []

    def open(self, cash: Decimal, positions: Mapping[str, Decimal], done: Sequence[Move] = ()) -> bool:
        """Open the account; return False where there is one already."""
        query = "INSERT INTO sim_accounts (account, currency, cash) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        row = (self._account, self._settings.currency, str(cash))
        if self._tx.driver.execute(query, row).rowcount == 0:
            return False
        for symbol, quantity in positions.items():
            self._hold(symbol, quantity)
        for move in done:
            self._note(move)
        return True

    def take(self, order: NewOrder, market: Market | None) -> None:
        """Take an order, once, and fill it at once where the market does not hold it back."""
        query = "INSERT INTO sim_orders (account, reference, data, works) VALUES (?, ?, ?, 1) ON CONFLICT DO NOTHING"
        row = (self._account, order.reference, _encode(order).decode())
        if self._tx.driver.execute(query, row).rowcount == 0:
            return
        why = self._objection(order, market)
        if why is not None or market is None:
            code, words = why or ("MARKET_CLOSED", "the session is not open")
            at = order.deadline if market is None else market.at
            self._report(order.reference, _Report("rejected", at, code=code, words=words), works=False)
            return
        self._report(order.reference, _Report("accepted", market.at), works=True)
        if not market.held:
            self._fill(order, market)

    def cancel(self, reference: str, market: Market | None) -> None:
        """End what works of an order."""
        order = self._working().get(reference)
        if order is not None:
            at = order.deadline if market is None else market.at
            self._report(reference, _Report("ended", at, code="cancelled", words="cancelled"), works=False)

    def reports_of(self, reference: str) -> tuple[BrokerEvent, ...]:
        """Return everything that was reported of an order."""
        query = "SELECT id, data FROM sim_events WHERE account = ? AND reference = ? ORDER BY id"
        rows = self._tx.driver.execute(query, (self._account, reference)).fetchall()
        return tuple(_event(reference, int(row[0]), _reported.decode(row[1])) for row in rows)

    def moves(self) -> list[Adjustment]:
        """Return what moved money besides orders."""
        query = "SELECT key, at, kind, amount, symbol FROM sim_actions WHERE account = ? ORDER BY id"
        return [
            Adjustment(key, datetime.fromisoformat(at), _KINDS.get(kind, "other"), Decimal(amount), symbol)
            for key, at, kind, amount, symbol in self._tx.driver.execute(query, (self._account,)).fetchall()
        ]

    def _objection(self, order: NewOrder, market: Market | None) -> tuple[str, str] | None:
        settings = self._settings
        if market is None:
            return "MARKET_CLOSED", "the session is not open"
        if market.session != order.session:
            return "WRONG_SESSION", f"the order is for {order.session}, it is {market.session}"
        if market.at >= order.deadline:
            return "DEADLINE_PASSED", f"it is {market.at.isoformat()}, the deadline was {order.deadline.isoformat()}"
        if order.side == "BUY" and order.symbol not in settings.symbols:
            return "UNKNOWN_SYMBOL", f"{order.symbol} is not traded here"
        if market.prices.get(order.symbol, ZERO) <= 0:
            return "NO_PRICE", f"{order.symbol} has no opening price on {market.session}"
        held = self.held().get(order.symbol, ZERO)
        if order.side == "SELL" and order.quantity > held:
            return "INSUFFICIENT_SHARES", f"{order.quantity} {order.symbol} to sell, {held} held"
        cost = costs_of(order.side, order.quantity, market.prices[order.symbol], settings.costs)
        cash = self.cash()
        if order.side == "BUY" and cost.value + cost.commission > cash:
            return "INSUFFICIENT_FUNDS", f"{cost.value + cost.commission} needed, {cash} there"
        return None

    def fill_all(self, market: Market) -> None:
        """Fill what works, and end what the market or its deadline no longer lets work."""
        for reference, order in self._working().items():
            if market.at >= order.deadline:
                late = _Report(
                    "ended", market.at, code="expired", words=f"the deadline was {order.deadline.isoformat()}"
                )
                self._report(reference, late, works=False)
                continue
            why = self._objection(order, market)
            if why is None:
                self._fill(order, market)
            elif why[0] != "NO_PRICE" or market.final:
                self._report(
                    reference, _Report("ended", market.at, code="cancelled", words=": ".join(why)), works=False
                )

    def _fill(self, order: NewOrder, market: Market) -> None:
        quantity = min(order.quantity, self._room(order, market))
        if quantity < order.quantity and not order.partial:
            quantity = ZERO
        if quantity > 0:
            cost = costs_of(order.side, quantity, market.prices[order.symbol], self._settings.costs)
            sign = 1 if order.side == "SELL" else -1
            cash = self.cash() + sign * cost.value
            # A sale that is worth less than its commission costs what there is.
            commission = min(cost.commission, cash)
            self._pay(cash - commission)
            self._hold(order.symbol, self.held().get(order.symbol, ZERO) - sign * quantity)
            fill = _Report("fill", market.at, quantity=quantity, price=cost.price, commission=commission)
            self._report(order.reference, fill, works=False)
        if quantity < order.quantity:
            share = f"{quantity} of {order.quantity} shares are volumeShare of the last session's volume"
            self._report(order.reference, _Report("ended", market.at, code="cancelled", words=share), works=False)

    def _room(self, order: NewOrder, market: Market) -> Decimal:
        share = self._settings.volume_share
        if share is None:
            return order.quantity
        return (market.volumes.get(order.symbol, ZERO) * share).to_integral_value(ROUND_DOWN)

    def move(self, move: Move) -> None:
        """Apply a split, dividend or transfer, once by its key."""
        if not self._note(move):
            return
        self._pay(self.cash() + move.cash)
        if move.kind == "split":
            shares = self.held().get(move.symbol, ZERO) * move.ratio
            self._hold(move.symbol, shares.to_integral_value(ROUND_DOWN))

    def _note(self, move: Move) -> bool:
        """Write a move down; return False where it was before."""
        query = (
            "INSERT INTO sim_actions (account, key, at, symbol, kind, amount) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING"
        )
        row = (self._account, move.key, move.at.isoformat(), move.symbol, move.kind, str(move.cash))
        return self._tx.driver.execute(query, row).rowcount == 1

    def _working(self) -> dict[str, NewOrder]:
        query = "SELECT reference, data FROM sim_orders WHERE account = ? AND works = 1 ORDER BY rowid"
        return {row[0]: _order.decode(row[1]) for row in self._tx.driver.execute(query, (self._account,)).fetchall()}

    def held(self) -> dict[str, Decimal]:
        """Return the shares by symbol; zero where all of them were sold."""
        query = "SELECT symbol, quantity FROM sim_positions WHERE account = ?"
        return {row[0]: Decimal(row[1]) for row in self._tx.driver.execute(query, (self._account,)).fetchall()}

    def _hold(self, symbol: str, quantity: Decimal) -> None:
        query = (
            "INSERT INTO sim_positions (account, symbol, quantity) VALUES (?, ?, ?) "
            "ON CONFLICT (account, symbol) DO UPDATE SET quantity = excluded.quantity"
        )
        self._tx.driver.execute(query, (self._account, symbol, str(quantity)))

    def cash(self) -> Decimal:
        """Return the cash; zero before the account is opened."""
        query = "SELECT cash FROM sim_accounts WHERE account = ?"
        row = self._tx.driver.execute(query, (self._account,)).fetchone()
        return ZERO if row is None else Decimal(row[0])

    def _pay(self, cash: Decimal) -> None:
        query = "UPDATE sim_accounts SET cash = ? WHERE account = ?"
        self._tx.driver.execute(query, (str(cash), self._account))

    def _report(self, reference: str, reported: _Report, *, works: bool) -> None:
        query = "INSERT INTO sim_events (account, reference, data) VALUES (?, ?, ?)"
        number = self._tx.driver.execute(query, (self._account, reference, _encode(reported).decode())).lastrowid
        update = "UPDATE sim_orders SET works = ? WHERE account = ? AND reference = ?"
        self._tx.driver.execute(update, (int(works), self._account, reference))
        self.reported.append(_event(reference, int(number or 0), reported))


def _event(reference: str, number: int, said: _Report) -> BrokerEvent:
    match said.kind:
        case "accepted":
            return Accepted(reference, said.at, f"SIM{reference}")
        case "fill":
            return Fill(reference, said.at, f"sim-{number}", said.quantity, said.price, said.commission)
        case "rejected":
            return Rejected(reference, said.at, said.code, said.words)
        case "ended":
            return Ended(reference, said.at, "expired" if said.code == "expired" else "cancelled", said.words)


def add_simulated_tables(metadata: MetaData) -> Index:
    """Add the tables to those of a store, once; return the index of the orders that work, which version 4 had not."""
    if "sim_orders" in metadata.tables:
        return next(index for index in metadata.tables["sim_orders"].indexes if index.name == "sim_orders_working")
    Table("sim_accounts", metadata, Column("account", String, primary_key=True), *texts("currency", "cash"))
    Table("sim_positions", metadata, *texts("account", "symbol", key=True), Column("quantity", String, nullable=False))
    orders = Table(
        "sim_orders",
        metadata,
        *texts("account", "reference", key=True),
        Column("data", Text, nullable=False),
        Column("works", Integer, nullable=False),
    )
    working = Index("sim_orders_working", orders.c.account, sqlite_where=orders.c.works == 1)
    reported = Table(
        "sim_events",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        *texts("account", "reference"),
        Column("data", Text, nullable=False),
    )
    Index("sim_events_by_order", reported.c.account, reported.c.reference, reported.c.id)
    # What moved shares or money besides orders (a split, a dividend, a deposit), each once by its key.
    Table(
        "sim_actions",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        *texts("account", "key", "at", "symbol", "kind", "amount"),
        UniqueConstraint("account", "key"),
    )
    return working
