"""Files of made-up daily bars, one per symbol, whose rows a test adds when they are to arrive."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from bellwether.market.sessions import Calendar

CALM = 30
"""The newest bars, which move by a cent only."""
HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"


def row(day: date, opening: float, closing: float, *, factor: float = 1.0) -> str:
    """Return a day's row; high and low enclose open and close, the adjusted close is the close times the factor."""
    high, low = max(opening, closing) + 1, min(opening, closing) - 1
    return f"{day},{opening:.2f},{high:.2f},{low:.2f},{closing:.2f},{closing * factor:.4f},1000"


def write(
    folder: Path,
    symbol: str,
    calendar: Calendar,
    through: date,
    *,
    count: int = 40,
    price: float = 50.0,
    factor: float = 1.0,
) -> None:
    """Write a symbol's file with its newest `count` sessions through a day, all at about one price, the last at it.

    Every other close is a cent or two higher: prices that never move are no prices to data-quality.
    """
    folder.mkdir(exist_ok=True)
    days = [session.day for session in calendar.sessions(date(through.year - 1, 1, 1), through)][-count:]
    rows = []
    for before, day in enumerate(reversed(days)):
        # Calmer of late: the market's mood stays neutral.
        cents = 0.0 if before % 2 == 0 else 0.01 if before < CALM else 0.02
        rows.append(row(day, price, price + cents, factor=factor))
    lines = [HEADER, *reversed(rows)]
    (folder / f"{symbol}.csv").write_text("\n".join(lines) + "\n")


def arrive(folder: Path, symbol: str, day: date, opening: float, closing: float) -> None:
    """Add a day's row."""
    with (folder / f"{symbol}.csv").open("a") as file:
        file.write(row(day, opening, closing) + "\n")
