"""The broker as a port: what paper-trading needs of it, whichever broker it is.

One instance is one account. Every adapter keeps these promises, and one conformance suite holds all of them to it
(tests/integration/broker/conformance):

- `submit` hands an order over at most once. It returns when the broker has taken it, or tells of its rejection as an
  event. `NotSent` says that the broker certainly did not get it, `Unclear` that this is not known: then the caller
  looks the order up by its reference, and never simply submits it again.
- A reference that the broker knows is never a second order, whatever the caller does.
- The caller may say no just before: `submit` asks it when nothing is left to wait for; a refusal is `NotSent`.
- Acknowledgements, fills and rejects come as events from `drain`, in the order of each order's life. Events may be
  lost with the process and may come twice: `query` is what can be relied on, events only make it unnecessary.
- Nothing an adapter does changes the ledger. What it reports is recorded by the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from bellwether.broker import values
from bellwether.runtime.errors import RpcError


class BrokerError(RpcError):
    """The broker could not do what it was asked."""


class NotSent(BrokerError):
    """The broker certainly did not get the order: there is no connection, no session, or no allowance left."""


class Unclear(BrokerError):
    """The order was sent and no answer came: the broker may have it or not."""


class NoBroker(BrokerError):
    """A question, not an order, that the broker does not answer now; asking again is harmless."""


LastLook = Callable[[], Awaitable[None]]
"""Raises `NotSent` where an order must not leave any more: something halted while it waited for its turn."""


async def nothing_halts() -> None:
    """Let every order leave."""


class Broker(Protocol):
    """One account at one broker."""

    @property
    def name(self) -> str:
        """What people call it: `simulated`, `ig-demo`."""

    async def connect(self) -> Sequence[str]:
        """Open the session and check every declared symbol; return the symbols that can be traded.

        It may be called again at any time; it then checks again.

        Raises:
            BrokerError: with the code of what is missing (credentials, account, instrument).
        """

    async def market(self, symbol: str) -> values.MarketState:
        """Return whether a market order would be taken now, and the price to judge it by.

        Raises:
            NoBroker: while the broker cannot say.
        """

    async def submit(self, order: values.NewOrder, last_look: LastLook = nothing_halts) -> None:
        """Hand an order over. Its acknowledgement, fills or rejection come from `drain`.

        Raises:
            NotSent: the broker certainly did not get it; what `last_look` raised, too.
            Unclear: whether the broker got it is not known.
        """

    async def cancel(self, reference: str) -> None:
        """Ask to end what still works of an order; that it ended comes as an event, so does a fill that was faster.

        An order that is over, or that the broker does not know, is left alone.

        Raises:
            NoBroker: the broker did not take the request; the order may still be filled.
        """

    async def query(self, reference: str, since: datetime) -> values.Lookup:
        """Return everything that the broker knows of an order which was sent at `since` or later.

        Raises:
            NoBroker: while the broker cannot say.
        """

    async def drain(self) -> Sequence[values.BrokerEvent]:
        """Return the events since the last time, oldest first, without waiting for any."""

    def on_events(self, wake: Callable[[], None]) -> None:
        """Have `wake` called on the event loop whenever `drain` has something new."""

    async def positions(self) -> Sequence[values.BrokerPosition]:
        """Return what the account holds, one row for each symbol.

        Raises:
            NoBroker: while the broker cannot say.
        """

    async def account(self) -> values.BrokerAccount:
        """Return the account.

        Raises:
            NoBroker: while the broker cannot say.
        """

    async def adjustments(self, since: datetime) -> Sequence[values.Adjustment]:
        """Return what moved money since an instant besides fills.

        Raises:
            NoBroker: while the broker cannot say.
        """

    async def traded_price(self, symbol: str, since: datetime) -> Decimal | None:
        """Return the average price of what was closed in a symbol since an instant; None where nothing tells it.

        Raises:
            NoBroker: while the broker cannot say.
        """

    async def stopped(self, since: datetime) -> Sequence[values.Stopped]:
        """Return what stops at the broker have closed since an instant, oldest first.

        Raises:
            NoBroker: while the broker cannot say.
        """

    async def close(self) -> None:
        """End the session. Orders that work go on working."""
