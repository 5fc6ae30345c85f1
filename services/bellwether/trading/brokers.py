"""Which broker orders go to, by run; and what only a simulated one is given, as a real one knows it by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from bellwether.broker.port import Broker
from bellwether.broker.simulated import SimulatedBroker
from bellwether.broker.simulated_books import Market, Move, Settings
from bellwether.messages.envelope import LIVE
from bellwether.trading.check import shares_from
from bellwether.trading.desk import Desk
from bellwether.trading.events import DividendPaid, LedgerEvent, PositionSplit, Transferred
from bellwether.trading.release import Opening

if TYPE_CHECKING:
    from bellwether.broker.ig.adapter import IgBroker


class Brokers:
    """The broker of each run. A replay's runs have accounts of their own."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._simulated: dict[str, SimulatedBroker] = {}
        self._ig: IgBroker | None = None

    def of(self, run: str) -> Broker:
        """Return the broker that a run's orders go to."""
        return self.ig if self.at_ig(run) else self._simulator(run)

    def at_ig(self, run: str) -> bool:
        """Whether a run's orders go to an account at IG."""
        return run == LIVE and self._desk.rules.mode == "ig-demo"

    @property
    def ig(self) -> IgBroker:
        """The account at IG."""
        if self._ig is None:
            # 5 MB with what they import, for systems that trade there alone.
            from bellwether.broker.ig.adapter import IgBroker
            from bellwether.broker.ig.client import IgClient, Reach
            from bellwether.broker.ig.credentials import read_credentials
            from bellwether.broker.ig.settings import settings_of

            config = self._desk.context.config
            proxy = config.proxy or self._desk.declaration.system.spec.network.proxy
            client = IgClient(
                lambda: read_credentials(config.ig_credentials),
                Reach(proxy, config.ca_bundle),
                per_minute=lambda: self._desk.declaration.system.spec.trading.ig.requests_per_minute,
            )
            self._ig = IgBroker(
                client, lambda: settings_of(self._desk.declaration.system.spec), self._desk.context.clock.now
            )
        return self._ig

    async def close(self) -> None:
        """End the sessions with brokers."""
        if self._ig is not None:
            await self._ig.close()

    def _simulator(self, run: str) -> SimulatedBroker:
        found = self._simulated.get(run)
        if found is None:
            found = self._simulated[run] = SimulatedBroker(self._desk.store, run, self._settings)
        return found

    def _settings(self) -> Settings:
        rules = self._desk.rules
        return Settings(rules.costs, rules.currency, rules.symbols, rules.volume_share)

    async def ready(self, run: str) -> None:
        """Open a simulated account where there is none yet, and tell it what it may have missed.

        It begins with what the ledger holds, which for a new run is its cash. What moved shares or money is reported
        again after a restart: it counts once.
        """
        if self.at_ig(run) or run in self._simulated:
            return
        simulator = self._simulator(run)
        try:
            events = await self._desk.store.transact(lambda tx: self._desk.ledger.events(tx, run))
            book = await self._desk.store.transact(lambda tx: self._desk.ledger.book(tx, run))
            cash = book.cash if book.seq else self._desk.rules.initial_cash
            await simulator.open_account(cash, shares_from(events), moves_of(events))
            await simulator.adjust(moves_of(events))
        except BaseException:
            del self._simulated[run]
            raise

    async def adjust(self, run: str, events: Iterable[LedgerEvent]) -> None:
        """Adjust a simulated account by splits, dividends and transfers that the ledger recorded."""
        simulator = self._simulated.get(run)
        if simulator is not None:
            await simulator.adjust(moves_of(events))

    async def market_opened(self, run: str, opening: Opening, volumes: Mapping[str, Decimal]) -> None:
        """Tell the simulator of an open session; its orders are filled at the instant of the open."""
        simulator = self._simulated.get(run)
        if simulator is not None and opening.at is not None:
            market = Market(opening.session, opening.at, opening.prices, volumes, opening.final)
            await simulator.opened(market)

    def market_closed(self, run: str) -> None:
        """Tell the simulator that a session is over."""
        simulator = self._simulated.get(run)
        if simulator is not None:
            simulator.closed()


def moves_of(events: Iterable[LedgerEvent]) -> list[Move]:
    """Return what moves shares and money besides orders."""
    found: list[Move] = []
    for event in events:
        match event:
            case PositionSplit():
                found.append(Move(event.key, event.at, "split", event.cash_in_lieu, event.symbol, event.ratio))
            case DividendPaid():
                found.append(Move(event.key, event.at, "dividend", event.cash, event.symbol))
            case Transferred():
                found.append(Move(event.key, event.at, "transfer", event.amount))
    return found
