"""What IG says of an account, as its own rows, and of the declared markets, kept for an instant."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bellwether.broker.ig.client import IgClient, IgError
from bellwether.broker.ig.facts import MarketFacts, NotUnderstood, exact, facts_of, problems
from bellwether.broker.ig.settings import Settings
from bellwether.broker.ig.words import EQUITY, EQUITY_WORDS
from bellwether.broker.port import NoBroker
from bellwether.broker.values import ZERO

MARGIN_OF_TIME = timedelta(hours=36)
"""How much earlier than an order its activity is asked for: dates there are in the account's own time zone."""
LOOK_BACK = timedelta(days=7)
ALL_ROWS = 500
MOST_PAGES = 20

Row = dict[str, Any]
QUOTES_LAST = 2.0
"""Seconds for which one answer about all markets serves."""


class Records:
    """Questions to one account. Each raises NoBroker while IG does not answer it."""

    def __init__(self, client: IgClient) -> None:
        self._client = client

    async def ask(self, path: str, version: int, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return an answer.

        Raises:
            NoBroker: IG does not answer, or with an error.
        """
        try:
            return await self._client.get(path, version, params)
        except IgError as error:
            code = "NO_SHARE_DATA" if error.code == EQUITY else "IG_ERROR"
            raise NoBroker(code, error.words) from None

    async def positions(self) -> list[Row]:
        """Return the open positions."""
        return list((await self.ask("/positions", 2)).get("positions") or ())

    async def net(self, epic: str) -> Decimal:
        """Return the net size in an epic, in contracts."""
        return sum((signed(row) for row in await self.positions() if epic_of(row) == epic), ZERO)

    async def resting(self) -> list[str]:
        """Return the deal ids of the orders that rest on the account."""
        rows = (await self.ask("/workingorders", 2)).get("workingOrders") or ()
        return [str((row.get("workingOrderData") or {}).get("dealId") or "") for row in rows]

    async def activity(self, since: datetime, deal_id: str = "") -> list[Row]:
        """Return the activity since an instant, all pages of it; of one deal, if one is named."""
        params = {"from": f"{since - MARGIN_OF_TIME:%Y-%m-%dT%H:%M:%S}", "detailed": "true", "pageSize": str(ALL_ROWS)}
        if deal_id:
            params["dealId"] = deal_id
        rows: list[Row] = []
        for _ in range(MOST_PAGES):
            answer = await self.ask("/history/activity", 3, params)
            rows += answer.get("activities") or ()
            following = ((answer.get("metadata") or {}).get("paging") or {}).get("next")
            if not following:
                break
            params = _query_of(str(following), params)
        return rows

    async def opened_by(self, deal_id: str, now: datetime) -> str:
        """Return the reference of the order that made a deal of the last days; empty where nothing tells it."""
        rows = await self.activity(now - LOOK_BACK, deal_id)
        return next((str((row.get("details") or {}).get("dealReference") or "") for row in rows), "")

    async def transactions(self, since: datetime) -> list[Row]:
        """Return what moved money since an instant."""
        params = {"type": "ALL", "from": f"{since - MARGIN_OF_TIME:%Y-%m-%dT%H:%M:%S}", "pageSize": "0"}
        return list((await self.ask("/history/transactions", 2, params)).get("transactions") or ())


class Quotes:
    """The facts of markets by epic."""

    def __init__(
        self, client: IgClient, records: Records, settings: Callable[[], Settings], last: float = QUOTES_LAST
    ) -> None:
        self._client = client
        self._records = records
        self._settings = settings
        self._last = last
        self._asked = 0.0
        self.facts: dict[str, MarketFacts] = {}

    async def check(self, symbol: str) -> MarketFacts | list[str]:
        """Return what IG says of a symbol's market, or what speaks against trading it.

        Raises:
            NoBroker: IG does not answer, or gives this account no share data at all.
        """
        settings = self._settings()
        epic, _ = settings.instruments[symbol]
        try:
            facts = facts_of(await self._client.get(f"/markets/{epic}", 3))
        except IgError as error:
            if error.code == EQUITY:
                raise NoBroker("NO_SHARE_DATA", f"{EQUITY_WORDS} ({EQUITY})") from None
            return [f"epic {epic}: {error.words}"]
        except NotUnderstood as error:
            return [f"epic {epic}: {error}"]
        found = problems(facts, settings.currency)
        if not found:
            self.facts[epic] = facts
        return [f"epic {epic} ({facts.name}): {line}" for line in found] or facts

    async def of(self, symbol: str) -> MarketFacts | None:
        """Return the newest facts of a symbol's market; None where IG says nothing of it.

        Raises:
            NoBroker: IG does not answer, or no epic of the symbol is declared.
        """
        settings = self._settings()
        if symbol not in settings.instruments:
            raise NoBroker("NO_INSTRUMENT", f"trading.instruments names no epic of {symbol}")
        if time.monotonic() - self._asked > self._last or settings.instruments[symbol][0] not in self.facts:
            epics = ",".join(sorted(epic for epic, _ in settings.instruments.values()))
            answer = await self._records.ask("/markets", 2, {"epics": epics, "filter": "ALL"})
            for row in answer.get("marketDetails") or ():
                with contextlib.suppress(NotUnderstood):
                    facts = facts_of(row)
                    self.facts[facts.epic] = facts
            self._asked = time.monotonic()
        return self.facts.get(settings.instruments[symbol][0])

    async def known(self, symbol: str) -> MarketFacts | None:
        """Return facts of a symbol's market that may be old; None where IG says nothing of it.

        Raises:
            NoBroker: there are none yet, and IG does not answer.
        """
        epic, _ = self._settings().instrument(symbol)
        return self.facts.get(epic) or await self.of(symbol)


def epic_of(row: Mapping[str, Any]) -> str:
    """Return the epic of a position."""
    return str((row.get("market") or {}).get("epic") or "")


def signed(row: Mapping[str, Any]) -> Decimal:
    """Return the size of a position in contracts, below zero of a short one."""
    position = row.get("position") or {}
    size = exact(position.get("size"), "size")
    return size if position.get("direction") == "BUY" else -size


def _query_of(following: str, before: Mapping[str, str]) -> dict[str, str]:
    """Return the query of the next page, as the answer names it."""
    return {**before, **{name: value for name, value in parse_qsl(urlsplit(following).query) if name != "version"}}
