"""What can be wrong with predictions: attempts that fail, and signals of which too large a share is BUY, or SELL."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec import UNSET

from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import LIVE
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.prediction import (
    BUY_ACTIONS,
    SELL_ACTIONS,
    Action,
    BuyRateAlert,
    GeneratePredictions,
    SellRateAlert,
)
from bellwether.prediction import store as rows
from bellwether.prediction.gather import ASKED_AGAIN
from bellwether.prediction.logic import rate_of
from bellwether.prediction.store import New
from bellwether.runtime.call import Call
from bellwether.spec.models import Predictions
from bellwether.storage.store import Transaction

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
    unreachable = any(error.partition(":")[0] in ASKED_AGAIN for error in errors.values())
    return dict(errors) if unreachable and request.slot is not None and call.run != LIVE else made


class _Side(NamedTuple):
    """One of the two sides, the event and the alarm that report it, and the share in percent that is allowed."""

    name: str
    alarm: str
    event: type[BuyRateAlert] | type[SellRateAlert]
    actions: Sequence[Action]
    limit: int
    signal: str


def _sides(limits: Predictions) -> list[_Side]:
    return [
        _Side("buy_rate_alert", "buy_rate_high", BuyRateAlert, BUY_ACTIONS, limits.buy_rate_alert, "BUY"),
        _Side("sell_rate_alert", "sell_rate_high", SellRateAlert, SELL_ACTIONS, limits.sell_rate_alert, "SELL"),
    ]


def turn_alerts(tx: Transaction, actions: Sequence[Action], limits: Predictions, slot: str | None, call: Call) -> None:
    """Publish an event when the signals of batches become one-sided, and one when they no longer are."""
    instant = slot or f"at-{call.as_of:%Y%m%dT%H%M%S}{call.as_of.microsecond:06d}"
    for side in _sides(limits):
        rate, signals = rate_of(side.actions, actions)
        raised = rows.turn(tx, call.run, side.name, call.as_of, high=rate > side.limit)
        if raised is not None:
            event = side.event(rate, len(actions), signals, resolved=UNSET if raised else True)
            event_id = f"{side.name}-{instant}" if raised else f"{side.name}-cleared-{instant}"
            tx.outbox(call.event(side.name, event, event_id=event_id))


def warning_of(actions: Sequence[Action], limits: Predictions) -> str | None:
    """Return in words which side has too large a share of these actions; None where neither has."""
    for side in _sides(limits):
        rate, _ = rate_of(side.actions, actions)
        if rate > side.limit:
            return f"{side.signal.lower()} rate {rate:g} % is above {side.limit} %"
    return None


def alarms_of(raised: Collection[str], limits: Predictions) -> list[AlarmReading]:
    """Return the alarms of the alerts that are raised."""
    return [
        alarm(side.alarm, f"more than {side.limit} % of the last batch is {side.signal}")
        for side in _sides(limits)
        if side.name in raised
    ]
