"""The adapter over the stand-in, for tests: short waits, an allowance that is not in the way, switches at hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from bellwether.broker.ig.adapter import IgBroker
from bellwether.broker.ig.client import IgClient, Reach
from bellwether.broker.ig.credentials import read_credentials
from bellwether.broker.ig.settings import Settings
from harness.ig.markets import Market
from harness.ig.standin import ACCOUNT, API_KEY, PASSWORD, USERNAME, StandIn, standing_in
from harness.until import DEADLINE

SYMBOLS = ("AAA.AX", "BBB.AX")
PRICES = {"AAA.AX": Decimal("10.00"), "BBB.AX": Decimal("20.00")}
EPICS = {symbol: f"AA.D.{symbol[:3]}.CASH.IP" for symbol in SYMBOLS}
QUICKLY = (0.01, 0.02, 0.05)


def write_credentials(folder: Path, **changed: str) -> Path:
    """Write the file of the account at the stand-in; return its path."""
    words = {"apiKey": API_KEY, "identifier": USERNAME, "password": PASSWORD, "accountId": ACCOUNT} | changed
    file = folder / "ig.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(words))
    return file


class IgLab:
    """One stand-in, and an adapter that can be replaced as a restart would."""

    def __init__(self, ig: StandIn, credentials: Path) -> None:
        self.ig = ig
        self.credentials = credentials
        self.settings = Settings("AUD", {symbol: (epic, 1) for symbol, epic in EPICS.items()}, "FILL_OR_KILL")
        self.per_minute = 100_000
        self.broker = self.made()

    def made(self) -> IgBroker:
        """Return a new adapter over the same account."""
        reach = Reach(self.ig.url, self.ig.authority)
        client = IgClient(lambda: read_credentials(self.credentials), reach, per_minute=lambda: self.per_minute)
        return IgBroker(client, lambda: self.settings, confirm_after=QUICKLY, quotes_last=0.0)

    async def restart(self) -> None:
        """Replace the adapter; what it did not tell is lost."""
        await self.broker.close()
        self.broker = self.made()


@asynccontextmanager
async def ig_lab(folder: Path) -> AsyncIterator[IgLab]:
    """Run a stand-in with two shares, and an adapter over it."""
    markets = [Market(EPICS[symbol], f"{symbol} Ltd", price=PRICES[symbol]) for symbol in SYMBOLS]
    async with standing_in(folder, markets) as ig:
        ig.account.commission_least = Decimal("5.00")
        lab = IgLab(ig, write_credentials(folder))
        lab.settings = Settings("AUD", lab.settings.instruments, lookup_window=timedelta(seconds=DEADLINE))
        try:
            yield lab
        finally:
            await lab.broker.close()
