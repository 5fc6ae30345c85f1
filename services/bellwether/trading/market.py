"""What the desk asks market-data and data-quality."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from bellwether.messages import market_data
from bellwether.messages.quality import GetQuality
from bellwether.messages.quality import Quality as Qualities
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.trading.desk import Desk
from bellwether.trading.placing import quality_of
from bellwether.trading.pricing import ZERO, exact_price
from bellwether.trading.safety import Newest
from bellwether.trading.sessions import actions_to_ask_for
from bellwether.trading.situation import Quality

NEWEST_SHARE = 0.6
"""Of the time that a question about safety has, so much is given to market-data."""
BARS_LOST = frozenset({"SOURCE_UNAVAILABLE", "NO_BARS"})
"""Codes that say market-data has no bar of a declared symbol."""
NO_PRICE = BARS_LOST | {"UNKNOWN_SYMBOL"}
"""Codes that answer whether a symbol has a price; every other error leaves that open."""
LATE_SESSIONS = 10
"""So many sessions back a live open hears of corporate actions that were reported late."""

_log = logging.getLogger(__name__)


class Market(NamedTuple):
    """What market-data said about the open, and for which symbols it was asked."""

    asked: frozenset[str]
    prices: Mapping[str, Decimal]
    actions: list[market_data.CorporateAction]
    volumes: Mapping[str, Decimal]
    """Of the last closed session, where a share of them is declared."""


class Wanted(NamedTuple):
    """What has to be asked before an open: about which symbols, and what earlier opens did not hear of."""

    symbols: frozenset[str]
    opened: date | None
    missed: Mapping[str, date]


class MarketQuestions:
    """Questions of the desk, each with the errors that it can do without."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def at_open(self, day: date, wanted: Wanted, call: Call) -> Market:
        """Return opening prices, and the corporate actions that an open has to hear of."""
        names = sorted(wanted.symbols)
        # Prices come first: market-data reads its source meanwhile, and the bar that brings a price tells the split or
        # dividend of its day. Asked the other way round, one that lands in between would end the open without it.
        prices = await call.request(
            "market-data",
            "get_opening_prices",
            market_data.GetOpeningPrices(day, names),
            market_data.OpeningPrices,
            idempotent=True,
        )
        found: list[market_data.CorporateAction] = []
        # Live, a split may be reported after its session was opened, by a source that restates its history late.
        again = LATE_SESSIONS if self._desk.context.clock.live else 0
        for first, last, missing in actions_to_ask_for(self._desk.declaration.calendar, day, *wanted, again=again):
            question = market_data.GetCorporateActions(last, sorted(missing), since=first)
            reply = await call.request(
                "market-data", "get_corporate_actions", question, market_data.CorporateActions, idempotent=True
            )
            found += reply.actions
        exact = {symbol: exact_price(price) for symbol, price in prices.prices.items()}
        volumes = await self._volumes(names, call) if self._desk.rules.volume_share is not None else {}
        return Market(wanted.symbols, {symbol: price for symbol, price in exact.items() if price > 0}, found, volumes)

    async def _volumes(self, symbols: list[str], call: Call) -> dict[str, Decimal]:
        """Return the volumes of the newest closed bars; that of the session itself is known only at its close."""
        found: dict[str, Decimal] = {}
        for symbol in symbols:
            try:
                bars = await _bars(symbol, 1, call)
            except RpcError as error:
                if error.code not in NO_PRICE:
                    raise
                continue
            if bars:
                found[symbol] = Decimal(int(bars[-1].volume))
        return found

    async def newest(self, call: Call) -> dict[str, Newest] | None:
        """Return the newest prices by symbol, None when market-data does not tell them in time."""
        # The rest of the time is for the answer to our caller: that no prices came is an answer, too.
        budget = call.remaining * NEWEST_SHARE
        try:
            reply = await call.request("market-data", "get_freshness", None, market_data.Freshness, budget=budget)
        except RpcError as error:
            _log.debug("no newest prices: %s", error)
            return None
        qualities = await self._qualities([one.symbol for one in reply.symbols], call)
        return {
            one.symbol: Newest(
                exact_price(one.close),
                one.last_session,
                Quality() if qualities is None else qualities.get(one.symbol, Quality()),
                judged=qualities is not None,
            )
            for one in reply.symbols
        }

    async def _qualities(self, symbols: list[str], call: Call) -> dict[str, Quality] | None:
        """Return the quality of symbols' bars, None when data-quality does not answer in time."""
        budget = call.remaining * NEWEST_SHARE
        try:
            reply = await call.request("data-quality", "get_quality", GetQuality(symbols), Qualities, budget=budget)
        except RpcError as error:
            _log.debug("no quality of the newest prices: %s", error)
            return None
        return {
            symbol: quality_of(one.quality_score, [finding.rule for finding in one.findings])
            for symbol, one in reply.symbols.items()
        }

    async def close_price(self, symbol: str, day: date, call: Call) -> Decimal:
        """Return a symbol's closing price of this day, zero when it did not trade or nobody follows it any more.

        Live, zero also when its bars are lost and its source does not tell them; a replay stops at that.
        """
        # A close that is done late finds newer bars, too.
        newer = self._desk.declaration.calendar.sessions_between(
            day, self._desk.started_session(self._desk.now_of(call))
        )
        try:
            bars = await _bars(symbol, 1 + newer, call)
        except RpcError as error:
            if error.code != "UNKNOWN_SYMBOL" and not (self._desk.context.clock.live and error.code in BARS_LOST):
                raise
            # Its stored bars are lost, and no source tells them again: once no bar is waited for any more, the day ends
            # all the same, at its last price. A share that cannot be priced must not hold up the others.
            _log.warning("%s is held, and nobody tells its price: %s", symbol, error.message)
            return ZERO
        return next((exact_price(bar.close) for bar in bars if bar.session == day), ZERO)

    async def last_price(self, symbol: str, call: Call) -> Newest:
        """Return a symbol's newest closing price, zero when there is none.

        Raises:
            RpcError: UNAVAILABLE while market-data cannot say.
        """
        try:
            bars = await _bars(symbol, 1, call)
        except RpcError as error:
            if error.code not in NO_PRICE:
                raise RpcError(
                    "UNAVAILABLE",
                    f"market-data does not tell the price of {symbol} now ({error}); nothing was stored: ask again",
                ) from error
            _log.info("no price of %s: %s", symbol, error.message)
            return Newest()
        return Newest(exact_price(bars[-1].close), bars[-1].session) if bars else Newest()


async def _bars(symbol: str, count: int, call: Call) -> list[market_data.Bar]:
    """Return a symbol's newest complete bars as traded, oldest first."""
    question = market_data.GetBars(symbol, count, adjusted=False)
    return (await call.request("market-data", "get_bars", question, market_data.Bars, idempotent=True)).bars
