"""The life of one order, from waiting here to its end at the broker, as a state machine. Pure.

    queued, awaiting_approval -> sending -> working -> filled
                                    |          |-> partially_filled -> filled, or ended with a part of it
                                    |          `-> cancelled, expired
                                    |-> rejected
                                    `-> unknown -> whatever a lookup finds

What a broker tells may come late, twice, or out of turn: a fill without an acknowledgement, an acknowledgement after
the fill, the same fill again. All of that leads to the same state. What cannot be (a fill beyond the quantity, a fill
of an order that was rejected) raises, since somebody's books are wrong then.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec.structs import replace

from bellwether.broker.values import Accepted, BrokerEvent, Ended, Fill, Rejected

State = Literal[
    "queued",
    "awaiting_approval",
    "sending",
    "working",
    "partially_filled",
    "filled",
    "rejected",
    "cancelled",
    "expired",
    "unknown",
]

UNSENT = frozenset[State]({"queued", "awaiting_approval"})
"""It waits with us: the broker has never heard of it."""
AT_BROKER = frozenset[State]({"sending", "working", "partially_filled", "unknown"})
"""The broker has it, or may have it."""
OVER = frozenset[State]({"filled", "rejected", "cancelled", "expired"})
"""Nothing more happens to it."""

MOVES: dict[State, frozenset[State]] = {
    "awaiting_approval": frozenset({"queued", "cancelled", "expired"}),
    "queued": frozenset({"sending", "cancelled", "expired"}),
    "sending": frozenset(
        {"queued", "working", "partially_filled", "filled", "rejected", "cancelled", "expired", "unknown"}
    ),
    "working": frozenset({"partially_filled", "filled", "rejected", "cancelled", "expired", "unknown"}),
    "partially_filled": frozenset({"partially_filled", "filled", "cancelled", "expired", "unknown"}),
    "unknown": frozenset({"queued", "working", "partially_filled", "filled", "rejected", "cancelled", "expired"}),
    # A fill that was faster than the cancellation is reported after it.
    "cancelled": frozenset({"filled"}),
    "expired": frozenset({"filled"}),
    "filled": frozenset(),
    "rejected": frozenset(),
}
"""Which state may follow which."""


class WrongMove(Exception):
    """An event of an order that cannot follow the state it is in."""


class Progress(msgspec.Struct, frozen=True):
    """How far one order has come.

    Attributes:
        reference: of the order.
        quantity: whole shares that were asked for.
        state: where it is.
        filled: how many shares were filled.
        fills: ids of the fills that were counted.
        broker_id: what the broker calls the order; empty until it said so.
        sent_at: when it was first sent; None before.
        reason: why it was rejected, ended or became unknown.
    """

    reference: str
    quantity: Decimal
    state: State = "queued"
    filled: Decimal = Decimal(0)
    fills: frozenset[str] = frozenset()
    broker_id: str = ""
    sent_at: datetime | None = None
    reason: str = ""

    @property
    def leaves(self) -> Decimal:
        """Shares that may still be filled; 0 once it is over."""
        return Decimal(0) if self.state in OVER else self.quantity - self.filled

    @property
    def over(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.state in OVER

    @property
    def in_flight(self) -> bool:
        """Whether the broker has it or may have it."""
        return self.state in AT_BROKER


def move(progress: Progress, state: State, reason: str = "") -> Progress:
    """Return the order in another state.

    Raises:
        WrongMove: when that state cannot follow.
    """
    if state not in MOVES[progress.state]:
        raise WrongMove(f"order {progress.reference} is {progress.state}, it cannot become {state}")
    return replace(progress, state=state, reason=reason or progress.reason)


def sending(progress: Progress, at: datetime) -> Progress:
    """Return the order as it is before it goes out: written down first, so that a restart knows it may have gone."""
    return replace(move(progress, "sending"), sent_at=progress.sent_at or at)


def advance(progress: Progress, event: BrokerEvent) -> Progress:
    """Return the order after what the broker reported; what was reported before changes nothing.

    Raises:
        WrongMove: when it cannot be true together with what is known.
    """
    if event.reference != progress.reference:
        raise WrongMove(f"an event of {event.reference} is none of order {progress.reference}")
    if progress.state in UNSENT:
        raise WrongMove(f"order {progress.reference} is {progress.state}: the broker cannot know it")
    match event:
        case Accepted():
            return _accepted(progress, event)
        case Fill():
            return _filled(progress, event)
        case Rejected():
            if progress.state == "rejected":
                return progress
            if progress.filled > 0:
                raise WrongMove(f"order {progress.reference} was rejected after {progress.filled} shares were filled")
            return move(progress, "rejected", f"{event.code}: {event.message}" if event.message else event.code)
        case Ended():
            if progress.over:
                return progress
            return move(progress, event.how, event.reason)


def _accepted(progress: Progress, event: Accepted) -> Progress:
    known = replace(progress, broker_id=event.broker_id or progress.broker_id)
    if progress.state in ("sending", "unknown"):
        return move(known, "partially_filled" if progress.filled > 0 else "working")
    return known


def _filled(progress: Progress, event: Fill) -> Progress:
    if event.fill_id in progress.fills:
        return progress
    if event.quantity <= 0:
        raise WrongMove(f"fill {event.fill_id} of order {progress.reference} has {event.quantity} shares")
    filled = progress.filled + event.quantity
    if filled > progress.quantity:
        raise WrongMove(
            f"order {progress.reference} is for {progress.quantity} shares, fill {event.fill_id} makes it {filled}"
        )
    known = replace(progress, filled=filled, fills=progress.fills | {event.fill_id})
    if filled == progress.quantity:
        return move(known, "filled")
    # What is over stays over: the rest of it will not be filled.
    return known if progress.over and progress.state != "rejected" else move(known, "partially_filled")
