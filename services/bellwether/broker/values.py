"""What goes to a broker and what comes back: orders, events, positions, the account. Plain values.

Quantities are whole shares, money and prices decimals in the account's currency, instants in UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from bellwether.messages.trading import Side

REFERENCE_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,30}")
"""What a client reference may be, so that every broker takes it."""

ZERO = Decimal(0)

AdjustmentKind = Literal["funding", "dividend", "commission", "realised", "transfer", "other"]


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A market order as it is submitted, once.

    Attributes:
        reference: our own id of it. The broker keeps it, and whoever is not sure looks the order up by it.
        symbol: the declared one; the adapter knows what it is called at the broker.
        side: of the order.
        quantity: whole shares, at least 1.
        session: the session that it is to be filled in.
        deadline: the instant from which it must not be sent, or filled, any more.
        closes: whether it takes from what is held. Such an order never opens a position, not even in part.
        partial: whether less than the whole may be filled; the rest then ends, it does not wait.
        stop_distance: how far below its fill a stop-loss is to rest at the broker, in money per share; None: none.
    """

    reference: str
    symbol: str
    side: Side
    quantity: Decimal
    session: date
    deadline: datetime
    closes: bool = False
    partial: bool = False
    stop_distance: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse what no broker takes."""
        if not REFERENCE_PATTERN.fullmatch(self.reference):
            raise ValueError(f"reference: {self.reference!r} must be 1 to 30 characters of A-Z a-z 0-9 _ -")
        if self.quantity != self.quantity.to_integral_value() or self.quantity < 1:
            raise ValueError(f"quantity: {self.quantity} must be a whole number of shares, at least 1")
        if self.deadline.tzinfo is None:
            raise ValueError(f"deadline: {self.deadline} needs a time zone")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has the order and it works there."""

    reference: str
    at: datetime
    broker_id: str = ""
    """What the broker calls it."""


@dataclass(frozen=True, slots=True)
class Fill:
    """Shares were bought or sold. `fill_id` is the broker's: the same fill comes again with the same one."""

    reference: str
    at: datetime
    fill_id: str
    quantity: Decimal
    price: Decimal
    """Per share, with whatever slippage there was."""
    commission: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Rejected:
    """The broker does not take the order; nothing of it was filled."""

    reference: str
    at: datetime
    code: str
    """The broker's own code, such as MARKET_CLOSED."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left of the order will not be filled: somebody cancelled it, or its time is over."""

    reference: str
    at: datetime
    how: Literal["cancelled", "expired"]
    reason: str = ""


BrokerEvent = Accepted | Fill | Rejected | Ended
"""What a broker tells of an order. Each may come late, again, or before the answer to `submit`."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the broker knows of one reference.

    Attributes:
        events: everything that it knows, in order; empty when it has found nothing.
        conclusive: whether finding nothing proves that it never had the order. A broker whose activity comes late, or
            lacks entries, says False, and the order's outcome stays unknown.
    """

    events: tuple[BrokerEvent, ...] = ()
    conclusive: bool = True

    @property
    def found(self) -> bool:
        """Whether the broker knows the order."""
        return bool(self.events)


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """Shares that the broker holds for the account; one row for each symbol, however many deals it consists of."""

    symbol: str
    """The declared symbol; where the broker holds something that is not declared, the broker's own name of it."""
    quantity: Decimal
    average_price: Decimal = ZERO
    declared: bool = True


@dataclass(frozen=True, slots=True)
class Stopped:
    """A position, or a part of one, that a stop which rests at the broker has closed. The same one has the same id."""

    stop_id: str
    symbol: str
    quantity: Decimal
    price: Decimal
    """Per share."""


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """The account as the broker tells it."""

    currency: str
    cash: Decimal
    available: Decimal
    """What can be spent: the cash, less margin where there is any."""
    margin: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Money that moved for another reason than a fill. The same one comes again with the same id."""

    adjustment_id: str
    at: datetime
    kind: AdjustmentKind
    amount: Decimal
    """Positive: to the account."""
    symbol: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class MarketState:
    """Whether a market order for a symbol would be taken now, and the price to judge it by.

    `price` is the opening price where a simulator fills at that, else the middle of bid and offer; zero when unknown.
    `final` says that what is not tradeable now will not be in this session any more.
    """

    tradeable: bool
    price: Decimal = ZERO
    reason: str = ""
    final: bool = False
