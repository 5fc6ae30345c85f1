"""Which quotient of whole numbers an interval means (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

LARGEST_TERM = 2000
"""Ratios of splits have terms up to this: 1231:1000 happens, 12347:10000 does not."""


def simplest(low: float, high: float) -> Fraction | None:
    """Return the fraction with the smallest terms in a closed interval above 0; None where its terms are too large.

    The Stern-Brocot tree's first node within the interval (Graham, Knuth, Patashnik: Concrete Mathematics, 4.5).
    """
    if not 0.0 < low <= high:
        return None
    found = _simplest(Fraction(low), Fraction(high))
    return found if max(found.numerator, found.denominator) <= LARGEST_TERM else None


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    whole = low.numerator // low.denominator
    if whole == low:
        return Fraction(whole)
    if whole + 1 <= high:
        return Fraction(whole + 1)
    rest = _simplest(1 / (high - whole), 1 / (low - whole))
    return whole + 1 / rest


def half_unit(values: Iterable[float], finest: int) -> float:
    """Return half of the last decimal place that these prices are stated in: 0.005 for cents, at most `finest` places.

    Prices that show more places than that are computed ones, exact as far as they go.
    """
    places = 2
    for value in values:
        while places < finest and not math.isclose(round(value, places), value, rel_tol=1.0e-9):
            places += 1
        if places == finest:
            break
    return 0.5 * 10.0**-places
