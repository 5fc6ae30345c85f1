"""Whether the close had risen at the horizon of decisions, as the bars show it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from bellwether.market.sessions import Calendar
from bellwether.messages.market_data import Bar
from bellwether.prediction.store import Due
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.history import newest_bars

NO_BARS = frozenset({"BARS_LOADING", "NO_BARS", "UNKNOWN_SYMBOL", "SOURCE_UNAVAILABLE"})
"""Answers that say there are no bars to tell the outcome by: the decisions stay due."""


class Realised(NamedTuple):
    """A decision with its outcome."""

    row: Due
    session: date
    """Session at whose close the horizon ended."""
    rose: bool


async def realised(waiting: Sequence[Due], calendar: Calendar, call: Call) -> list[Realised]:
    """Return the outcomes of decisions about one symbol, of those whose horizon its bars reach.

    Raises:
        RpcError: of market-data, when it is unreachable.
    """
    first = min(row.prediction.bar_session for row in waiting if row.prediction.bar_session is not None)
    newest_session = calendar.previous_session(call.as_of).day
    count = calendar.sessions_between(first, newest_session) + 1
    try:
        bars = await newest_bars(call, waiting[0].prediction.symbol, max(count, 1))
    except RpcError as error:
        if error.code in NO_BARS:
            return []
        raise
    return outcomes_in(bars, waiting)


def outcomes_in(bars: Sequence[Bar], waiting: Sequence[Due]) -> list[Realised]:
    """Return the outcomes that bars show (pure). The horizon is counted in the symbol's own bars."""
    place = {bar.session: index for index, bar in enumerate(bars)}
    found = []
    for row in waiting:
        begin = None if row.prediction.bar_session is None else place.get(row.prediction.bar_session)
        if begin is None:
            continue
        end = begin + row.prediction.horizon_sessions
        if end < len(bars):
            found.append(Realised(row, bars[end].session, bars[end].close > bars[begin].close))
    return found
