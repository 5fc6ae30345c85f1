"""A symbol's bars from market-data, however many, page by page: a reply has room for some thousands."""

from __future__ import annotations

from bellwether.messages.market_data import Bar, Bars, GetBars
from bellwether.runtime.call import Call

PAGE = 5000


async def newest_bars(call: Call, symbol: str, count: int) -> list[Bar]:
    """Return the newest `count` bars that are complete at the call's instant, adjusted, oldest first.

    Raises:
        RpcError: of market-data.
    """
    found: list[Bar] = []
    while len(found) < count:
        wanted = min(PAGE, count - len(found))
        question = GetBars(symbol, count=wanted, before=found[0].session if found else None)
        page = (await call.request("market-data", "get_bars", question, Bars, idempotent=True)).bars
        found = [*page, *found]
        if len(page) < wanted:
            break
    return found
