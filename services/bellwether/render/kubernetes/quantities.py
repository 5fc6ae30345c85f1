"""Amounts in the one form in which the API server gives them back, so that what is there contains what was sent."""

from __future__ import annotations

import re

_UNITS = ("Mi", "Gi", "Ti")
_SIZE = re.compile(r"([1-9][0-9]*)(Mi|Gi|Ti)")


def cpu(millis: int) -> str:
    """Return an amount of CPU given in thousandths: `250m`, or `2` where it is whole."""
    return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


def memory(mebibytes: int) -> str:
    """Return an amount of memory or disk given in mebibytes, in the largest unit that divides it: 2048 is `2Gi`."""
    unit = 0
    while mebibytes % 1024 == 0 and mebibytes and unit < len(_UNITS) - 1:
        mebibytes //= 1024
        unit += 1
    return f"{mebibytes}{_UNITS[unit]}"


def mebibytes(size: str) -> int:
    """Return how many mebibytes a declared size such as `1Gi` is.

    Raises:
        ValueError: if it is not a whole number with Mi, Gi or Ti.
    """
    found = _SIZE.fullmatch(size)
    if found is None:
        raise ValueError(f"{size!r} is not a size: write a whole number with Mi, Gi or Ti, such as 1Gi")
    return int(found[1]) << (10 * _UNITS.index(found[2]))


def size(declared: str) -> str:
    """Return a declared size in canonical form: `1024Mi` is `1Gi`."""
    return memory(mebibytes(declared))


def millis(amount: str) -> int:
    """Return how many thousandths of a CPU a declared amount such as `100m` is."""
    return int(amount.removesuffix("m"))
