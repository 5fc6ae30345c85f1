"""Days as people's files write them (pure).

`2/01/2020` is the second of January or the first of February: the file's other days decide (31/01/2020 can be read in
one way only), else the declaration has to say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from bellwether.market_data.csv_forms.cells import FormError

Order = Literal["dayFirst", "monthFirst"]

_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_COMPACT = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})")
_SLASHED = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})")
_NAMED = re.compile(r"(?:(\d{1,2})[- ]([A-Za-z]{3,9})\.?[-, ]+(\d{4}|\d{2})|([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4}))")
_SERIAL = re.compile(r"([2-6]\d{4})(?:\.0+)?")
_TIME = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?(?:\s*[A-Z]{2,5})?"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EXCEL_ZERO = date(1899, 12, 30)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a date cell states: its day, the time of day (None: only a day), and the offset from UTC if one is given."""

    day: date
    at: time | None = None
    offset: timedelta | None = None

    def session(self, zone: ZoneInfo | None) -> date:
        """Return the exchange's day: a time of day that is not midnight is turned into the exchange's zone."""
        if self.at is None or self.offset is None or zone is None or self.at == time(0):
            return self.day
        instant = datetime.combine(self.day, self.at, UTC) - self.offset
        return instant.astimezone(zone).date()


def order_of(cells: Iterable[tuple[str, str]], name: str) -> Order | None:
    """Return which of 2/01/2020 is the day, from the cells that can be read in one way only; None where none can.

    Cells come with the place to name.

    Raises:
        FormError: when some cells can only be read the one way and others only the other.
    """
    first: tuple[str, str] | None = None
    second: tuple[str, str] | None = None
    for where, text in cells:
        found = _SLASHED.match(text)
        if found is None:
            continue
        if int(found[1]) > 12 >= int(found[2]):
            first = first or (where, text)
        elif int(found[2]) > 12 >= int(found[1]):
            second = second or (where, text)
    if first and second:
        raise FormError(
            f"{name}: the days are written in two orders: {first[1]} ({first[0]}) has the day first, {second[1]} "
            f"({second[0]}) the month; write all in one order"
        )
    return "dayFirst" if first else "monthFirst" if second else None


def needs_order(text: str) -> bool:
    """Whether a cell's day cannot be known without knowing which number is the day."""
    return _SLASHED.match(text) is not None


def stamp(text: str, order: Order | None) -> Stamp | None:
    """Return what a date cell states, None where it states no day that exists."""
    day_text, _, rest = text.replace("T", " ", 1).partition(" ") if text[:1].isdigit() else (text, "", "")
    named = _NAMED.match(text)
    if named is not None:
        day_text, rest = text[: named.end()], text[named.end() :].strip()
    try:
        day = _day(day_text, order)
    except ValueError:
        return None
    if day is None:
        return None
    if not rest:
        return Stamp(day)
    return _with_time(day, rest.strip())


def _with_time(day: date, text: str) -> Stamp | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour = int(found["hour"])
    if found["half"]:
        hour = hour % 12 + (12 if found["half"].lower() == "pm" else 0)
    if hour > 23 or int(found["minute"]) > 59:
        return None
    at = time(hour, int(found["minute"]), min(int(found["second"] or 0), 59))
    return Stamp(day, at, _offset(found["zone"]))


def _offset(text: str | None) -> timedelta | None:
    if not text:
        return None
    if text == "Z":
        return timedelta(0)
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timedelta(minutes=-minutes if text[0] == "-" else minutes)


def _day(text: str, order: Order | None) -> date | None:
    if found := _YEAR_FIRST.fullmatch(text):
        return date(int(found[1]), int(found[2]), int(found[3]))
    if found := _COMPACT.fullmatch(text):
        return date(int(found[1]), int(found[2]), int(found[3]))
    if (found := _SLASHED.fullmatch(text)) and order is not None:
        day, month = (found[1], found[2]) if order == "dayFirst" else (found[2], found[1])
        return date(_year(found[3]), int(month), int(day))
    if found := _NAMED.fullmatch(text):
        day, month, year = (found[1], found[2], found[3]) if found[1] else (found[5], found[4], found[6])
        return date(_year(year), _MONTHS.index(month[:3].lower()) + 1, int(day))
    if found := _SERIAL.fullmatch(text):
        return _EXCEL_ZERO + timedelta(days=int(found[1]))
    return None


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return 1900 + year if year >= 70 else 2000 + year
