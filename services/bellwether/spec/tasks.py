"""The tasks of a session, and when each is due."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bellwether.spec.fields import Block, Duration, Offset, TaskName, TimeOfDay, cel, rules

SCHEDULER_NAMES = ("session_open", "session_close", "first_start")
"""What the scheduler calls its own work. A task or a job of such a name would be taken for it."""


class Task(Block):
    """Work that is due at an instant of each session."""

    model_config = rules(
        cel(
            "self.anchor == 'time' ? has(self.time) && !has(self.offset) : !has(self.time)",
            "anchor time needs `time` and no `offset`; anchors open and close take `offset` and no `time`",
        ),
        cel(
            f"!(self.name in {list(SCHEDULER_NAMES)})",
            f"{', '.join(SCHEDULER_NAMES[:-1])} and {SCHEDULER_NAMES[-1]} are the scheduler's own: take another name",
            ".name",
        ),
    )
    name: TaskName = Field(
        description="What is done: morning_analysis, prediction_generation, evening_analysis, or a name of your own."
    )
    anchor: Literal["open", "close", "time"] = Field(description="What `offset` counts from, or a time of day.")
    offset: Offset | None = Field(None, description="Before (-15m) or after (1h) the session's open or close.")
    time: TimeOfDay | None = Field(None, description="A time of day in the exchange's time zone, on session days.")
    useful_until: Duration = Field(
        "15m", description="How long after it was due a missed run is still caught up; later it is reported missed."
    )


def default_tasks() -> list[Task]:
    """Return the three tasks of a trading day: before the open twice, after the close once."""
    return [
        Task(name="morning_analysis", anchor="open", offset="-30m", useful_until="15m"),
        Task(name="prediction_generation", anchor="open", offset="-15m", useful_until="15m"),
        Task(name="evening_analysis", anchor="close", offset="1h", useful_until="4h"),
    ]
