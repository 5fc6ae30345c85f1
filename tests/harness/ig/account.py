"""One account at the stand-in: it executes orders, nets or opens positions, and keeps books. No I/O."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from harness.ig.markets import Market

CENT = Decimal("0.01")
ZERO = Decimal(0)

Direction = Literal["BUY", "SELL"]
_CLOSED_REASONS = {
    "CLOSED": "MARKET_CLOSED",
    "EDITS_ONLY": "MARKET_CLOSED_WITH_EDITS",
    "OFFLINE": "MARKET_OFFLINE",
    "ON_AUCTION": "MARKET_CLOSED_WITH_EDITS",
    "ON_AUCTION_NO_EDITS": "MARKET_CLOSED",
    "SUSPENDED": "MARKET_OFFLINE",
}


@dataclass(frozen=True)
class Ticket:
    """What a client asked for: a MARKET order, or a LIMIT order at `level`."""

    reference: str
    epic: str
    direction: Direction
    size: Decimal
    currency: str
    force_open: bool = False
    order_type: str = "MARKET"
    level: Decimal | None = None
    time_in_force: str = "FILL_OR_KILL"
    only_deal: str | None = None
    """Close this position and nothing else (DELETE /positions/otc)."""
    closes_only: bool = False
    stop_distance: Decimal | None = None
    """How far below (above, of a sale) its level the position's stop is to be."""
    by_stop: bool = False
    """Whether a position's stop asks for it, and nobody else."""


@dataclass(frozen=True)
class Position:
    """An open position; a netting order makes its size smaller."""

    deal_id: str
    reference: str
    epic: str
    direction: Direction
    size: Decimal
    level: Decimal
    currency: str
    opened: datetime
    stop_level: Decimal | None = None

    @property
    def signed(self) -> Decimal:
        """Size, negative when short."""
        return self.size if self.direction == "BUY" else -self.size


@dataclass(frozen=True)
class WorkingOrder:
    """A resting LIMIT or STOP order."""

    deal_id: str
    reference: str
    epic: str
    direction: Direction
    size: Decimal
    level: Decimal
    currency: str
    kind: str
    created: datetime
    good_till: str | None = None


@dataclass(frozen=True)
class Deal:
    """What became of one ticket: the book's own record, which no switch changes."""

    number: int
    at: datetime
    ticket: Ticket
    deal_id: str
    accepted: bool
    reason: str
    filled: Decimal = ZERO
    level: Decimal | None = None
    affected: tuple[tuple[str, str], ...] = ()
    """Deals and what became of each: OPENED, FULLY_CLOSED, PARTIALLY_CLOSED, AMENDED, DELETED."""
    profit: Decimal | None = None
    working: bool = False

    @property
    def closes(self) -> bool:
        """Whether it closed anything."""
        return any(status.endswith("CLOSED") for _, status in self.affected)


@dataclass(frozen=True)
class Movement:
    """One line of the account's transactions."""

    at: datetime
    name: str
    amount: Decimal
    kind: str
    """TRADE, WITH or DEPO."""
    reference: str
    epic: str = ""
    open_level: Decimal | None = None
    close_level: Decimal | None = None
    size: Decimal | None = None

    @property
    def cash(self) -> bool:
        """Whether it is no trade."""
        return self.kind != "TRADE"


@dataclass
class Account:
    """Positions, working orders, deals, transactions and cash of one account."""

    account_id: str
    markets: Mapping[str, Market]
    currency: str = "AUD"
    balance: Decimal = Decimal("100000.00")
    commission_rate: Decimal = Decimal("0.0008")
    commission_least: Decimal = Decimal("5.00")
    positions: dict[str, Position] = field(default_factory=dict)
    working: dict[str, WorkingOrder] = field(default_factory=dict)
    deals: list[Deal] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    # What there is

    def net(self) -> dict[str, Decimal]:
        """Return the net size by epic, negative when short; epics with none are left out."""
        found: dict[str, Decimal] = {}
        for position in self.positions.values():
            found[position.epic] = found.get(position.epic, ZERO) + position.signed
        return {epic: size for epic, size in found.items() if size}

    def executed(self, reference: str) -> list[Deal]:
        """Return the deals of a reference that changed positions: more than one is an order that was sent twice."""
        return [deal for deal in self.deals if deal.ticket.reference == reference and deal.accepted and deal.filled]

    @property
    def profit_loss(self) -> Decimal:
        """Profit of the open positions now."""
        return sum((self._gain(one, self._closing_level(one)) * one.size for one in self.positions.values()), ZERO)

    @property
    def margin(self) -> Decimal:
        """What is held back for open positions."""
        return sum((self._margin_of(one.epic, one.size) for one in self.positions.values()), ZERO)

    @property
    def available(self) -> Decimal:
        """What new positions may take as margin."""
        return self.balance + self.profit_loss - self.margin

    def _margin_of(self, epic: str, size: Decimal) -> Decimal:
        market = self.markets[epic]
        return (market.price * size * market.margin_factor / 100).quantize(CENT, ROUND_HALF_UP)

    def _closing_level(self, position: Position) -> Decimal:
        market = self.markets[position.epic]
        return market.bid if position.direction == "BUY" else market.offer

    @staticmethod
    def _gain(position: Position, level: Decimal) -> Decimal:
        return level - position.level if position.direction == "BUY" else position.level - level

    # Orders

    def execute(self, ticket: Ticket, now: datetime, *, status: str, available: int = -1, reject: str = "") -> Deal:
        """Execute an order at the market, or reject it; the deal is written down either way."""
        reason = reject or self._objection(ticket, status, available)
        if reason:
            return self._written(ticket, now, accepted=False, reason=reason)
        size = ticket.size if available < 0 else min(ticket.size, Decimal(available))
        market = self.markets[ticket.epic]
        level = market.offer if ticket.direction == "BUY" else market.bid
        deal_id = self._deal_id()
        affected: list[tuple[str, str]] = []
        left, profit = size, None
        for position in self._to_close(ticket):
            if left <= 0:
                break
            closed = min(left, position.size)
            left -= closed
            profit = (profit or ZERO) + self._close(position, closed, level, now)
            affected.append((position.deal_id, "FULLY_CLOSED" if closed == position.size else "PARTIALLY_CLOSED"))
        if left > 0:
            stop = None
            if ticket.stop_distance is not None:
                stop = level - ticket.stop_distance if ticket.direction == "BUY" else level + ticket.stop_distance
            opened = Position(
                deal_id, ticket.reference, ticket.epic, ticket.direction, left, level, ticket.currency, now, stop
            )
            self.positions[deal_id] = opened
            affected.append((deal_id, "OPENED"))
        commission = max(self.commission_least, (size * level * self.commission_rate).quantize(CENT, ROUND_HALF_UP))
        if commission:
            self._move(now, f"{market.name} COMM", -commission, deal_id, ticket.epic)
        return self._written(
            ticket,
            now,
            accepted=True,
            reason="SUCCESS",
            deal_id=deal_id,
            filled=size,
            level=level,
            affected=tuple(affected),
            profit=profit,
        )

    def _objection(self, ticket: Ticket, status: str, available: int) -> str:
        market = self.markets.get(ticket.epic)
        if market is None:
            return "INSTRUMENT_NOT_FOUND"
        if status != "TRADEABLE":
            return _CLOSED_REASONS.get(status, "MARKET_OFFLINE")
        if market.order_preference == "NOT_AVAILABLE" and ticket.order_type == "MARKET":
            return "MARKET_ORDERS_NOT_ALLOWED_ON_INSTRUMENT"
        if ticket.currency != market.currency:
            return "INSTRUMENT_NOT_TRADEABLE_IN_THIS_CURRENCY"
        closing = sum((one.size for one in self._to_close(ticket)), ZERO)
        if ticket.closes_only and closing < ticket.size:
            return "POSITION_NOT_AVAILABLE_TO_CLOSE"
        if ticket.size < market.min_size and ticket.size > closing:
            return "MINIMUM_ORDER_SIZE_ERROR"
        if 0 <= available < ticket.size and (ticket.time_in_force == "FILL_OR_KILL" or available == 0):
            return "ORDER_SIZE_CANNOT_BE_FILLED"
        opening = ticket.size - min(closing, ticket.size)
        if opening and self._margin_of(ticket.epic, opening) > self.available:
            return "INSUFFICIENT_FUNDS"
        return ""

    def _to_close(self, ticket: Ticket) -> list[Position]:
        if ticket.force_open:
            return []
        found = [one for one in self.positions.values() if one.epic == ticket.epic]
        found = [one for one in found if one.direction != ticket.direction]
        if ticket.only_deal is not None:
            found = [one for one in found if one.deal_id == ticket.only_deal]
        return sorted(found, key=lambda one: (one.opened, one.deal_id))

    def _close(self, position: Position, size: Decimal, level: Decimal, now: datetime) -> Decimal:
        profit = (self._gain(position, level) * size).quantize(CENT, ROUND_HALF_UP)
        if size == position.size:
            del self.positions[position.deal_id]
        else:
            self.positions[position.deal_id] = replace(position, size=position.size - size)
        signed = size if position.direction == "BUY" else -size
        self.balance += profit
        self.movements.append(
            Movement(
                now,
                self.markets[position.epic].name,
                profit,
                "TRADE",
                position.deal_id,
                position.epic,
                position.level,
                level,
                signed,
            )
        )
        return profit

    def _at_its_stop(self, position: Position) -> bool:
        level, stop = self._closing_level(position), position.stop_level
        if stop is None:
            return False
        return level <= stop if position.direction == "BUY" else level >= stop

    def stop_out(self, now: datetime) -> list[Deal]:
        """Close the positions whose stop the market has reached, at the market; return the deals."""
        reached = [one for one in self.positions.values() if self._at_its_stop(one)]
        found = []
        for one in reached:
            direction: Direction = "SELL" if one.direction == "BUY" else "BUY"
            ticket = Ticket(
                f"stop{len(self.deals) + 1:09d}",
                one.epic,
                direction,
                one.size,
                one.currency,
                only_deal=one.deal_id,
                closes_only=True,
                by_stop=True,
            )
            found.append(self.execute(ticket, now, status="TRADEABLE"))
        return found

    def rest(self, ticket: Ticket, kind: str, good_till: str | None, now: datetime) -> Deal:
        """Take a working order that waits for its level."""
        if ticket.epic not in self.markets:
            return self._written(ticket, now, accepted=False, reason="INSTRUMENT_NOT_FOUND")
        deal_id = self._deal_id()
        level = ticket.level or ZERO
        self.working[deal_id] = WorkingOrder(
            deal_id,
            ticket.reference,
            ticket.epic,
            ticket.direction,
            ticket.size,
            level,
            ticket.currency,
            kind,
            now,
            good_till,
        )
        return self._written(
            ticket,
            now,
            accepted=True,
            reason="SUCCESS",
            deal_id=deal_id,
            level=level,
            working=True,
            affected=((deal_id, "OPENED"),),
        )

    def withdraw(self, deal_id: str, reference: str, now: datetime) -> Deal | None:
        """Take a working order back; None where there is none."""
        order = self.working.pop(deal_id, None)
        if order is None:
            return None
        ticket = Ticket(reference, order.epic, order.direction, order.size, order.currency, level=order.level)
        return self._written(
            ticket,
            now,
            accepted=True,
            reason="SUCCESS",
            deal_id=deal_id,
            working=True,
            affected=((deal_id, "DELETED"),),
        )

    # Cash

    def charge_funding(self, now: datetime, rate: Decimal = Decimal("0.07")) -> Decimal:
        """Charge a night's interest on long positions; return what was charged in all."""
        total = ZERO
        for position in list(self.positions.values()):
            market = self.markets[position.epic]
            amount = (position.signed * market.price * rate / 365).quantize(CENT, ROUND_HALF_UP)
            if amount:
                self._move(now, f"{market.name} Interest", -amount, position.deal_id, position.epic)
                total += amount
        return total

    def pay_dividend(self, epic: str, per_share: Decimal, now: datetime) -> Decimal:
        """Adjust for a dividend: long positions are credited, short ones debited; return the sum."""
        amount = (self.net().get(epic, ZERO) * per_share).quantize(CENT, ROUND_HALF_UP)
        if amount:
            self._move(now, f"DIVIDEND {self.markets[epic].name}", amount, self._deal_id(), epic)
        return amount

    def deposit(self, amount: Decimal, now: datetime) -> None:
        """Add cash from outside, or take some out."""
        self._move(now, "Cash In" if amount >= 0 else "Cash Out", amount, self._deal_id())

    def _move(self, now: datetime, name: str, amount: Decimal, reference: str, epic: str = "") -> None:
        self.balance += amount
        self.movements.append(Movement(now, name, amount, "DEPO" if amount >= 0 else "WITH", reference, epic))

    def _deal_id(self) -> str:
        return f"DIAAAA{next(self._numbers):09d}"

    def _written(
        self,
        ticket: Ticket,
        now: datetime,
        *,
        accepted: bool,
        reason: str,
        deal_id: str | None = None,
        filled: Decimal = ZERO,
        level: Decimal | None = None,
        affected: tuple[tuple[str, str], ...] = (),
        profit: Decimal | None = None,
        working: bool = False,
    ) -> Deal:
        deal = Deal(
            number=len(self.deals) + 1,
            at=now,
            ticket=ticket,
            deal_id=deal_id or self._deal_id(),
            accepted=accepted,
            reason=reason,
            filled=filled,
            level=level,
            affected=affected,
            profit=profit,
            working=working,
        )
        self.deals.append(deal)
        return deal
