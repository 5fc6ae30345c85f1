"""One-sided signals: a batch in which too large a share is BUY, or SELL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from bellwether.messages.alarms import alarm
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.prediction import BUY_ACTIONS, SELL_ACTIONS, Action, BuyRateAlert, SellRateAlert
from bellwether.prediction import store as rows
from bellwether.prediction.logic import rate_of
from bellwether.runtime.call import Call
from bellwether.spec.models import Predictions
from bellwether.storage.store import Transaction


class _Side(NamedTuple):
    """One of the two sides, the event that reports it, and the share in percent that is allowed."""

    name: str
    event: type[BuyRateAlert] | type[SellRateAlert]
    actions: Sequence[Action]
    limit: int
    signal: str


def _sides(limits: Predictions) -> list[_Side]:
    return [
        _Side("buy_rate_alert", BuyRateAlert, BUY_ACTIONS, limits.buy_rate_alert, "BUY"),
        _Side("sell_rate_alert", SellRateAlert, SELL_ACTIONS, limits.sell_rate_alert, "SELL"),
    ]


def turn_alerts(tx: Transaction, actions: Sequence[Action], limits: Predictions, slot: str | None, call: Call) -> None:
    """Publish an event when the signals of batches become one-sided, and one when they no longer are."""
    instant = slot or f"at-{call.as_of:%Y%m%dT%H%M%S}{call.as_of.microsecond:06d}"
    for side in _sides(limits):
        rate, signals = rate_of(side.actions, actions)
        raised = rows.turn(tx, call.run, side.name, call.as_of, high=rate > side.limit)
        if raised is True:
            event = side.event(rate, len(actions), signals)
            tx.outbox(call.event(side.name, event, event_id=f"{side.name}-{instant}"))
        elif raised is False:
            event = side.event(rate, len(actions), signals, resolved=True)
            tx.outbox(call.event(side.name, event, event_id=f"{side.name}-cleared-{instant}"))


def warning_of(actions: Sequence[Action], limits: Predictions) -> str | None:
    """Return in words which side has too large a share of these actions; None where neither has."""
    for side in _sides(limits):
        rate, _ = rate_of(side.actions, actions)
        if rate > side.limit:
            return f"{side.signal.lower()} rate {rate:g} % is above {side.limit} %"
    return None


def alarms_of(raised: Collection[str], limits: Predictions) -> list[AlarmReading]:
    """Return the alarms of the alerts that are raised."""
    found = []
    if "buy_rate_alert" in raised:
        found.append(alarm("buy_rate_high", f"more than {limits.buy_rate_alert} % of the last batch is BUY"))
    if "sell_rate_alert" in raised:
        found.append(alarm("sell_rate_high", f"more than {limits.sell_rate_alert} % of the last batch is SELL"))
    return found
