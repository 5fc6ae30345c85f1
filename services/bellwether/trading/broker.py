"""The broker as a port, and the simulated one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Store
from bellwether.trading.check import shares_from
from bellwether.trading.ledger import Ledger


class Broker(Protocol):
    """Where orders go, and who is right about what is held."""

    async def initialize(self) -> list[str]:
        """Open the session with the broker; return its markets.

        Raises:
            RpcError: with the code of what is missing.

        """

    async def positions(self, run: str, call: Call) -> Mapping[str, Decimal]:
        """Return the shares that the broker holds for the account, by symbol."""


class SimulatedBroker:
    """Fills at the opening price inside the ledger's own transaction; its statement is the sum of the fills."""

    def __init__(self, store: Store, ledger: Ledger, mode: Callable[[], str]) -> None:
        self._store = store
        self._ledger = ledger
        self._mode = mode

    async def initialize(self) -> list[str]:
        """Refuse: a simulated account has no markets at IG."""
        mode = self._mode()
        raise RpcError(
            "NO_IG_ACCOUNT",
            f"trading.mode is {mode}: orders go to the simulated broker, and no IG account is connected",
            mode=mode,
        )

    async def positions(self, run: str, call: Call) -> Mapping[str, Decimal]:
        """Return the shares by adding up fills and splits, without the book."""
        return shares_from(await self._store.transact(lambda tx: self._ledger.events(tx, run)))
