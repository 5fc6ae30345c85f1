"""Bars, and the state of their symbol, as requests ask for them (pure)."""

from __future__ import annotations

from datetime import datetime

from bellwether.market_data.loaded import LoadedBars, NoData
from bellwether.market_data.series import Series
from bellwether.messages.market_data import Bars, GetBars, GetWindows, MarketData, Window


def bars_of(series: Series, request: GetBars, as_of: datetime) -> Bars:
    """Return the newest bars that a request asks for."""
    view = series.as_of(as_of) if request.adjusted else series.unadjusted(as_of)
    if request.before is not None:
        view = view.before(request.before)
    return Bars(request.symbol, view.bars(request.count), view.revision_of(request.count))


def window_of(book: LoadedBars, symbol: str, request: GetWindows, as_of: datetime) -> Window:
    """Return state and newest bars of a symbol, and why either is missing: too few bars have no state."""
    market: MarketData | None = None
    code = message = ""
    try:
        market = book.market_data(symbol, as_of)
    except NoData as error:
        code, message = error.code, str(error)
    try:
        view = book.view(symbol, as_of)
    except NoData as error:
        return Window(market, None, error.code, str(error))
    revision = view.revision_of(request.count)
    bars = [] if request.known.get(symbol) == revision else view.bars(request.count)
    return Window(market, Bars(symbol, bars, revision), code, message)
