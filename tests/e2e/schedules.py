"""The CronJobs of a system, and which of them fire on a day."""

from __future__ import annotations

from bellwether.render.kubernetes.context import LABEL_TASK
from e2e.days import Day
from e2e.lab import Object, System


def fires_on(schedule: Object, day: Day) -> bool:
    """Whether a CronJob fires on this day, by its schedule."""
    _, _, days, month, _ = schedule["spec"]["schedule"].split()
    return int(month) == day.date.month and str(day.date.day) in days.split(",")


def schedules(system: System, day: Day) -> dict[str, str]:
    """Return the name of the CronJob of each task that fires on this day."""
    found = [each for each in system.lab.items(system.namespace, "cronjobs") if fires_on(each, day)]
    return {each["metadata"]["labels"][LABEL_TASK]: each["metadata"]["name"] for each in found}


def schedule_names(system: System) -> set[str]:
    """Return the names of all CronJobs."""
    return {each["metadata"]["name"] for each in system.lab.items(system.namespace, "cronjobs")}
