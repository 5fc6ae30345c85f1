"""A market-data service in the test's own process that asks the stand-in, and only when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

from bellwether.market_data import service as market_data
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.service import Service
from harness.until import DEADLINE
from harness.yahoo.standin import StandIn


def market_data_of(
    yahoo: StandIn,
) -> tuple[Callable[[ServiceContext], Service], list[market_data.MarketDataService]]:
    """Return what builds the service, and a list that has it once it is built; nothing runs by its own clock."""
    made: list[market_data.MarketDataService] = []
    original = market_data.MarketDataService

    def keep(context: ServiceContext, base: Path) -> market_data.MarketDataService:
        made.append(original(context, base))
        door, reach = made[-1]._yahoo, made[-1]._yahoo._reach
        # The child has to import yfinance first, which takes long where many tests share few processors.
        door._reach = lambda: replace(reach(), answer_seconds=DEADLINE)  # type: ignore[method-assign]
        return made[-1]

    def build(context: ServiceContext) -> Service:
        context.config = replace(context.config, proxy=yahoo.url, ca_bundle=yahoo.authority)
        with mock.patch.object(market_data, "MarketDataService", keep):
            service = market_data.create(context)
        service._background.clear()
        return service

    return build, made
