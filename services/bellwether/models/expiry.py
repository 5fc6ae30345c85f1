"""When models expire, and the alarm of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from bellwether.messages.alarms import alarm
from bellwether.messages.models import ModelInfo, expiry_words
from bellwether.messages.monitoring import AlarmReading

WARNING_DAYS = 14
"""So many days before a model expires people are told."""
_LONGEST = 500


def has_expired(expires_on: date | None, day: date) -> bool:
    """Return whether a model answers no more on a day at the exchange."""
    return expires_on is not None and day >= expires_on


def expiry_alarms(models: Sequence[ModelInfo], day: date) -> list[AlarmReading]:
    """Return the alarm of models that have expired by a day, critical, or else of those that soon will."""
    over = [one for one in models if one.expired]
    if over:
        return [alarm("model_expired", "; ".join(map(expiry_words, over))[:_LONGEST], severity="critical")]
    soon = [one for one in models if one.expires_on is not None and (one.expires_on - day).days <= WARNING_DAYS]
    return [alarm("model_expired", "; ".join(map(expiry_words, soon))[:_LONGEST])] if soon else []
