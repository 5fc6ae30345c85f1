"""What the scheduler answers and publishes, and the reports of replays that it keeps."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

import msgspec


class ExecuteJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask that a job runs: the name of a slot (`prediction_generation-20090105`) or the id of a scheduled job.

    A slot runs once, whoever asks for it. The id of a scheduled job means its slot while one is due and of use, and
    else a run now, at most one a minute. With a `request_id` (up to 40 of a-z, 0-9, - and _) it is a run now in any
    case, one for each such id: asked again, the stored answer is given.
    """

    job_id: str
    request_id: str = ""


class ExecuteSlot(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask that a slot of a declared task runs; nothing else is taken. This is all that a slot's Job may ask for.

    With an empty `slot`, `task` and `minute` (aware) name the slot of this task that is due within this minute:
    whoever a schedule starts knows when, and not at which session.
    """

    slot: str = ""
    task: str | None = None
    minute: datetime | None = None


class ScheduleJob(msgspec.Struct, frozen=True):
    """Ask for a job at its market-aware time; an unknown type without a time runs at 09:00 exchange time."""

    job_id: str
    job_type: str
    params: dict[str, Any] = {}


class Job(msgspec.Struct, frozen=True):
    """A slot or a scheduled job."""

    id: str
    type: str
    schedule_time: str
    params: dict[str, Any]
    status: Literal["pending", "running", "completed", "failed", "missed", "stopped"]
    next_run: datetime | None = None
    last_run: datetime | None = None
    last_result: dict[str, Any] | None = None
    last_error: str | None = None


class StoppedJobs(msgspec.Struct, frozen=True):
    """How many were stopped."""

    stopped: int


class ListJobs(msgspec.Struct, frozen=True):
    """Ask for jobs, newest first."""

    limit: int = 50


class Jobs(msgspec.Struct, frozen=True):
    """Jobs, newest first."""

    jobs: list[Job]


class SlotJob(msgspec.Struct, frozen=True):
    """What became of one slot; `due` is UTC. One that is not listed was not started, and can still be of use."""

    name: str
    task: str
    session: date
    due: datetime
    status: Literal["running", "completed", "failed", "missed"]


class FailingSession(msgspec.Struct, frozen=True):
    """A session's open or close that fails and is tried again; until it is done no later session is opened or closed.

    A close that only waits for its bars does not fail.
    """

    step: Literal["open", "close"]
    session: date
    code: str
    """Of the newest try's error."""
    message: str
    """Of a try that failed with this code, not always the newest."""
    since: datetime
    """When it failed first since the scheduler started, UTC."""
    tries: int
    lasting: bool
    """Whether it has failed for longer and more often than while a service restarts."""


class SlotJobs(msgspec.Struct, frozen=True):
    """Slots, newest first, and since when there are any."""

    since: datetime | None
    """First start of the live system, UTC: no slot due before it was ever to run. None before it, and in a replay."""
    jobs: list[SlotJob]
    since_by_task: dict[str, datetime] = {}
    """Since when (UTC) each declared task has had its present time: no slot of it due before was to run. A task that
    the live scheduler has not looked at yet is left out; empty in a replay."""
    since_by_session: dict[date, datetime] = {}
    """Since when (UTC) sessions have had the hours that an override gave them or took back: no slot of them whose use
    was over before was to run. All others have had theirs all along."""
    failing: FailingSession | None = None
    """What holds back the sessions, None while nothing does; none in a replay."""


class ReplayState(msgspec.Struct, frozen=True):
    """A replay's cursor; `state` is `off` with a live clock, `waiting` until bars and model are there."""

    state: Literal["off", "waiting", "running", "complete", "failed"]
    run: str
    step: int
    session: date | None
    as_of: datetime | None
    first_session: date | None
    last_session: date | None
    sessions_done: int
    sessions_total: int
    error: str | None = None
    predictions_failed: int = 0
    """Predictions of single symbols that failed in slots whose others went on, since the scheduler started."""
    slots_failed: int = 0
    """Slots that had no effect, though the replay went on."""
    first_failed: str = ""
    """The first of them, and why."""


class ReplayCompleted(msgspec.Struct, frozen=True):
    """A replay reached its last session."""

    run: str
    sessions: int


ReportFile = Literal["index.html", "report.json"]
REPORT_FILES: tuple[ReportFile, ...] = ("index.html", "report.json")
"""The page and the figures of a replay's report, each packed by gzip."""


class PutReplayReport(msgspec.Struct, frozen=True):
    """A part of one file of a report; `sha256` and `total` are of the whole file as it is sent."""

    replay: str
    """The TradingReplay's name."""
    uid: str
    index: int
    """Of the variant; 0 is the declaration as it is."""
    file: ReportFile
    sha256: str
    offset: int
    total: int
    content: bytes


class GetReplayReport(msgspec.Struct, frozen=True):
    """Ask for a part of a file of the newest replay of a name."""

    replay: str
    index: int
    file: ReportFile
    offset: int = 0


class ReplayReportLine(msgspec.Struct, frozen=True):
    """A replay and the variants whose page is there."""

    replay: str
    uid: str
    variants: list[int]


class ReplayReports(msgspec.Struct, frozen=True):
    """Replays with a report, by name."""

    replays: list[ReplayReportLine]


class RetainReplayReports(msgspec.Struct, frozen=True):
    """Forget the reports of all replays but these, by uid."""

    uids: list[str]
