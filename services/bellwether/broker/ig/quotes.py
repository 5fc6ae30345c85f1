"""What IG says of the declared markets, kept for a moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from bellwether.broker.ig.client import IgClient, IgError
from bellwether.broker.ig.facts import MarketFacts, NotUnderstood, facts_of, problems
from bellwether.broker.ig.records import Records
from bellwether.broker.ig.settings import Settings
from bellwether.broker.ig.words import EQUITY, EQUITY_WORDS
from bellwether.broker.port import NoBroker

QUOTES_LAST = 2.0
"""Seconds for which one answer about all markets serves."""


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
