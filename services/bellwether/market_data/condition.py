"""How market-data says it is: its health, and the alarm of bars that are late. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bellwether.market.sessions import OutsideCalendar
from bellwether.market_data.loaded import LoadedBars
from bellwether.market_data.sources import Source
from bellwether.market_data.yahoo.bars import YahooBars
from bellwether.messages.alarms import alarm
from bellwether.messages.monitoring import AlarmReading

MOST_LISTED = 20
"""So many odd rows of a symbol are listed."""
LATE = timedelta(hours=3)
"""How long after a close a bar may take until people are notified that it is missing."""


def health_of(book: LoadedBars | None, source: Source | None) -> dict[str, Any]:
    """Return what health says besides; degraded while a declared symbol has no bars."""
    if book is None:
        return {"status": "degraded", "warning": "there is no declaration yet"}
    errors = {symbol: error for symbol, error in book.errors.items() if symbol in book.declared}
    held = {symbol: words for symbol in book.declared if (words := book.hold_words(symbol)) is not None}
    odd = {symbol: rows[:MOST_LISTED] for symbol, rows in book.odd.items() if rows and symbol in book.declared}
    found: dict[str, Any] = {"symbols": len(book.declared), "source_errors": errors, "held_back": held, "odd_rows": odd}
    if isinstance(source, YahooBars):
        found["yahoo"] = source.describe()
    waiting = [book.loading[symbol] for symbol in book.declared if symbol in book.loading]
    if waiting:
        found |= {"status": "degraded", "warning": waiting[0]}
    if errors or held:
        found["status"] = "degraded"
        found["warning"] = next(iter((errors | held).values()))
    return found


def alarms_of(book: LoadedBars, now: datetime) -> list[AlarmReading]:
    """Return the alarm of bars that are older at an instant (aware) than they could be."""
    try:
        found, due = book.freshness(now), book.freshness(now - LATE).expected
    except OutsideCalendar as error:
        return [alarm("data_stale", str(error)[:500])]
    stale = [one for one in found.symbols if not one.fresh and (one.last_session is None or one.last_session < due)]
    names = ", ".join(one.symbol for one in stale)
    return [alarm("data_stale", f"no bar of {due} yet for {names}"[:500])] if stale else []
