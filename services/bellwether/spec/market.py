"""When a system trades and steps: its exchange, corrections of its calendar, and its clock."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bellwether.spec.exchanges import CalendarName
from bellwether.spec.fields import Block, Day, Duration, TimeOfDay, cel, rules


class SessionOverride(Block):
    """One day on which the exchange's table is wrong or incomplete: a closure, an odd hour, an extra session."""

    model_config = rules(
        cel(
            "(has(self.closed) && self.closed) ? !has(self.open) && !has(self.close) "
            ": has(self.open) || has(self.close)",
            "an override either says closed: true, or gives an open or a close time",
        ),
        cel("!has(self.open) || !has(self.close) || self.open < self.close", "open must be before close"),
    )
    date: Day = Field(description="The day, in the exchange's time zone.")
    closed: bool | None = Field(None, description="True: there is no session on this day.")
    open: TimeOfDay | None = Field(
        None, description="When the session opens, in the exchange's time zone; a day without one needs both times."
    )
    close: TimeOfDay | None = Field(None, description="When the session closes, in the exchange's time zone.")
    reason: str | None = Field(None, max_length=200, description="Why, for whoever reads the status later.")


class Market(Block):
    """The exchange whose sessions everything follows."""

    calendar: CalendarName = Field(
        "XASX", description="The exchange's market identifier code; its sessions, holidays and half days are built in."
    )
    overrides: Annotated[
        list[SessionOverride], Field(max_length=100, json_schema_extra={"x-kubernetes-list-map-keys": ["date"]})
    ] = Field(default_factory=list, description="Days on which the built-in table is to be corrected.")


class Clock(Block):
    """Whether the system lives in the present or steps through history."""

    model_config = rules(
        cel("self.mode != 'replay' || has(self.from)", "clock.mode replay needs clock.from, the first day", ".from"),
        cel("self.mode != 'live' || (!has(self.from) && !has(self.to))", "clock.from and clock.to are for mode replay"),
        cel("!has(self.to) || !has(self.from) || self.from <= self.to", "clock.from must not be after clock.to", ".to"),
    )
    mode: Literal["live", "replay"] = Field("live", description="live: now; replay: history, session by session.")
    from_: Day | None = Field(None, alias="from", description="The first day that is replayed.")
    to: Day | None = Field(None, description="The last day that is replayed; without it, as far as there are bars.")
    pace: Duration = Field(
        "500ms", description="Wall time that one replayed session takes at least; 0s is as fast as the machine allows."
    )
