"""Which bar can be expected at an instant, and how long a session waits for its bars. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from bellwether.market.sessions import Calendar, Session

ARRIVES_WITHIN = timedelta(hours=1)
"""How long after its session's close a bar may take to come in: so long the one before it is new enough."""


def expected_bar(calendar: Calendar, instant: datetime) -> date:
    """Return the newest session whose bar should be there at this instant (aware).

    Raises:
        OutsideCalendar: when the calendar's table does not reach so far.
    """
    return calendar.previous_session(instant - ARRIVES_WITHIN).day


def closes_by(calendar: Calendar, session: Session) -> datetime:
    """Return until when (UTC) a session waits for its bars before its book is closed without them.

    An hour after its close; where the next session opens so soon that this would be late, half way to that open.

    Raises:
        OutsideCalendar: when the calendar's table does not reach to the next session.
    """
    pause = calendar.after(session.day, 1).open - session.close
    return session.close + min(ARRIVES_WITHIN, pause / 2)
