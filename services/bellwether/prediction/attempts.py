"""How the recent attempts to predict went."""

from __future__ import annotations

from collections import deque

RECENT = 100
FEWEST = 5
"""With fewer attempts nothing is said of their share of failures."""
DEGRADED_ABOVE = 0.2
"""Share of failures among the recent attempts above which health is degraded."""


class Attempts:
    """The newest attempts of this process, and how many failed in all."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self.errors = 0

    def succeeded(self) -> None:
        """Count an attempt that gave a prediction."""
        self._recent.append(True)

    def failed(self) -> None:
        """Count an attempt that gave none."""
        self._recent.append(False)
        self.errors += 1

    @property
    def problem(self) -> str:
        """In words, how many of the recent attempts failed; empty while they are few."""
        failed, count = self._recent.count(False), len(self._recent)
        if count < FEWEST or failed <= DEGRADED_ABOVE * count:
            return ""
        return f"{failed} of the last {count} predictions failed"
