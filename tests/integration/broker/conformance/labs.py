"""A broker, its adapter, and hands on its market: what the conformance suite needs of each adapter.

A lab of another adapter is a class with the methods of `Lab` or `RestingLab`, and a line in `LABS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import MetaData

from bellwether.broker.costs import Costs
from bellwether.broker.port import Broker
from bellwether.broker.simulated import SimulatedBroker
from bellwether.broker.simulated_books import Market, Settings, add_simulated_tables
from bellwether.broker.values import NewOrder
from bellwether.messages.trading import Side
from bellwether.storage.store import Store
from harness.ig.lab import IgLab, ig_lab

SESSION = date(2026, 12, 1)
OPEN = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
SYMBOLS = ("AAA.AX", "BBB.AX")
PRICES = {"AAA.AX": Decimal("10.00"), "BBB.AX": Decimal("20.00")}
CASH = Decimal(100000)


class Lab(ABC):
    """One account, empty but for `CASH`, at a broker whose market is shut; both symbols are declared."""

    broker: Broker

    def order(self, reference: str, side: Side = "BUY", quantity: int = 10, symbol: str = SYMBOLS[0]) -> NewOrder:
        """Return an order for the session."""
        return NewOrder(
            reference=reference,
            symbol=symbol,
            side=side,
            quantity=Decimal(quantity),
            session=SESSION,
            deadline=self.deadline(),
            closes=side == "SELL",
        )

    def deadline(self) -> datetime:
        """Return an instant that the broker does not reach by itself."""
        return OPEN + timedelta(hours=6)

    @abstractmethod
    async def open_market(self) -> None:
        """Have the market open at `PRICES`."""

    @abstractmethod
    async def shut_market(self) -> None:
        """Have the market shut."""

    @abstractmethod
    async def restart(self) -> None:
        """Replace `broker` by a new one over the same account; what the old one did not drain is lost."""


class RestingLab(Lab):
    """A lab whose market orders can work without being filled. At IG they are filled, in part or not at all."""

    @abstractmethod
    async def hold_fills(self) -> None:
        """With the market open: have orders from now on accepted, and work without being filled."""

    @abstractmethod
    async def let_fill(self) -> None:
        """Fill what works, at `PRICES`."""


class SimulatedLab(RestingLab):
    """The simulator over a database of its own."""

    def __init__(self, path: Path) -> None:
        metadata = MetaData()
        add_simulated_tables(metadata)
        self._store = Store.open(path, metadata)
        self._market = Market(SESSION, OPEN, PRICES)
        self._settings = Settings(Costs(Decimal(5), Decimal("0.0008"), Decimal("0.0005")), "AUD", frozenset(SYMBOLS))
        self._simulator = self._made()

    def _made(self) -> SimulatedBroker:
        self._simulator = SimulatedBroker(self._store, "conformance", lambda: self._settings)
        self.broker = self._simulator
        return self._simulator

    async def open(self) -> None:
        await self._simulator.open_account(CASH, {})

    async def close(self) -> None:
        await self._store.close()

    async def open_market(self) -> None:
        await self._simulator.opened(self._market)

    async def shut_market(self) -> None:
        self._simulator.closed()

    async def hold_fills(self) -> None:
        await self._simulator.opened(replace(self._market, held=True))

    async def let_fill(self) -> None:
        await self._simulator.opened(self._market)

    async def restart(self) -> None:
        self._made()


@asynccontextmanager
async def simulated_lab(folder: Path) -> AsyncIterator[Lab]:
    lab = SimulatedLab(folder / "simulated.db")
    await lab.open()
    try:
        yield lab
    finally:
        await lab.close()


class OverIg(Lab):
    """IG's adapter over the stand-in."""

    def __init__(self, lab: IgLab) -> None:
        self._lab = lab
        self.broker = lab.broker

    def deadline(self) -> datetime:
        """Return an instant of the real time to come: IG's own clock cannot be set."""
        return datetime.now(UTC) + timedelta(hours=6)

    async def open_market(self) -> None:
        self._lab.ig.set(status="TRADEABLE")

    async def shut_market(self) -> None:
        self._lab.ig.set(status="CLOSED")

    async def restart(self) -> None:
        await self._lab.restart()
        self.broker = self._lab.broker


@asynccontextmanager
async def over_ig(folder: Path) -> AsyncIterator[Lab]:
    async with ig_lab(folder) as lab:
        lab.ig.set(status="CLOSED")
        yield OverIg(lab)


LABS: dict[str, Callable[[Path], AbstractAsyncContextManager[Lab]]] = {"simulated": simulated_lab, "ig-demo": over_ig}
"""Every adapter of the port, by name."""
