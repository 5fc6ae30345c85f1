"""What a walk-forward showed, session by session: all that the gate judges by. Pure, and free of numpy.

Sums by session are enough: the gate resamples whole sessions, because the symbols of one session move together.
"""

from __future__ import annotations

import msgspec


class Day(msgspec.Struct, frozen=True, array_like=True):
    """Sums over the rows of one session of the test blocks. Losses are log losses (natural logarithm)."""

    day: int
    """Ordinal of the session."""
    rows: int
    model: float
    pooled: float
    """Loss of the base rate of all symbols, as known at that time."""
    symbol: float
    """Loss of each symbol's own base rate, as known at that time."""
    bias: float
    """Sum of probability less outcome."""
    tilt: float
    """Sum of (outcome - probability) * (log odds of the probability less those of the symbol's base rate): it lies
    around 0 where probabilities are as far from the base rate as they should be, below where they are too far."""
    rival: float | None = None
    """Loss of the recipe that serves, walked forward over the same rows; None where there is none."""


class Interval(msgspec.Struct, frozen=True):
    """A figure and where the block bootstrap puts it, 95 %; None where there are too few sessions to say."""

    value: float
    low: float | None
    high: float | None


class Scores(msgspec.Struct, frozen=True):
    """How one estimator, or the base rate, did on what it had not seen."""

    name: str
    serves: bool
    brier: Interval
    log_loss: Interval
    auc: Interval
    hit_rate: Interval


class Bin(msgspec.Struct, frozen=True):
    """One bar of the calibration plot: rows, their mean probability, the share that rose, and its interval."""

    rows: int
    probability: float
    rose: Interval


class Costs(msgspec.Struct, frozen=True):
    """What acting on BUY would have brought: bought at the next open, sold at the horizon's close."""

    trades: int
    share: float
    """Of all rows."""
    turnover: float
    """Bought and sold per session, as a share of what is invested when every symbol is held."""
    before: Interval
    """Mean return of a trade before costs, as a fraction."""
    after: Interval
    always: Interval
    """Mean return of buying at every row, before costs."""
    cost: float
    """Of one trade, both ways, as a fraction."""


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a model from data that it had not seen."""

    recipe: str
    recipe_hash: str
    feature_version: str
    data_revision: str
    symbol: str | None
    horizon_sessions: int
    folds: int
    days: list[Day]
    table: list[Scores]
    """The model first, then what stands beside it, the base rates last."""
    bins: list[Bin]
    costs: Costs | None
    largest_difference: float
    """Between ONNX Runtime and scikit-learn, over all rows."""
    other_side: int
    """Rows on which those two would act differently."""
    rival: str | None = None
    """Recipe hash of what `Day.rival` is of."""
    serving: str | None = None
    """Version of this recipe's model that served when this one was made."""
    serving_losses: list[float | None] = []
    """Its losses of the same sessions, in the order of `days`: none of them was made by what had seen the outcome. None
    where it said nothing, or of other rows."""

    @property
    def rows(self) -> int:
        """How many predictions were judged."""
        return sum(day.rows for day in self.days)

    @property
    def trial(self) -> str:
        """What makes it a trial of its own: judged again on the same data, it is not a new one."""
        return f"{self.recipe_hash}/{self.feature_version}/{self.data_revision}/{self.symbol or '*'}"
