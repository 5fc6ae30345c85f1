"""Which slots the Jobs that are there stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bellwether.market.slots import due_from_job_name
from bellwether.render.kubernetes.names import LABEL_SLOT, LABEL_SYSTEM_UID, LABEL_TASK
from bellwether_operator.catching_up import StartedJob
from bellwether_operator.observe.kinds import JOB
from bellwether_operator.observe.observed import Observed


def started_jobs(children: Iterable[Observed], uid: str) -> list[StartedJob]:
    """Return the Jobs of one system that stand for a slot: those of its CronJobs, and those that bear a slot's name."""
    found = []
    for child in children:
        task = child.labels.get(LABEL_TASK)
        if child.key.kind != JOB or task is None or child.labels.get(LABEL_SYSTEM_UID) != uid:
            continue
        slot = child.labels.get(LABEL_SLOT)
        over = {
            each["type"]: datetime.fromisoformat(each["lastTransitionTime"])
            for each in child.status.get("conditions") or ()
            if each.get("type") in {"Complete", "Failed"} and each.get("status") == "True"
        }
        try:
            minute = None if slot is not None else due_from_job_name(child.key.name)
        except ValueError:
            continue  # somebody made it by hand from a CronJob: it stands for no minute
        found.append(StartedJob(task, slot, minute, "Failed" in over, max(over.values(), default=None)))
    return found
