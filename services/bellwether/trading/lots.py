"""Tax lots from the ledger's events: first in, first out, with the Australian mark of 12 months. Pure.

A lot's cost holds its share of the purchase's commission, its proceeds are less that of the sale's. The ledger itself
reckons with average cost, so the gains of single sales differ from its `realised`; over a position's life their sum is
the same but for commissions. A split changes the shares of each lot and leaves its date; a fraction of a share that is
paid out is taken from the oldest lot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from bellwether.trading.events import LedgerEvent, OrderFilled, OrderQueued, PositionSplit
from bellwether.trading.pricing import CENT, ZERO, text

TRADE_COLUMNS = (
    "session",
    "at",
    "symbol",
    "side",
    "quantity",
    "price",
    "value",
    "commission",
    "realised",
    "order_id",
    "fill_id",
    "reason",
    "prediction_id",
)
LOT_COLUMNS = (
    "symbol",
    "acquired",
    "disposed",
    "quantity",
    "cost",
    "proceeds",
    "gain",
    "days_held",
    "held_12_months",
    "bought_by",
    "sold_by",
)
_STEP = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Lot:
    """Shares that were bought together, still held or disposed of together; `disposed` None while they are held."""

    symbol: str
    acquired: date
    quantity: Decimal
    cost: Decimal
    bought_by: str
    disposed: date | None = None
    proceeds: Decimal = ZERO
    sold_by: str = ""

    @property
    def gain(self) -> Decimal | None:
        """Proceeds less cost; None while it is held."""
        return None if self.disposed is None else self.proceeds - self.cost

    def held_12_months(self, until: date | None = None) -> bool:
        """Whether it was held for at least 12 months, the days of acquisition and disposal left out.

        That is what Australia's discount on capital gains asks for. A lot that is still held is judged as if it were
        disposed of on `until`.
        """
        end = self.disposed or until
        return end is not None and end > anniversary(self.acquired)


def anniversary(day: date) -> date:
    """Return the same day a year later; 28 February after the 29th."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)


def lots_of(events: Iterable[LedgerEvent]) -> list[Lot]:
    """Return every lot, in the order of acquisition; one that was sold in parts is several.

    Raises:
        ValueError: if more is sold than was bought: the ledger is damaged.
    """
    held: dict[str, list[Lot]] = {}
    over: list[Lot] = []
    for event in events:
        match event:
            case OrderFilled(side="BUY"):
                cost = event.price * event.quantity + event.commission
                lot = Lot(event.symbol, event.session, event.quantity, cost, event.order_id)
                held.setdefault(event.symbol, []).append(lot)
            case OrderFilled():
                proceeds = event.price * event.quantity - event.commission
                over += _dispose(held.get(event.symbol, []), event.quantity, proceeds, event.session, event.order_id)
            case PositionSplit():
                lots = [replace(lot, quantity=lot.quantity * event.ratio) for lot in held.get(event.symbol, [])]
                fraction = sum((lot.quantity for lot in lots), ZERO) - event.quantity
                if fraction > _STEP:
                    over += _dispose(lots, fraction, event.cash_in_lieu, event.session, "cash in lieu of a fraction")
                held[event.symbol] = lots
    found = over + [lot for lots in held.values() for lot in lots]
    return sorted(found, key=lambda lot: (lot.acquired, lot.symbol, lot.disposed or date.max))


def _dispose(lots: list[Lot], quantity: Decimal, proceeds: Decimal, day: date, sold_by: str) -> list[Lot]:
    """Take shares from the oldest lots; return what left, with its part of the proceeds."""
    left, unpaid, found = quantity, proceeds, []
    while left > 0:
        if not lots:
            raise ValueError(f"{sold_by} disposes of {text(quantity)} shares, {text(left)} more than were bought")
        lot = lots[0]
        taken = min(lot.quantity, left)
        paid = unpaid if taken == left else (proceeds * taken / quantity).quantize(CENT)
        cost = lot.cost if taken == lot.quantity else (lot.cost * taken / lot.quantity).quantize(CENT)
        found.append(replace(lot, quantity=taken, cost=cost, disposed=day, proceeds=paid, sold_by=sold_by))
        if taken == lot.quantity:
            lots.pop(0)
        else:
            lots[0] = replace(lot, quantity=lot.quantity - taken, cost=lot.cost - cost)
        left -= taken
        unpaid -= paid
    return found


def lot_rows(lots: Sequence[Lot], today: date) -> list[list[str]]:
    """Return lots as rows of `LOT_COLUMNS`; those still held are counted up to today."""
    return [
        [
            lot.symbol,
            lot.acquired.isoformat(),
            "" if lot.disposed is None else lot.disposed.isoformat(),
            text(lot.quantity.quantize(_STEP)),
            f"{lot.cost.quantize(CENT):f}",
            "" if lot.disposed is None else f"{lot.proceeds.quantize(CENT):f}",
            "" if lot.gain is None else f"{lot.gain.quantize(CENT):f}",
            str(((lot.disposed or today) - lot.acquired).days),
            "yes" if lot.held_12_months(today) else "no",
            lot.bought_by,
            lot.sold_by,
        ]
        for lot in lots
    ]


def trade_rows(events: Iterable[LedgerEvent]) -> list[list[str]]:
    """Return every fill as a row of `TRADE_COLUMNS`, in the order of the ledger."""
    orders: dict[str, OrderQueued] = {}
    rows: list[list[str]] = []
    for event in events:
        match event:
            case OrderQueued():
                orders[event.order_id] = event
            case OrderFilled():
                order = orders.get(event.order_id)
                rows.append(
                    [
                        event.session.isoformat(),
                        event.at.isoformat(),
                        event.symbol,
                        event.side,
                        text(event.quantity),
                        text(event.price),
                        f"{(event.price * event.quantity).quantize(CENT):f}",
                        f"{event.commission.quantize(CENT):f}",
                        f"{event.realised.quantize(CENT):f}",
                        event.order_id,
                        event.fill_id,
                        "" if order is None else order.reason,
                        "" if order is None else order.prediction_id or "",
                    ]
                )
    return rows
