"""What the broker says of money and of orders in doubt, beside what the ledger says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

from bellwether.broker.values import Adjustment, BrokerAccount, BrokerPosition
from bellwether.messages.trading import Side
from bellwether.trading.book import Book
from bellwether.trading.events import Adjusted, BrokerStated, LedgerEvent, Transferred
from bellwether.trading.pricing import ZERO, text

CASH_TOLERANCE = Decimal("1.00")
"""By how much balance and ledger may differ: prices and amounts are rounded on both sides."""


def adjusted(told: Iterable[Adjustment]) -> list[LedgerEvent]:
    """Return the ledger's events for what moved money at the broker.

    Realised profit is left out: the ledger computes it from the fills, and the comparison of cash holds it against the
    broker's.
    """
    events: list[LedgerEvent] = []
    for one in told:
        if one.kind == "transfer":
            events.append(Transferred(one.at, one.adjustment_id, one.amount, one.text))
        elif one.kind != "realised":
            events.append(Adjusted(one.at, one.adjustment_id, one.kind, one.amount, one.symbol, one.text))
    return events


def stated(account: BrokerAccount, positions: Iterable[BrokerPosition], now: datetime) -> BrokerStated:
    """Return what the broker said of the account."""
    cost = sum((one.quantity * one.average_price for one in positions), ZERO)
    return BrokerStated(now, account.cash, account.available, account.margin, cost)


def unexplained(book: Book, statement: BrokerStated) -> Decimal:
    """Return by how much the broker's money differs from the ledger's, beyond where both began.

    Balance less cost of the open positions moves as the ledger's cash does, whichever lots a sale is taken from.
    """
    if book.broker_offset is None:
        return ZERO
    return statement.balance - statement.open_cost - book.cash - book.broker_offset


def cash_words(difference: Decimal) -> str:
    """Return an unexplained difference in money for people, empty where it is within the tolerance."""
    if abs(difference) <= CASH_TOLERANCE:
        return ""
    return f"the broker's money differs from the ledger's by {text(difference)}, which no transaction explains"


Proof = Literal["filled", "nothing", "unproven"]


def proof(side: Side, leaves: Decimal, ledger: Decimal, broker: Decimal, *, partial: bool) -> tuple[Proof, Decimal]:
    """Return what the positions of a symbol prove of its one order in doubt, and how many shares were filled.

    On an account that nobody else trades on, a position that is the ledger's says that the order was not filled, and
    one that differs by the order's own shares that it was. Anything else proves nothing.
    """
    change = broker - ledger if side == "BUY" else ledger - broker
    if change == 0:
        return "nothing", ZERO
    if change == leaves or (partial and 0 < change < leaves):
        return "filled", change
    return "unproven", ZERO


def blocked_by(
    differences: Mapping[str, str], unknown: Mapping[str, str], cash: str, symbols: Iterable[str]
) -> dict[str, str]:
    """Return why each symbol is blocked: positions that differ, orders in doubt, and money that differs blocks all."""
    found = dict.fromkeys(sorted(symbols), cash) if cash else {}
    return found | dict(unknown) | dict(differences)
