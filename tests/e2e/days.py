"""The day at an exchange of which a test makes a session."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from bellwether.market.sessions import load_calendar


@dataclass(frozen=True)
class Day:
    """Today at an exchange where midnight is some hours away."""

    exchange: str
    zone: ZoneInfo
    date: date

    @classmethod
    def today(cls, exchanges: Sequence[str], hours: Container[int]) -> Day:
        """Return today at the first exchange where it is one of these hours: neither early nor late."""
        for exchange in exchanges:
            zone = load_calendar(exchange).timezone
            now = datetime.now(zone)
            if now.hour in hours:
                return cls(exchange, zone, now.date())
        raise AssertionError(f"at none of {', '.join(exchanges)} it is day")

    def at(self, clock: time) -> datetime:
        """Return when it is this time of the day at the exchange, UTC."""
        return datetime.combine(self.date, clock, self.zone).astimezone(UTC)

    def clock(self, at: datetime) -> str:
        """Return an instant as hours and minutes at the exchange."""
        return at.astimezone(self.zone).strftime("%H:%M")

    def slot(self, task: str) -> str:
        """Return the name of a task's slot on this day."""
        return f"{task}-{self.date:%Y%m%d}"
