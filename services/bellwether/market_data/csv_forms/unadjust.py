"""Prices without the dividends taken out of them (pure).

yfinance's `history()` states prices that were scaled down for every later dividend, beside the dividends themselves:
each close before the ex-date was multiplied by 1 - d / c, c being the close of the day before (the CRSP method, as
yfinance and Yahoo apply it). Walking back from the newest row undoes it exactly: c = stated / scale + d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bellwether.market_data.rows import SourceRow


def without_dividends_taken_out(rows: Sequence[SourceRow]) -> list[SourceRow]:
    """Return rows with prices before dividends were taken out, the stated close kept as the adjusted one.

    Rows are in the order of their sessions. Dividends after the newest row are not known here: then all prices stand
    too low by the same share.
    """
    found: list[SourceRow] = []
    scale, pending = 1.0, 0.0
    for row in reversed(rows):
        if pending > 0.0:
            close = row.close / scale + pending
            scale *= 1.0 - pending / close
        found.append(
            row
            if scale == 1.0
            else replace(
                row,
                open=row.open / scale,
                high=row.high / scale,
                low=row.low / scale,
                close=row.close / scale,
            )
        )
        found[-1] = replace(found[-1], adjusted_close=row.close)
        pending = row.dividend or 0.0
    found.reverse()
    return found
