"""The kinds of value that the declaration is written in: durations, money, ratios, names, days and times of day.

Each is a string with a pattern rather than a number, so that what a person wrote is what is stored: no float
ever stands for money, and `30m` stays `30m`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
OFFSET_PATTERN = r"^-?([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
MONEY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,6})?$"
RATIO_PATTERN = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"
DAY_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
TIME_OF_DAY_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
INSTANT_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?Z$"

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32, examples=["30m", "1h30m", "500ms"])]
Offset = Annotated[str, Field(pattern=OFFSET_PATTERN, max_length=33, examples=["-15m", "1h"])]
Money = Annotated[str, Field(pattern=MONEY_PATTERN, max_length=22, examples=["100000", "9.95"])]
Ratio = Annotated[str, Field(pattern=RATIO_PATTERN, max_length=8, examples=["0.02", "1"])]
Day = Annotated[str, Field(pattern=DAY_PATTERN, max_length=10, min_length=10, examples=["2009-01-02"])]
TimeOfDay = Annotated[str, Field(pattern=TIME_OF_DAY_PATTERN, max_length=5, min_length=5, examples=["14:10"])]


def _instant(text: str) -> str:
    datetime.fromisoformat(text)  # the pattern lets the 30th of February through
    return text


Instant = Annotated[
    str,
    Field(pattern=INSTANT_PATTERN, max_length=20, min_length=17, examples=["2026-11-23T04:30:00Z"]),
    AfterValidator(_instant),
]
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9^][A-Z0-9.^=-]{0,14}$", max_length=15, examples=["CBA.AX"])]
TaskName = Annotated[str, Field(pattern=r"^[a-z]([_a-z0-9]*[a-z0-9])?$", max_length=24)]
_DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_PATTERN = rf"^({_DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
OBJECT_NAME_PATTERN = rf"^{_DNS_NAME}$"
CLASS_NAME_PATTERN = rf"^({_DNS_NAME})?$"
Label = Annotated[str, Field(pattern=LABEL_PATTERN, max_length=253)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE_PATTERN, max_length=63)]
ObjectName = Annotated[str, Field(pattern=OBJECT_NAME_PATTERN, max_length=253)]

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNIT_MICROSECONDS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def parse_duration(text: str) -> timedelta:
    """Return the length of time that a Go duration such as `1h30m` or `-15m` states.

    Raises:
        ValueError: if the text is not a duration in hours, minutes, seconds or milliseconds.

    """
    if not re.fullmatch(OFFSET_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write hours, minutes, seconds as in 1h30m or 500ms")
    total = sum(Decimal(number) * _UNIT_MICROSECONDS[unit] for number, unit in _PART.findall(text))
    return timedelta(microseconds=int(-total if text.startswith("-") else total))


def parse_instant(text: str) -> datetime:
    """Return the instant (UTC) that a text such as `2026-11-23T04:30:00Z` states.

    Raises:
        ValueError: if there is no such instant.

    """
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
