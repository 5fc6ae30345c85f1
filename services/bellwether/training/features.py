"""What a model sees of a symbol: a row of features as of the last of its bars.

One code path: training computes its rows with the very function that prediction calls, on windows of the same length.
What each feature is stands in `feature_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bellwether.messages.market_data import Bar
from bellwether.training.feature_table import TABLE, WINDOW, Basket, View, basket_of, feature_version

__all__ = ["FEATURES", "MOVE", "WINDOW", "NotEnoughBars", "basket_of", "feature_version", "features", "moves", "rose"]

MOVE = 20
"""A share whose close is the same for so many sessions is dead or suspended."""

FEATURES = (
    "return_1",
    "return_5",
    "return_20",
    "return_60",
    "gap_to_mean_20",
    "gap_to_mean_100",
    "volatility_20",
    "volatility_ratio",
    "rsi_14",
    "range_position_60",
    "close_in_bar",
    "volume_ratio",
)
"""What a row holds where nobody names features: those of the recipe direction-lr."""
NO_BASKET: Basket = {}


class NotEnoughBars(ValueError):
    """There are fewer bars than a feature row needs."""


def features(bars: Sequence[Bar], names: Sequence[str] = FEATURES, basket: Basket = NO_BASKET) -> dict[str, float]:
    """Return the features as of the last of these bars, by name; only the newest `WINDOW` bars are looked at.

    `basket` holds the market's own moves (`basket_of`); features that need none ignore it.

    Raises:
        NotEnoughBars: with fewer than `WINDOW` bars.
    """
    if len(bars) < WINDOW:
        raise NotEnoughBars(f"{len(bars)} bars: features need {WINDOW}")
    view = View(bars[-WINDOW:], basket)
    return {name: TABLE[name].compute(view) for name in names}


@lru_cache(maxsize=16)
def needs_basket(names: tuple[str, ...]) -> bool:
    """Return whether any of the features looks at the other symbols."""
    return any(TABLE[name].basket for name in names)


def moves(closes: Sequence[float]) -> bool:
    """Return whether the price moved in the newest sessions (`MOVE`); nothing can be said of a share that stands still.

    Its features are constants, and whatever a model makes of them is about the constants and not about the share.
    """
    recent = closes[-MOVE:]
    return max(recent) > min(recent)


def rose(closes: Sequence[float], horizon: int) -> list[bool]:
    """Return, for each close that has one `horizon` sessions later, whether that later close is higher."""
    return [later > earlier for earlier, later in zip(closes, closes[horizon:], strict=False)]
