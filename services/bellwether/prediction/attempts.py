"""How the recent attempts to predict went, and what is kept of one that failed in part."""

from __future__ import annotations

from collections import deque

from bellwether.messages.envelope import LIVE
from bellwether.messages.prediction import GeneratePredictions
from bellwether.prediction.gather import UNREACHABLE
from bellwether.prediction.store import New
from bellwether.runtime.call import Call

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


def all_or_none(request: GeneratePredictions, made: dict[str, New | str], call: Call) -> dict[str, New | str]:
    """Return what was made; of a replay's slot for which a service is unreachable only the errors: it comes again.

    Decisions of the first try would reach the trader before those of the next, and what its guards allow depends on
    the order. Live there is no time for that: what can be decided is.
    """
    errors = {symbol: error for symbol, error in made.items() if isinstance(error, str)}
    unreachable = any(error.partition(":")[0] in UNREACHABLE for error in errors.values())
    return dict(errors) if unreachable and request.slot is not None and call.run != LIVE else made
