"""What guards judge by: an order that would follow, what holds at the instant, and the situation. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bellwether.messages.sentiment import Headline
from bellwether.messages.trading import Side
from bellwether.trading.events import Reason
from bellwether.trading.pricing import ZERO, Quote
from bellwether.trading.rules import Rules


class Quality(NamedTuple):
    """How good the data is that an intent comes from: the score (None: unknown) and the rules that are broken."""

    score: Decimal | None = None
    rules: tuple[str, ...] = ()


class Novelty(NamedTuple):
    """How unlike the model's training rows the inputs of an intent are; None: unknown."""

    value: float | None = None


class News(NamedTuple):
    """What the news says that an intent was made with: score and confidence, and the negative headlines."""

    score: Decimal
    confidence: Decimal
    bad: tuple[Headline, ...]


class Candidate(msgspec.Struct, frozen=True):
    """The order that would follow."""

    side: Side
    quantity: Decimal
    cost: Quote


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What holds at an instant: the declaration's words, what halts (one line per source), the domain time."""

    rules: Rules
    halts: tuple[str, ...]
    now: datetime
    started_session: date | None = None
    """The newest session whose open is not after `now`; None where no calendar was asked."""
    expected: date | None = None
    """The newest session whose bar can be expected at `now`; None where no calendar was asked."""
    unreconciled: Mapping[str, str] = field(default_factory=dict)
    """Why symbols are blocked whose position the broker does not confirm."""
    volume_percent: float | None = None
    """How full the ledger's volume is; None in a replay, and where it was not measured."""


class Situation(msgspec.Struct, frozen=True):
    """What guards judge by.

    Attributes:
        circumstances: what holds now.
        reason: what asks for an order.
        symbol: of the order.
        side: of the order.
        price: market price that the order is judged with; zero when there is none.
        may_trade: False for a prediction made for looking at.
        valid_until: until when the prediction holds; None for an order by hand or an exit.
        held: shares held of the symbol.
        held_value: their value at `price`.
        queued_sides: sides of other queued orders of the symbol.
        cash: what can be spent.
        session_orders: other orders for the same session.
        loss: by how much equity fell over the newest closed session or since its close, whichever is more; negative
            for a gain.
        bar_session: session of the bar that `price` is the close of; None for an opening price.
        novelty: of the inputs of the prediction; None where no prediction asks (by hand, at the open), or no model.
        news: about the symbol, that the prediction was made with; None where there is none, or no prediction asks.
        drawdown: by which share equity is below its highest close.
        exposure: value of all positions and of other purchases that wait.
        turnover: value of the session's fills and of other orders that wait for it.
        session: that the order is for; None where no session is asked about.
        model_expires_on: from this session on the model behind the order opens no position; None: never, or no model.
        sized_by: the close that the order was sized by, where `price` is another one; zero: there is none.
        quality: of the data that the prediction was made from; None where no prediction asks (by hand, at the open).
    """

    circumstances: Circumstances
    reason: Reason
    symbol: str
    side: Side
    price: Decimal
    may_trade: bool
    valid_until: datetime | None
    held: Decimal
    held_value: Decimal
    queued_sides: frozenset[Side]
    cash: Decimal
    session_orders: int
    loss: Decimal
    bar_session: date | None = None
    quality: Quality | None = None
    novelty: Novelty | None = None
    news: News | None = None
    drawdown: Decimal = ZERO
    exposure: Decimal = ZERO
    turnover: Decimal = ZERO
    sized_by: Decimal = ZERO
    session: date | None = None
    model_expires_on: date | None = None

    @property
    def now(self) -> datetime:
        """Domain time."""
        return self.circumstances.now

    @property
    def halts(self) -> tuple[str, ...]:
        """What halts now, one line per source; empty when nothing does."""
        return self.circumstances.halts

    @property
    def rules(self) -> Rules:
        """The declaration's words."""
        return self.circumstances.rules
