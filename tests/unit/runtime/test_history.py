from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import pytest

from bellwether.messages.market_data import Bar, Bars, GetBars
from bellwether.runtime.call import Call
from bellwether.runtime.history import PAGE, newest_bars

FIRST = date(1990, 1, 1)
HISTORY = [Bar(FIRST + timedelta(days=number), 1.0, 1.0, 1.0, 1.0, float(number)) for number in range(2 * PAGE + 7)]


class MarketData:
    """Answers as market-data does, and refuses what does not fit into one reply."""

    async def request(self, peer: str, method: str, asked: GetBars, result: Any, *, idempotent: bool) -> Bars:
        assert asked.count <= PAGE
        known = [bar for bar in HISTORY if asked.before is None or bar.session < asked.before]
        return Bars(asked.symbol, known[-asked.count :], "")


@pytest.mark.parametrize("count", [1, PAGE, PAGE + 1, 2 * PAGE + 7, 3 * PAGE])
async def test_a_history_of_more_sessions_than_one_reply_holds_is_read_whole(count: int) -> None:
    found = await newest_bars(cast(Call, MarketData()), "OLD", count)
    assert found == HISTORY[-count:]
