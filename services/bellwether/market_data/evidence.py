"""What the quality of a symbol's bars is judged by, as of an instant (pure)."""

from __future__ import annotations

import hashlib
from datetime import datetime

from bellwether.market.slots import expected_bar
from bellwether.market_data.loaded import LoadedBars
from bellwether.messages.market_data import Evidence


def evidence_of(book: LoadedBars, symbol: str, count: int, as_of: datetime, known: str = "") -> Evidence:
    """Return a symbol's newest complete bars, up to `count`, and what was passed over among them.

    A symbol without any bar has evidence too: none of it.

    Raises:
        NoData: UNKNOWN_SYMBOL, or SOURCE_UNAVAILABLE where nothing is stored.
    """
    expected = expected_bar(book.calendar, as_of)
    series = book.series(symbol)
    view = series.as_of(as_of)
    first, today = view.first_day(count) or expected, book.calendar.local_day(as_of)
    passed_over = sum(first <= day <= today for day in series.off_calendar)
    revision = view.revision_of(count)
    hold = series.held(today)
    words = "" if hold is None else f"{hold.code}: {hold.message}"
    token = hashlib.sha256(f"{revision} {expected} {passed_over} {words}".encode()).hexdigest()[:24]
    if token == known:
        return Evidence(symbol, token, expected, unchanged=True)
    return Evidence(symbol, token, expected, view.bars(count), revision, passed_over, words)
