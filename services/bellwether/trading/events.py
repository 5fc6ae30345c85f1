"""What the ledger is made of: events that are only ever added. Everything else is computed from them.

Each event has a key that says what it is the effect of; the store takes a key once per run, so that a repeated
message, retry or step can never have a second effect.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from bellwether.messages.trading import OrderReason, Side

Reason = OrderReason
Stage = Literal["signal", "open", "manual"]


class _Fact(msgspec.Struct, frozen=True, tag_field="event"):
    KEY: ClassVar[str]
    """What it is the effect of, with the names of its own fields."""

    at: datetime
    """Domain time at which it happened."""

    @property
    def key(self) -> str:
        """What it is the effect of."""
        return self.KEY.format(self)


class AccountOpened(_Fact, frozen=True, tag="account_opened"):
    """The account of a run began with this cash."""

    KEY: ClassVar = "account"
    cash: Decimal
    currency: str


class OrderQueued(_Fact, frozen=True, tag="order_queued", omit_defaults=True):
    """An order passed every guard and waits for the open of `session`."""

    KEY: ClassVar = "queued:{0.order_id}"
    order_id: str
    prediction_id: str | None
    reason: Reason
    symbol: str
    side: Side
    quantity: Decimal
    session: date
    price: Decimal
    """The market price it was sized with."""
    valid_until: datetime | None
    """Until when the prediction behind it holds."""
    model_name: str
    model_version: str
    trace_id: str
    traceparent: str
    """Trace context that the fill joins, in the form of W3C; empty when the decision was not traced."""
    bar_session: date | None = None
    """Session of the bar whose close the order was sized with; None for an exit, and where it was not stored."""
    strength: float = 0.0
    """Of a purchase that a prediction asks for: by how much its probability is above the base rate."""
    approval: bool = False
    """Whether somebody has to approve it before it may be sent."""
    model_expires_on: date | None = None
    """From this session on the model behind it opens no position; None: it never expires, or there is no model."""


class Refused(_Fact, frozen=True, tag="refused"):
    """A guard refused a decision (`order_id` None) or an order."""

    prediction_id: str | None
    order_id: str | None
    symbol: str
    code: str
    value: str
    limit: str
    stage: Stage
    session: date | None = None

    @property
    def key(self) -> str:
        """What it is the effect of."""
        return f"refused:{self.order_id or self.prediction_id or self.symbol}:{self.stage}:{self.session or ''}"


class OrderCancelled(_Fact, frozen=True, tag="order_cancelled"):
    """A queued order will not be filled."""

    KEY: ClassVar = "cancelled:{0.order_id}"
    order_id: str
    symbol: str
    code: str
    value: str
    limit: str


class OrderReduced(_Fact, frozen=True, tag="order_reduced", omit_defaults=True):
    """At the open a limit or the cash left room for fewer shares than a prediction's order asked for.

    `code`, `value` and `limit` are those of the guard that would have refused the `asked` quantity.
    """

    order_id: str
    symbol: str
    session: date
    asked: Decimal
    quantity: Decimal
    code: str
    value: str
    limit: str
    again: int = 0
    """How often it was made smaller before: an order that could not be sent meets the guards once more."""

    @property
    def key(self) -> str:
        """What it is the effect of."""
        return f"reduced:{self.order_id}" + (f":{self.again}" if self.again else "")


class OrderApproved(_Fact, frozen=True, tag="order_approved"):
    """Somebody allowed an order that waited for approval."""

    KEY: ClassVar = "approved:{0.order_id}"
    order_id: str
    symbol: str
    by: str


class OrderRejected(_Fact, frozen=True, tag="order_rejected"):
    """The broker did not take an order; `code` and `message` are the broker's."""

    KEY: ClassVar = "rejected:{0.order_id}"
    order_id: str
    symbol: str
    code: str
    message: str


class OrderFilled(_Fact, frozen=True, tag="order_filled", omit_defaults=True):
    """An order was filled: `price` per share with slippage, `realised` gain of a sale without commission."""

    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    realised: Decimal
    session: date
    fill_id: str = ""
    """The broker's, of a fill of a part; empty where the whole was filled at once."""
    leaves: Decimal | None = None
    """Shares of the order that are not filled yet; None where all are."""

    @property
    def key(self) -> str:
        """What it is the effect of."""
        return f"filled:{self.order_id}" + (f":{self.fill_id}" if self.fill_id else "")


class PositionSplit(_Fact, frozen=True, tag="position_split"):
    """Shares of a held symbol were split; a fraction of a share was paid out at `price`."""

    KEY: ClassVar = "split:{0.symbol}:{0.session}"
    symbol: str
    session: date
    ratio: Decimal
    quantity: Decimal
    """Whole shares after it."""
    cost: Decimal
    """Cost of them; the fraction's cost left with it."""
    price: Decimal
    cash_in_lieu: Decimal
    realised: Decimal


class OrderSplit(_Fact, frozen=True, tag="order_split"):
    """A queued order's quantity followed a split of its symbol."""

    KEY: ClassVar = "order_split:{0.order_id}:{0.session}"
    order_id: str
    symbol: str
    session: date
    ratio: Decimal
    quantity: Decimal
    price: Decimal


class DividendPaid(_Fact, frozen=True, tag="dividend_paid"):
    """A held symbol paid `amount` per share, `cash` in all."""

    KEY: ClassVar = "dividend:{0.symbol}:{0.session}"
    symbol: str
    session: date
    amount: Decimal
    quantity: Decimal
    cash: Decimal


class SessionOpenDone(_Fact, frozen=True, tag="session_open_done", omit_defaults=True):
    """Everything of a session's open was done; the answer is kept for whoever asks again."""

    KEY: ClassVar = "open:{0.session}"
    session: date
    filled: list[str]
    refused: list[str]
    corporate_actions: int
    missed: list[str] = []
    """Held symbols whose bar of the session was not there: it may come later, and tell a split or dividend of it."""
    prices: dict[str, Decimal] = {}
    """Opening prices of what is held after it."""


class Transferred(_Fact, frozen=True, tag="transferred"):
    """Cash was put into the account (positive) or taken out of it."""

    KEY: ClassVar = "transfer:{0.transfer_id}"
    transfer_id: str
    amount: Decimal
    note: str


class BrokerStated(_Fact, frozen=True, tag="broker_stated"):
    """What the broker said of the account once all was reconciled: it changes nothing, it is what cash is held against.

    `open_cost` is what the open positions cost at the broker; balance less that moves as the ledger's cash does.
    """

    balance: Decimal
    available: Decimal
    margin: Decimal
    open_cost: Decimal

    @property
    def key(self) -> str:
        """What it is the effect of."""
        return f"statement:{self.at.isoformat()}"


class OpenCompared(_Fact, frozen=True, tag="open_compared"):
    """A fill at the broker beside the exchange's opening price; `slippage` per share, positive where it was worse."""

    KEY: ClassVar = "compared:{0.order_id}"
    order_id: str
    symbol: str
    session: date
    price: Decimal
    official_open: Decimal
    slippage: Decimal


class Adjusted(_Fact, frozen=True, tag="adjusted"):
    """The broker moved money for another reason than a fill: funding, a dividend, a fee."""

    KEY: ClassVar = "adjustment:{0.adjustment_id}"
    adjustment_id: str
    kind: str
    amount: Decimal
    symbol: str
    text: str


class RiskReset(_Fact, frozen=True, tag="risk_reset"):
    """Somebody resumed after a halt by a limit: the drawdown counts from the equity of the newest close on."""

    KEY: ClassVar = "risk_reset:{0.number}"
    number: int
    """Of the resume."""


class SessionMarked(_Fact, frozen=True, tag="session_marked"):
    """Positions were valued at a session's close."""

    KEY: ClassVar = "close:{0.session}"
    session: date
    prices: dict[str, Decimal]
    cash: Decimal
    positions_value: Decimal


LedgerEvent = (
    AccountOpened
    | OrderQueued
    | Refused
    | OrderCancelled
    | OrderReduced
    | OrderApproved
    | OrderRejected
    | OrderFilled
    | PositionSplit
    | OrderSplit
    | DividendPaid
    | SessionOpenDone
    | SessionMarked
    | Transferred
    | Adjusted
    | BrokerStated
    | OpenCompared
    | RiskReset
)

_encoder = msgspec.json.Encoder(decimal_format="string", order="deterministic")
_decoder = msgspec.json.Decoder(LedgerEvent)


def encode(event: LedgerEvent) -> str:
    """Return an event as the text that is stored."""
    return _encoder.encode(event).decode()


def decode(text: str) -> LedgerEvent:
    """Return the event that a stored text says."""
    event: LedgerEvent = _decoder.decode(text)
    return event
