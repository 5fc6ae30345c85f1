"""A session that an override opens now: schedules, Jobs killed, an operator away, slots caught up and slots missed.

The bars are made up, and the shares are named so. Everything falls due in one minute, which all tests here wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bellwether.market.sessions import load_calendar
from bellwether.render.kubernetes.names import LABEL_SLOT, LABEL_TASK
from bellwether.spec.fields import parse_instant
from e2e import waits
from e2e.killer import killer
from e2e.lab import Lab, Object, System, eventually, names

NAME = "live"
SYMBOLS = ["MADEUP1", "MADEUP2"]
EXCHANGES = ("XASX", "XNYS", "XHKG", "XLON", "XTKS")
PREPARE = timedelta(seconds=50)
"""So long before the slots fall due the day is declared, so that everything is in its place by then."""
ONCE, KILLED, CAUGHT_UP, TOO_LATE = "prediction_generation", "look_around", "evening_analysis", "look_too_late"
KILLED_AFTER = timedelta(seconds=40)
"""The second of the minute at which the slot is due whose Job is killed: the Job begins with the minute and waits."""
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
class Day:
    """The day at the exchange that is made a session."""

    exchange: str
    zone: ZoneInfo
    date: date

    @classmethod
    def with_room(cls) -> Day:
        """Return today at an exchange where it is neither early nor late."""
        for exchange in EXCHANGES:
            zone = load_calendar(exchange).timezone
            now = datetime.now(zone)
            if 4 <= now.hour < 20:  # nor an hour in which clocks are changed
                return cls(exchange, zone, now.date())
        raise AssertionError(f"at none of {', '.join(EXCHANGES)} it is day")

    def clock(self, at: datetime) -> str:
        """Return an instant as hours and minutes at the exchange."""
        return at.astimezone(self.zone).strftime("%H:%M")

    def slot(self, task: str) -> str:
        """Return the name of a task's slot on this day."""
        return f"{task}-{self.date:%Y%m%d}"


@dataclass(frozen=True)
class Session:
    """What became of the day: the system, and when its slots were due."""

    system: System
    day: Day
    due: datetime
    kills: int
    fired_alone: list[str]
    """The Jobs that were there before the operator was back."""

    def jobs(self, task: str) -> list[Object]:
        """Return the Jobs of a task."""
        return self.system.lab.items(self.system.namespace, "jobs", f"{LABEL_TASK}={task}")

    def row(self, task: str) -> dict[str, Any]:
        """Return what the scheduler has of a task's slot."""
        with self.system.gateway() as client:
            rows = client.get("/v1/jobs", params={"limit": 100}).raise_for_status().json()["jobs"]
        return next((row for row in rows if row["id"] == self.day.slot(task)), {})

    def told(self, task: str) -> dict[str, Any]:
        """Return what the status tells of a task."""
        rows = self.system.resource()["status"].get("tasks", [])
        return next((row for row in rows if row["name"] == task), {})


def write_bars(lab: Lab, namespace: str, day: Day) -> None:
    """Make a volume with made-up bars up to the last session before the day."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    container = {
        "name": "bars",
        "image": lab.images.services,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", WRITE_BARS, day.exchange, str(day.date), *SYMBOLS],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "csv", "mountPath": "/csv"}],
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {
            "fsGroup": 65532,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "csv", "persistentVolumeClaim": {"claimName": "bars"}}],
    }
    lab.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "bars", "namespace": namespace},
            "spec": claim,
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bars", "namespace": namespace}, "spec": pod},
    )
    done = "--for=jsonpath={.status.phase}=Succeeded"
    lab.kubectl("-n", namespace, "wait", "pod/bars", done, f"--timeout={waits.POD_BACK:.0f}s")
    lab.kubectl("-n", namespace, "delete", "pod", "bars")


def declaration(namespace: str, day: Day) -> Object:
    return {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingSystem",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "market": {"calendar": day.exchange},
            "symbols": SYMBOLS,
            "data": {"provider": "csv", "csv": {"directory": "bars", "volumeClaim": "bars"}},
            "clock": {"mode": "live"},
            "trading": {"mode": "simulated", "currency": "USD"},
            "tasks": [],
            "storage": {"size": "256Mi"},
            "deletionPolicy": "Delete",
        },
    }


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

    tasks = [task(ONCE, "10m"), task(KILLED, "10m", KILLED_AFTER), task(CAUGHT_UP, "10m"), task(TOO_LATE, "20s")]
    system.patch({"market": {"overrides": [override]}, "tasks": tasks})
    return due


def fires_on(schedule: Object, day: Day) -> bool:
    """Whether a CronJob fires on this day, by its schedule."""
    _, _, days, month, _ = schedule["spec"]["schedule"].split()
    return int(month) == day.date.month and str(day.date.day) in days.split(",")


def schedules(system: System, day: Day) -> dict[str, str]:
    """Return the name of the CronJob of each task that fires on this day."""
    found = [each for each in system.lab.items(system.namespace, "cronjobs") if fires_on(each, day)]
    return {each["metadata"]["labels"][LABEL_TASK]: each["metadata"]["name"] for each in found}


def running_client(system: System, task: str) -> str | None:
    """Return the uid of the pod of a task's Job, once its container runs."""
    for pod in system.lab.items(system.namespace, "pods", f"{LABEL_TASK}={task}"):
        states = [each["state"] for each in pod["status"].get("containerStatuses", ())]
        if any("running" in state for state in states):
            return str(pod["metadata"]["uid"])
    return None


@pytest.fixture(scope="module")
def session(lab: Lab) -> Iterator[Session]:
    """Let the day begin, take the operator and two schedules away before the slots fall due, kill one of the Jobs."""
    day = Day.with_room()
    with lab.namespace("e2e-live") as namespace, killer(lab) as by:
        write_bars(lab, namespace, day)
        lab.apply(declaration(namespace, day))
        system = System(lab, namespace, NAME)
        system.wait_ready(waits.SYSTEM_READY)
        due = open_now(system, day)
        tasks = {ONCE, KILLED, CAUGHT_UP, TOO_LATE}
        eventually("every task has its schedule", waits.CHILD_PUT_RIGHT, lambda: schedules(system, day).keys() == tasks)
        system.wait_ready(waits.LIVE_FIELD_ACKNOWLEDGED)
        with lab.operator_away():
            lost = [schedules(system, day)[task] for task in (CAUGHT_UP, TOO_LATE)]
            lab.kubectl("-n", namespace, "delete", "cronjob", *lost)
            assert datetime.now(UTC) < due, "this machine was too slow: the slots fell due before all was prepared"
            uid = eventually("the Job that waits", waits.SLOT_DONE, lambda: running_client(system, KILLED))
            kills = by.kill(uid, "execute-slot")
            so_far = Session(system, day, due, kills, [])
            eventually(f"{ONCE} is done", waits.SLOT_DONE, lambda: so_far.row(ONCE).get("status") == "completed")
            alone = names(lab.items(namespace, "jobs"))
        yield Session(system, day, due, kills, alone)


def succeeded(session: Session, task: str) -> bool:
    return [job["status"].get("succeeded") for job in session.jobs(task)] == [1]


def test_a_slot_runs_exactly_once_by_its_schedule_though_no_operator_is_there(session: Session) -> None:
    (job,) = session.jobs(ONCE)
    assert f"Job/{job['metadata']['name']}" in session.fired_alone
    assert [owner["kind"] for owner in job["metadata"]["ownerReferences"]] == ["CronJob"]
    row = session.row(ONCE)
    assert (row["status"], row["params"]["attempts"]) == ("completed", 1)
    assert parse_instant(row["schedule_time"]) == session.due
    with session.system.gateway() as client:
        decisions = client.get("/v1/decisions", params={"limit": 100}).raise_for_status().json()["decisions"]
    assert sorted(each["symbol"] for each in decisions if each["may_trade"]) == SYMBOLS


def test_a_job_killed_while_it_waits_begins_again_and_its_slot_runs_once(session: Session) -> None:
    assert session.kills == 1
    eventually("the killed Job has succeeded", waits.SLOT_DONE, lambda: succeeded(session, KILLED))
    row = session.row(KILLED)
    assert (row["status"], row["params"]["attempts"]) == ("completed", 1)
    assert parse_instant(row["schedule_time"]) == session.due + KILLED_AFTER


def test_a_slot_whose_schedule_was_lost_is_caught_up_by_a_job_of_its_name_while_it_is_useful(session: Session) -> None:
    eventually("the slot's own Job has succeeded", waits.SLOT_DONE, lambda: succeeded(session, CAUGHT_UP))
    (job,) = session.jobs(CAUGHT_UP)
    assert job["metadata"]["labels"][LABEL_SLOT] == session.day.slot(CAUGHT_UP)
    assert job["metadata"]["name"] == f"{NAME}-{session.day.slot(CAUGHT_UP).replace('_', '-')}"
    row = session.row(CAUGHT_UP)
    assert (row["status"], row["params"]["attempts"]) == ("completed", 1)


def test_a_slot_past_its_use_is_reported_missed_and_started_by_nobody(session: Session) -> None:
    def missed() -> bool:
        return bool(session.told(TOO_LATE).get("missed"))

    eventually("the status tells that it was missed", waits.SLOT_DONE, missed)
    assert parse_instant(session.told(TOO_LATE)["missed"]) == session.due
    assert session.row(TOO_LATE)["status"] == "missed"
    assert session.jobs(TOO_LATE) == []


def test_the_status_tells_of_the_session_and_of_what_was_done_and_comes_next(session: Session) -> None:
    def done() -> bool:
        return all(session.told(task).get("last") for task in (ONCE, KILLED, CAUGHT_UP))

    eventually("the status tells what was done", waits.SLOT_DONE, done)
    status = session.system.resource()["status"]
    assert (status["session"]["state"], status["session"]["irregular"]) == ("Open", True)
    assert status["session"]["date"] == str(session.day.date)
    assert parse_instant(session.told(ONCE)["last"]) == session.due
    assert session.told(ONCE).get("missed") is None
    for task in (ONCE, KILLED, CAUGHT_UP, TOO_LATE):
        assert parse_instant(session.told(task)["next"]) > datetime.now(UTC) + timedelta(minutes=5)
    (budget,) = session.system.lab.items(session.system.namespace, "poddisruptionbudgets")
    assert budget["spec"]["maxUnavailable"] == 0


def test_an_override_that_closes_the_day_takes_its_schedules_away(session: Session) -> None:
    system, day = session.system, session.day
    pod = system.pods()[f"{NAME}-0"]
    before = schedules(system, day)
    assert before.keys() == {ONCE, KILLED, CAUGHT_UP, TOO_LATE}
    ran = names(system.lab.items(system.namespace, "jobs"))
    closed = [{"date": str(day.date), "closed": True}]
    system.patch({"market": {"overrides": closed}})
    eventually("nothing is to fire today", waits.CHILD_PUT_RIGHT, lambda: not schedules(system, day))
    gone = {each["metadata"]["name"] for each in system.lab.items(system.namespace, "cronjobs")} & set(before.values())
    assert gone == set()
    system.wait_ready(waits.LIVE_FIELD_ACKNOWLEDGED)
    status = system.resource()["status"]
    assert status["session"]["state"] == "Closed"
    assert status["session"]["date"] > str(day.date)
    (budget,) = system.lab.items(system.namespace, "poddisruptionbudgets")
    assert budget["spec"]["maxUnavailable"] == 1
    assert set(names(system.lab.items(system.namespace, "jobs"))) <= set(ran), "something was started"
    assert system.pods()[f"{NAME}-0"] == pod, "the system was restarted"
