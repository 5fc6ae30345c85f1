"""When models expire, and how people are notified."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from bellwether.messages.models import ModelInfo
from bellwether.models.service import WARNING_DAYS, expiry_alarms, has_expired
from unit.gateway.samples import MODEL

DAY = date(2026, 11, 30)


def ending(day: date | None) -> ModelInfo:
    return msgspec.structs.replace(MODEL, expires_on=day, expired=has_expired(day, DAY))


def test_a_model_expires_on_the_day_itself_and_one_without_a_day_never() -> None:
    assert [has_expired(day, DAY) for day in (None, DAY - timedelta(1), DAY, DAY + timedelta(1))] == [
        False,
        True,
        True,
        False,
    ]


def test_people_are_notified_two_weeks_before_and_critically_from_the_day_on() -> None:
    assert expiry_alarms([ending(None), ending(DAY + timedelta(WARNING_DAYS + 1))], DAY) == []
    (soon,) = expiry_alarms([ending(DAY + timedelta(WARNING_DAYS))], DAY)
    assert (soon.type, soon.severity) == ("model_expired", "warning")
    assert "direction-lr cdcdcdcdcdcd expires on 2026-12-14" in soon.message
    (over,) = expiry_alarms([ending(DAY + timedelta(3)), ending(DAY)], DAY)
    assert (over.severity, over.message) == (
        "critical",
        "model direction-lr cdcdcdcdcdcd expired on 2026-11-30: it learned from sessions through 2008-12-23",
    )
