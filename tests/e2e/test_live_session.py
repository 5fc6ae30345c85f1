"""A session that an override opens now: schedules, Jobs and system killed, operator and node away, slots caught up and
missed, and one that is called off.

The bars are made up, and the shares are named so. All but the last falls due in two of the minutes that all tests here
wait for: over the first one there is no node, in the second one things are killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether.market.slots import epoch_minutes
from bellwether.render.kubernetes.context import LABEL_SLOT, LABEL_TASK
from bellwether.spec.fields import parse_instant
from e2e import waits
from e2e.bars import fill_volume
from e2e.days import Day
from e2e.holding import held
from e2e.killer import Killer, killer
from e2e.lab import Lab, Object, System, eventually, live_system, names
from e2e.schedules import schedule_names, schedules
from environments.clusters import Embedded

# The node goes away here, and minutes count.
pytestmark = pytest.mark.apart

NAME = "live"
SYMBOLS = ["MADEUP1", "MADEUP2"]
EXCHANGES = ("XASX", "XNYS", "XHKG", "XLON", "XTKS")
HOURS = range(4, 20)
"""Neither early nor late at the exchange, nor the hours in which clocks are changed."""
PREPARE = timedelta(seconds=80)
"""So long before the slots fall due the day is declared, so that everything is in its place by then, on a machine with
other tests beside these, too."""
ONCE, KILLED, CAUGHT_UP, TOO_LATE = "prediction_generation", "look_around", "evening_analysis", "look_too_late"
CUT_SHORT, FELLED, CALLED_OFF = "look_cut_short", "look_felled", "look_called_off"
AFTER = {CUT_SHORT: timedelta(seconds=155), KILLED: timedelta(seconds=165), FELLED: timedelta(seconds=175)}
"""So long after the others the slots are due at which something is killed: their Jobs begin with that minute and wait.
Until that minute the node has to be back and the first slot done, and until the first of them is due all three Jobs
have to be there, on a machine with other tests beside these, too.
The first one's Job is killed at its work, the second one's while it waits, and under the third the system."""
TASKS = {ONCE, KILLED, CAUGHT_UP, TOO_LATE, CUT_SHORT, FELLED}
WITNESS = "witness"
ROOM = timedelta(seconds=30)
"""For closing the day before a slot falls due, at least."""
WRITE_BARS = """
import math, sys
from datetime import date, timedelta
from pathlib import Path
from bellwether.market.sessions import load_calendar
exchange, today, *symbols = sys.argv[1:]
today = date.fromisoformat(today)
sessions = load_calendar(exchange).sessions(today - timedelta(days=700), today - timedelta(days=1))
Path("/csv/bars").mkdir(exist_ok=True)
for number, symbol in enumerate(symbols, 1):
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume"]
    for at, session in enumerate(sessions):
        price = 20 * number + 3 * math.sin(at / 7 + number) + at / 100
        low, close, high = (f"{price + move:.2f}" for move in (-1, 0.3, 1))
        lines.append(f"{session.day},{price:.2f},{high},{low},{close},{close},{100000 + at}")
    Path(f"/csv/bars/{symbol}.csv").write_text("\\n".join(lines) + "\\n")
"""


@dataclass(frozen=True)
class Session:
    """What became of the day: the system, and when its slots were due."""

    system: System
    day: Day
    due: datetime
    kills: dict[str, int]
    """The processes that were killed of the Jobs of some tasks."""
    fired_alone: list[str]
    """The Jobs that were there before the operator was back."""
    node_back: datetime | None
    """When the node was started that was down as the slots fell due; None where the cluster is not ours to stop."""

    def jobs(self, task: str) -> list[Object]:
        """Return the Jobs of a task."""
        return self.system.lab.items(self.system.namespace, "jobs", f"{LABEL_TASK}={task}")

    def row(self, task: str) -> dict[str, Any]:
        """Return what the scheduler has of a task's slot."""
        with self.system.gateway() as client:
            rows = client.get("/v1/jobs", params={"limit": 100}).raise_for_status().json()["jobs"]
        return next((row for row in rows if row["id"] == self.day.slot(task)), {})

    def done(self, task: str) -> bool:
        """Whether the scheduler has a task's slot as completed."""
        return self.row(task).get("status") == "completed"

    def decisions(self, task: str) -> list[dict[str, Any]]:
        """Return the decisions that a task's slot has led to."""
        with self.system.gateway() as client:
            rows = client.get("/v1/decisions", params={"limit": 100}).raise_for_status().json()["decisions"]
        return [row for row in rows if row["prediction_id"].startswith(f"{self.day.slot(task)}-")]

    def reported(self, task: str) -> dict[str, Any]:
        """Return what the status tells of a task."""
        rows = self.system.resource()["status"].get("tasks", [])
        return next((row for row in rows if row["name"] == task), {})


def write_bars(lab: Lab, namespace: str, day: Day) -> None:
    """Make a volume with made-up bars up to the last session before the day."""
    fill_volume(lab, namespace, WRITE_BARS, day.exchange, str(day.date), *SYMBOLS)


def open_now(system: System, day: Day) -> datetime:
    """Declare that the exchange opened just now, and tasks that fall due within a minute to come; return its begin."""
    now = datetime.now(UTC)
    opened = now.replace(second=0, microsecond=0) - timedelta(minutes=1)
    due = (now + PREPARE).replace(second=0, microsecond=0) + timedelta(minutes=1)
    seconds = int((due - opened).total_seconds())
    hours = {"open": day.clock(opened), "close": day.clock(due + timedelta(hours=3))}
    override = {"date": str(day.date), **hours, "reason": "a session of this test's own"}

    def task(name: str, useful: str, after: timedelta = timedelta(0)) -> dict[str, str]:
        offset = f"{seconds + int(after.total_seconds())}s"
        return {"name": name, "anchor": "open", "offset": offset, "usefulUntil": useful}

    tasks = [task(ONCE, "10m"), task(CAUGHT_UP, "10m"), task(TOO_LATE, "20s")]
    tasks += [task(name, "10m", after) for name, after in AFTER.items()]
    system.patch({"market": {"overrides": [override]}, "tasks": tasks})
    return due


def running_client(system: System, task: str) -> Object | None:
    """Return the pod of a task's Job, once its container runs."""
    for pod in system.lab.items(system.namespace, "pods", f"{LABEL_TASK}={task}"):
        states = [each["state"] for each in pod["status"].get("containerStatuses", ())]
        if any("running" in state for state in states):
            return pod
    return None


def await_client(system: System, task: str) -> Object:
    """Return the pod of a task's Job when its container runs."""
    return eventually(f"the Job of {task} waits", waits.SLOT_DONE, lambda: running_client(system, task))


def without_node_over(lab: Lab, due: datetime) -> datetime | None:
    """Have no node when the slots fall due; return when it is started again, None where it is not ours to stop."""
    if not isinstance(lab.env, Embedded):
        return None
    with lab.without_node():
        assert datetime.now(UTC) < due, "this machine was too slow: the slots fell due before the node was stopped"
        return eventually(
            "the slots are due", waits.SLOT_DONE, lambda: now if (now := datetime.now(UTC)) > due else None
        )


def kill_around(system: System, day: Day, due: datetime, by: Killer) -> dict[str, int]:
    """Kill a Job that waits, a Job at its work, and the whole system at its work; return how many processes ended."""
    clients = {task: await_client(system, task)["metadata"] for task in (KILLED, CUT_SHORT, FELLED)}
    waiting = clients[KILLED]["uid"]
    kills = {KILLED: eventually("the Job is killed", waits.POD_BACK, lambda: by.kill(waiting, "execute-slot"))}
    # Aimed before: what is held waits for 5 s only.
    aimed = by.aimed(clients[CUT_SHORT]["uid"], "execute-slot")
    with aimed as kill, held(system, day.slot(CUT_SHORT), due + AFTER[CUT_SHORT]):
        kills[CUT_SHORT] = kill()
        system.kill(clients[CUT_SHORT]["name"])
    of_all = system.pods()[f"{NAME}-0"]
    with by.aimed(of_all, "serve") as kill, held(system, day.slot(FELLED), due + AFTER[FELLED]):
        # Deleting alone would let it drain, and so end its work.
        kills[FELLED] = kill()
        system.kill(f"{NAME}-0")
    eventually("another pod is there", waits.POD_BACK, lambda: system.pods().get(f"{NAME}-0", of_all) != of_all)
    return kills


@pytest.fixture(scope="module")
def session(lab: Lab) -> Iterator[Session]:
    """Let the day begin, take operator, two schedules and the node away before the slots fall due, then kill."""
    day = Day.today(EXCHANGES, HOURS)
    with lab.namespace("e2e-live") as namespace, killer(lab) as by:
        write_bars(lab, namespace, day)
        data = {"provider": "csv", "csv": {"directory": "bars", "volumeClaim": "bars"}}
        lab.apply(live_system(NAME, namespace, market={"calendar": day.exchange}, symbols=SYMBOLS, data=data))
        system = System(lab, namespace, NAME)
        system.wait_ready(waits.SYSTEM_READY)
        due = open_now(system, day)
        eventually("every task has its schedule", waits.CHILD_PUT_RIGHT, lambda: schedules(system, day).keys() == TASKS)
        system.wait_ready(waits.LIVE_FIELD_ACKNOWLEDGED)
        with lab.without_operator():
            lost = [schedules(system, day)[task] for task in (CAUGHT_UP, TOO_LATE)]
            lab.kubectl("-n", namespace, "delete", "cronjob", *lost)
            assert datetime.now(UTC) < due, "this machine was too slow: the slots fell due before all was prepared"
            node_back = without_node_over(lab, due)
            so_far = Session(system, day, due, {}, [], node_back)
            eventually("the system answers", waits.POD_BACK, lambda: so_far.done(ONCE))
            kills = kill_around(system, day, due, by)
            eventually(f"{FELLED} is done", waits.POD_BACK, lambda: so_far.done(FELLED))
            alone = names(lab.items(namespace, "jobs"))
        yield Session(system, day, due, kills, alone, node_back)


def succeeded(session: Session, task: str) -> bool:
    return [job["status"].get("succeeded") for job in session.jobs(task)] == [1]


def test_a_slot_runs_exactly_once_by_its_schedule_though_no_operator_is_there(session: Session) -> None:
    (job,) = session.jobs(ONCE)
    assert f"Job/{job['metadata']['name']}" in session.fired_alone
    assert [owner["kind"] for owner in job["metadata"]["ownerReferences"]] == ["CronJob"]
    row = session.row(ONCE)
    # While the services of a node that is just back begin, the scheduler may have to try more than once.
    assert row["status"] == "completed"
    assert parse_instant(row["schedule_time"]) == session.due
    with session.system.gateway() as client:
        decisions = client.get("/v1/decisions", params={"limit": 100}).raise_for_status().json()["decisions"]
    assert sorted(each["symbol"] for each in decisions if each["may_trade"]) == SYMBOLS


def test_a_slot_that_fell_due_while_the_node_was_unreachable_is_caught_up_once_when_it_is_back(
    session: Session,
) -> None:
    if session.node_back is None:
        pytest.skip("this cluster is not ours to stop")
    (job,) = session.jobs(ONCE)
    assert parse_instant(job["metadata"]["creationTimestamp"]) >= session.node_back.replace(microsecond=0)
    assert succeeded(session, ONCE)
    assert sorted(each["symbol"] for each in session.decisions(ONCE)) == SYMBOLS


def test_a_job_killed_while_it_waits_begins_again_and_its_slot_runs_once(session: Session) -> None:
    assert session.kills[KILLED] == 1
    eventually("the killed Job has succeeded", waits.SLOT_DONE, lambda: succeeded(session, KILLED))
    row = session.row(KILLED)
    assert (row["status"], row["params"]["attempts"]) == ("completed", 1)
    assert parse_instant(row["schedule_time"]) == session.due + AFTER[KILLED]


def test_a_job_killed_at_its_work_is_replaced_and_its_slot_runs_once(session: Session) -> None:
    assert session.kills[CUT_SHORT] == 1
    eventually("another pod has ended the Job", waits.SLOT_DONE, lambda: succeeded(session, CUT_SHORT))
    row = session.row(CUT_SHORT)
    assert (row["status"], row["params"]["attempts"]) == ("completed", 1)
    assert sorted(each["symbol"] for each in session.decisions(CUT_SHORT)) == SYMBOLS


def test_a_slot_under_whose_work_the_system_is_killed_is_ended_by_the_same_job_with_one_effect(
    session: Session,
) -> None:
    assert session.kills[FELLED] == 1
    eventually("the Job has succeeded", waits.SLOT_DONE, lambda: succeeded(session, FELLED))
    (job,) = session.jobs(FELLED)
    assert f"Job/{job['metadata']['name']}" in session.fired_alone
    row = session.row(FELLED)
    assert row["status"] == "completed"
    # More than two where the services that come back are slower than the scheduler.
    assert row["params"]["attempts"] >= 2
    assert parse_instant(row["schedule_time"]) == session.due + AFTER[FELLED]
    assert sorted(each["symbol"] for each in session.decisions(FELLED)) == SYMBOLS


def test_a_slot_whose_schedule_was_lost_is_caught_up_by_a_job_of_its_name_while_it_is_useful(session: Session) -> None:
    eventually("the slot's own Job has succeeded", waits.SLOT_DONE, lambda: succeeded(session, CAUGHT_UP))
    (job,) = session.jobs(CAUGHT_UP)
    assert job["metadata"]["labels"][LABEL_SLOT] == session.day.slot(CAUGHT_UP)
    assert job["metadata"]["name"] == f"{NAME}-{session.day.slot(CAUGHT_UP).replace('_', '-')}"
    row = session.row(CAUGHT_UP)
    assert (row["status"], row["params"]["attempts"]) == ("completed", 1)


def test_a_slot_past_its_use_is_reported_missed_and_started_by_nobody(session: Session) -> None:
    def missed() -> bool:
        return bool(session.reported(TOO_LATE).get("missed"))

    eventually("the status tells that it was missed", waits.SLOT_DONE, missed)
    assert parse_instant(session.reported(TOO_LATE)["missed"]) == session.due
    assert session.row(TOO_LATE)["status"] == "missed"
    assert session.jobs(TOO_LATE) == []


def test_the_status_tells_of_the_session_and_of_what_was_done_and_comes_next(session: Session) -> None:
    def done() -> bool:
        return all(session.reported(task).get("last") for task in TASKS - {TOO_LATE})

    eventually("the status tells what was done", waits.SLOT_DONE, done)
    status = session.system.resource()["status"]
    assert (status["session"]["state"], status["session"]["irregular"]) == ("Open", True)
    assert status["session"]["date"] == str(session.day.date)
    assert parse_instant(session.reported(ONCE)["last"]) == session.due
    assert session.reported(ONCE).get("missed") is None
    for task in TASKS:
        assert parse_instant(session.reported(task)["next"]) > datetime.now(UTC) + timedelta(minutes=5)
    (budget,) = session.system.lab.items(session.system.namespace, "poddisruptionbudgets")
    assert budget["spec"]["maxUnavailable"] == 0


def add_one_ahead(session: Session) -> datetime:
    """Declare one task more that falls due at the next minute there is room before; return when that is."""
    system = session.system
    spec = system.resource()["spec"]
    opened = parse_instant(system.resource()["status"]["session"]["opens"])
    due = (datetime.now(UTC) + ROOM).replace(second=0, microsecond=0) + timedelta(minutes=1)
    offset = f"{int((due - opened).total_seconds())}s"
    task = {"name": CALLED_OFF, "anchor": "open", "offset": offset, "usefulUntil": "10m"}
    system.patch({"tasks": [*spec["tasks"], task]})
    return due


def watch_minute(lab: Lab, namespace: str, schedule: Object) -> None:
    """Apply a CronJob that is nobody's: it is to fire when this one does, and its Jobs do the same."""
    template = {"spec": schedule["spec"]["jobTemplate"]["spec"]}
    spec = {**schedule["spec"], "jobTemplate": template}
    metadata = {"name": WITNESS, "namespace": namespace}
    lab.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})


def ended(job: Object) -> bool:
    """Whether a Job has succeeded."""
    return bool(job["status"].get("succeeded") == 1)


def test_an_override_that_closes_the_day_takes_its_schedules_away_and_nothing_more_starts(session: Session) -> None:
    system, day = session.system, session.day
    lab, namespace = system.lab, system.namespace
    pod = system.pods()[f"{NAME}-0"]
    due = add_one_ahead(session)
    every = TASKS | {CALLED_OFF}
    eventually("every task has its schedule", waits.CHILD_PUT_RIGHT, lambda: schedules(system, day).keys() == every)
    system.wait_ready(waits.LIVE_FIELD_ACKNOWLEDGED)
    assert session.row(CALLED_OFF)["status"] == "pending"
    before = schedules(system, day)
    watch_minute(lab, namespace, lab.get(namespace, "cronjob", before[CALLED_OFF]))
    ran = names(lab.items(namespace, "jobs"))
    closed = [{"date": str(day.date), "closed": True}]
    system.patch({"market": {"overrides": closed}})
    eventually(
        "nothing is to fire today", waits.CHILD_PUT_RIGHT, lambda: not set(before.values()) & schedule_names(system)
    )
    system.wait_ready(waits.LIVE_FIELD_ACKNOWLEDGED)
    assert datetime.now(UTC) < due, "this machine was too slow: the slot fell due before its day was closed"
    status = system.resource()["status"]
    assert status["session"]["state"] == "Closed"
    assert status["session"]["date"] > str(day.date)
    (budget,) = lab.items(namespace, "poddisruptionbudgets")
    assert budget["spec"]["maxUnavailable"] == 1
    # A Job that nobody took away shows that the minute has come, and asks the scheduler for what was due in it.
    job = f"{WITNESS}-{epoch_minutes(due)}"
    eventually("the slot's minute has come", waits.SLOT_DONE, lambda: ended(lab.get(namespace, "job", job)))
    assert "is not a slot, so there is nothing to do" in lab.kubectl("-n", namespace, "logs", f"job/{job}")
    assert datetime.now(UTC) > due
    assert parse_instant(session.reported(CALLED_OFF)["next"]).astimezone(day.zone).date() > day.date
    assert session.row(CALLED_OFF) == {}
    assert session.decisions(CALLED_OFF) == []
    assert set(names(lab.items(namespace, "jobs"))) - {f"Job/{job}"} <= set(ran), "something was started"
    assert system.pods()[f"{NAME}-0"] == pod, "the system was restarted"
