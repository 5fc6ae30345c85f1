"""What every service with files watches of its own: its volume, and the events that it owes."""

from __future__ import annotations

import logging
import time

from bellwether.messages.alarms import FILLING_PERCENT, FULL_PERCENT, alarm
from bellwether.messages.monitoring import AlarmReading
from bellwether.spec.fields import parse_days
from bellwether.spec.retention import Retention
from bellwether.storage.store import Store

_log = logging.getLogger(__name__)

PRUNE_SECONDS = 6 * 3600.0
"""How often what is no longer kept is deleted."""
FIRST_PRUNE_SECONDS = 300.0
LAG_SECONDS = 60.0


def volume_alarm(percent: float | None) -> list[AlarmReading]:
    """Return the alarm of a volume that fills; unknown where it was not measured."""
    if percent is None:
        return [alarm("volume_filling", "how full the volume is could not be read", unknown=True)]
    if percent >= FULL_PERCENT:
        words = f"the volume is {percent:g} % full; from {FULL_PERCENT:g} % on no position is opened"
        return [alarm("volume_filling", words, severity="critical")]
    if percent >= FILLING_PERCENT:
        return [alarm("volume_filling", f"the volume is {percent:g} % full; the limit is {FILLING_PERCENT:g} %")]
    return []


def lag_alarm(seconds: float, waiting: int) -> list[AlarmReading]:
    """Return the alarm of events that could not be published for so many seconds."""
    if seconds < LAG_SECONDS:
        return []
    return [alarm("outbox_lag", f"{waiting} or more events could not be published for {seconds:.0f} s")]


async def prune_bus_tables(store: Store, retention: Retention) -> tuple[int, int]:
    """Delete what the declaration no longer keeps of a store's outbox and inbox; return how many rows of each."""
    now = time.time()
    done = await store.prune(
        outbox_before=now - parse_days(retention.outbox).total_seconds(),
        inbox_before=now - parse_days(retention.inbox).total_seconds(),
    )
    if any(done):
        _log.info("%s: %d outbox and %d inbox rows are no longer kept", store.path.name, *done)
    return done
