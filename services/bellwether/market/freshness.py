"""Which bar can be expected at an instant. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from bellwether.market.sessions import Calendar

ARRIVES_WITHIN = timedelta(hours=1)
"""How long after its session's close a bar may take to come in: so long the one before it is new enough."""


def expected_bar(calendar: Calendar, instant: datetime) -> date:
    """Return the newest session whose bar should be there at this instant (aware).

    Raises:
        OutsideCalendar: when the calendar's table does not reach so far.

    """
    return calendar.previous_session(instant - ARRIVES_WITHIN).day
