"""Brier scores and counts of actions, kept up to date beside the tables: no session reads what earlier ones wrote."""

from __future__ import annotations

from collections import Counter
from math import ldexp

from bellwether.messages.prediction import Action
from bellwether.prediction import store as rows
from bellwether.storage.store import Transaction

_BITS = 160
"""The square of a difference of at least 2**-53 is, as a float, a whole number of 2**-160."""


class Brier:
    """Sums of squared errors of probabilities and base rates; they are whole, so their order changes nothing."""

    def __init__(self) -> None:
        self._count = 0
        self._model = 0
        self._base = 0

    def add(self, probability: float, base_rate: float, rose: int) -> None:
        """Add one outcome."""
        self._count += 1
        self._model += int(ldexp((probability - rose) * (probability - rose), _BITS))
        self._base += int(ldexp((base_rate - rose) * (base_rate - rose), _BITS))

    @property
    def means(self) -> tuple[float, float] | tuple[None, None]:
        """The scores of model and base rate, None for both without any outcome."""
        if not self._count:
            return None, None
        return self._model / 2**_BITS / self._count, self._base / 2**_BITS / self._count


class BrierScores:
    """The mean squared errors of the probabilities and of their base rates in one run, or in all (None).

    They are taken out for a transaction and given back once it is in; what is missing is read from the table.
    """

    def __init__(self) -> None:
        self._kept: tuple[str | None, Brier] | None = None
        self._turn = 0

    def take(self, tx: Transaction, run: str | None) -> tuple[Brier, int]:
        """Return the sums as they are in the table, and the turn to give them back with."""
        kept, self._kept = self._kept, None
        self._turn += 1
        if kept is not None and kept[0] == run:
            return kept[1], self._turn
        found = Brier()
        for probability, base_rate, rose in rows.scored(tx, run):
            found.add(probability, base_rate, rose)
        return found, self._turn

    def give_back(self, run: str | None, sums: Brier, turn: int) -> None:
        """Keep sums whose transaction is in, unless another one has changed the table since."""
        if turn == self._turn:
            self._kept = (run, sums)

    def forget(self) -> None:
        """Read everything again: rows were deleted."""
        self._kept = None
        self._turn += 1


class ActionCounts:
    """How many decisions have each action, over all runs: only what came since the last look is counted."""

    def __init__(self) -> None:
        self._counts: Counter[Action] = Counter()
        self._through = 0

    def read(self, tx: Transaction) -> dict[Action, int]:
        """Return the counts; an action without a decision is left out."""
        for sequence, action in rows.actions_after(tx, self._through):
            self._counts[action] += 1
            self._through = sequence
        return dict(self._counts)

    def forget(self) -> None:
        """Count again: rows were deleted."""
        self._counts.clear()
        self._through = 0
