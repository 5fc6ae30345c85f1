"""Numbers as people's files write them: thousands, decimal commas, currency signs, 77.03M (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Style = Literal["point", "comma", "unclear"]
"""What separates the decimals. `unclear`: every number can be read both ways, such as 81,250."""

LARGEST = 1e15
"""No price, dividend or number of shares is larger."""
SMALLEST_PRICE = 1e-9

_MISSING = frozenset({"", "-", "--", "null", "none", "nan", "n/a", "na", "#n/a", "n.a.", "."})
_SUFFIX = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_CURRENCY = re.compile("^(?:[A-Z]{0,3}[$£€¥\ufffd]|[A-Z]{3}\\s)\\s*|\\s*(?:[$£€¥\ufffd]|\\b[A-Z]{3})$")
"""A sign of money; U+FFFD stands for one of another encoding than UTF-8."""
_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_EITHER_WAY = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


def missing(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return text.lower() in _MISSING


def style_of(cells: Iterable[str], *, delimiter: str) -> Style:
    """Return how these numbers write decimals; a comma within cells parted by commas is one of thousands.

    Where some numbers are clear, they decide for all.
    """
    unclear = False
    for text in cells:
        point, comma = text.rfind("."), text.rfind(",")
        if comma < 0:
            if point >= 0:
                return "point"
        elif point >= 0:
            return "point" if point > comma else "comma"
        elif _EITHER_WAY.fullmatch(_CURRENCY.sub("", text)) or text.count(",") > 1:
            unclear = unclear or text.count(",") == 1
        else:
            return "comma"
    return "unclear" if unclear and delimiter != "," else "point"


def number(text: str, style: Style = "point") -> float | None:
    """Return the number that a cell states, None where it states none that can be read."""
    plain = (
        _CURRENCY.sub("", text.strip()).replace("\u00a0", "").replace("\u202f", "").replace("'", "").replace(" ", "")
    )
    if style == "comma":
        plain = plain.replace(".", "").replace(",", ".")
    elif _GROUPS.fullmatch(plain):
        plain = plain.replace(",", "")
    if not _PLAIN.fullmatch(plain):
        return None
    value = float(plain)
    return value if abs(value) <= LARGEST else None


def volume(text: str, style: Style = "point") -> float | None:
    """Return a number of shares, such as 1,234,567 or 77.03M; None where the cell states none that can be read."""
    plain = text.strip().upper()
    factor = _SUFFIX.get(plain[-1:])
    if factor is not None:
        value = number(plain[:-1], style)
        return None if value is None or value > LARGEST else round(value * factor)
    if style != "point" or not re.fullmatch(r"\d{1,3}(\.\d{3}){2,}", plain):
        return number(plain, style)
    return number(plain.replace(".", ""))


def split_ratio(text: str) -> float | None:
    """Return new shares for one old: `2.0`, `2:1` or `2/1`; 0 and nothing mean that there was no split (1.0)."""
    if missing(text):
        return 1.0
    parts = re.split(r"[:/]", text)
    values = [number(part.strip()) for part in parts]
    if len(values) == 2 and values[0] and values[1]:
        value: float | None = values[0] / values[1]
    else:
        value = values[0] if len(values) == 1 else None
    if value is None or value < 0.0:
        return None
    return value if value > SMALLEST_PRICE else 1.0
