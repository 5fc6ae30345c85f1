"""What IG says of a declared account and its markets, before the first order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from bellwether.broker.ig.adapter import IgBroker
from bellwether.broker.ig.client import IgClient, Reach
from bellwether.broker.ig.credentials import read_credentials
from bellwether.broker.ig.facts import MarketFacts, remarks
from bellwether.broker.ig.settings import settings_of
from bellwether.broker.port import BrokerError
from bellwether.broker.values import BrokerAccount, BrokerPosition
from bellwether.cli.client import CommandError, in_words
from bellwether.runtime.config import ProcessConfig
from bellwether.spec.models import TradingSystem


@dataclass
class Look:
    """What was found: the account, and by symbol the facts of its market or what speaks against it."""

    currency: str
    account: BrokerAccount | None = None
    positions: list[BrokerPosition] = field(default_factory=list)
    markets: dict[str, MarketFacts] = field(default_factory=dict)
    lots: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    account_wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every declared symbol could be traded."""
        return not self.wrong and not self.account_wrong


def look(system: TradingSystem) -> Look:
    """Ask IG about the account and the epics of a declaration.

    Raises:
        CommandError: IG does not answer, or refuses the account, in words.
    """
    trading = system.spec.trading
    if not trading.instruments:
        raise CommandError("spec.trading.instruments names no epic: add SYMBOL: {epic: ...} for each symbol")
    with in_words(ValueError):
        config = ProcessConfig.from_environment()
    reach = Reach(config.proxy or system.spec.network.proxy, config.ca_bundle)
    client = IgClient(
        lambda: read_credentials(config.ig_credentials), reach, per_minute=lambda: trading.ig.requests_per_minute
    )
    broker = IgBroker(client, lambda: settings_of(system.spec))
    try:
        return asyncio.run(_look(system, broker))
    except BrokerError as error:
        raise CommandError(f"IG: {error.message} ({error.code})") from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error


async def _look(system: TradingSystem, broker: IgBroker) -> Look:
    trading = system.spec.trading
    found = Look(trading.currency)
    try:
        found.account = await broker.account()
        if found.account.currency != trading.currency:
            found.account_wrong.append(
                f"the account is in {found.account.currency}, trading.currency is {trading.currency}"
            )
        found.positions = list(await broker.positions())
        undeclared = [one.symbol for one in found.positions if not one.declared]
        if undeclared:
            found.account_wrong.append(f"it holds what is not declared: {', '.join(undeclared)}")
        for symbol in sorted(trading.instruments):
            market = await broker.check(symbol)
            if isinstance(market, MarketFacts):
                found.markets[symbol] = market
                found.lots[symbol] = trading.instruments[symbol].lot_size
            else:
                found.wrong[symbol] = market
    finally:
        await broker.close()
    return found


def as_lines(found: Look) -> list[str]:
    """Return it for people."""
    lines = []
    if found.account is not None:
        one = found.account
        lines.append(f"account: {one.currency} {one.cash}, {one.available} available, {one.margin} margin")
    lines += [f"  wrong: {line}" for line in found.account_wrong]
    lines += [f"  holds {one.quantity.normalize():f} {one.symbol}" for one in found.positions]
    for symbol in sorted(found.markets.keys() | found.wrong.keys()):
        market = found.markets.get(symbol)
        if market is None:
            lines.append(f"{symbol}: cannot be traded")
            lines += [f"  wrong: {line}" for line in found.wrong[symbol]]
            continue
        lines.append(f"{symbol}: {market.epic}, {market.name}, {found.currency}, {market.bid} / {market.offer}")
        lines += [f"  {line}" for line in remarks(market, found.lots[symbol])]
    return lines


def as_json(found: Look) -> dict[str, Any]:
    """Return it for programs."""
    account = found.account
    return {
        "good": found.good,
        "account": None
        if account is None
        else {
            "currency": account.currency,
            "cash": str(account.cash),
            "available": str(account.available),
            "margin": str(account.margin),
        },
        "problems": found.account_wrong,
        "positions": [{"symbol": one.symbol, "quantity": str(one.quantity)} for one in found.positions],
        "instruments": {
            symbol: {
                "epic": market.epic,
                "name": market.name,
                "status": market.status,
                "expiry": market.expiry,
                "minSize": str(market.min_size),
                "minSizeUnit": market.min_size_unit,
                "remarks": remarks(market, found.lots[symbol]),
            }
            for symbol, market in sorted(found.markets.items())
        },
        "wrong": found.wrong,
    }
