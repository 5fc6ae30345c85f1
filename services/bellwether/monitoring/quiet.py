"""Quiet hours: whether it is quiet at an instant, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bellwether.spec.notifications import QuietHours


def quiet_until(hours: QuietHours | None, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return when the quiet hours around an instant end (UTC), or None when it is not quiet.

    Begin and end are times of the wall clock in `zone`; a night on which the clock is turned is shorter or longer.
    """
    if hours is None:
        return None
    local = now.astimezone(zone)
    begin, end = time.fromisoformat(hours.from_), time.fromisoformat(hours.to)
    at = local.time().replace(tzinfo=None)
    if begin < end:
        inside, day = begin <= at < end, local.date()
    else:
        inside = at >= begin or at < end
        day = local.date() + timedelta(days=1) if at >= begin else local.date()
    return datetime.combine(day, end, zone).astimezone(UTC) if inside else None
