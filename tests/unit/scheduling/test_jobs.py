from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData

from bellwether.market.declared import task_rules
from bellwether.messages.scheduling import ScheduleJob
from bellwether.runtime.errors import RpcError
from bellwether.scheduling import claims, jobs, tables
from bellwether.scheduling.jobs import job_of
from bellwether.spec.tasks import SCHEDULER_NAMES, default_tasks
from bellwether.storage.store import Store

TASKS = task_rules(default_tasks())
NOW = datetime(2026, 1, 5, tzinfo=UTC)
_VERSION_1 = """
CREATE TABLE jobs (id VARCHAR NOT NULL PRIMARY KEY, type VARCHAR NOT NULL, anchor VARCHAR NOT NULL,
    seconds INTEGER NOT NULL, time VARCHAR, params TEXT NOT NULL, status VARCHAR NOT NULL, created_at VARCHAR NOT NULL);
CREATE TABLE slots (run VARCHAR NOT NULL, name VARCHAR NOT NULL, task VARCHAR NOT NULL, session VARCHAR NOT NULL,
    due VARCHAR NOT NULL, status VARCHAR NOT NULL, attempts INTEGER NOT NULL, started_at VARCHAR, ended_at VARCHAR,
    result TEXT, error TEXT, PRIMARY KEY (run, name));
INSERT INTO jobs VALUES ('mine', 'evening_analysis', 'close', 3600, NULL, '{}', 'pending', '2026-01-05T00:00:00+00:00');
"""


def scheduled(job_id: str = "mine", job_type: str = "something", **params: Any) -> Any:
    return job_of(ScheduleJob(job_id, job_type, params), TASKS, NOW)


def test_an_unknown_type_without_a_time_runs_at_nine() -> None:
    rule = scheduled().rule
    assert (rule.anchor, rule.at, rule.name) == ("time", time(9, 0), "mine")


def test_a_declared_type_has_its_declared_instant() -> None:
    rule = scheduled(job_type="evening_analysis").rule
    assert (rule.anchor, rule.offset, rule.useful_for) == ("close", timedelta(hours=1), timedelta(hours=4))


def test_params_may_give_the_instant() -> None:
    assert scheduled(anchor="open", offset="-45m").rule.offset == timedelta(minutes=-45)
    assert scheduled(job_type="evening_analysis", time="10:30").rule.at == time(10, 30)


def test_the_names_of_the_schedulers_own_rows_are_kept_out_of_tasks_and_jobs() -> None:
    assert claims.SESSION_CLOSE in SCHEDULER_NAMES


@pytest.mark.parametrize(
    ("job_id", "params", "words"),
    [
        ("Mine", {}, "job_id: 'Mine' must be"),
        ("mine-20090102", {}, "not end in eight digits"),
        ("evening_analysis", {}, "is a declared task"),
        ("mine", {"time": "25:00"}, "params: time '25:00' must be a time of day on the exchange's clock, as in 10:30"),
        ("mine", {"anchor": "noon"}, "params: anchor 'noon' must be open, close or time"),
        ("mine", {"anchor": "open", "offset": "soon"}, "params: 'soon' is not a duration"),
        (
            "mine",
            {"time": "10:30+02:00"},
            "params: time '10:30+02:00' is read on the exchange's clock: write it without",
        ),
        ("mine", {"time": "10:30Z"}, "without a zone, as in 10:30"),
        ("mine", {"anchor": "open", "offset": "99999999999999h"}, "params: offset '99999999999999h' is longer than 7"),
        ("session_open", {}, "job_id: 'session_open' is the scheduler's own: take another name"),
        ("session_close", {}, "is the scheduler's own"),
        ("first_start", {}, "is the scheduler's own"),
        ("mine", {"anchor": "open", "offset": "200h"}, "params: task mine: offset"),
    ],
)
def test_a_bad_job_is_refused_with_the_field(job_id: str, params: dict[str, Any], words: str) -> None:
    with pytest.raises(RpcError) as refused:
        scheduled(job_id, **params)
    assert refused.value.code == "INVALID_PARAMS"
    assert words in refused.value.message


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = Store.open(tmp_path / "slots.db", tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES)
    yield found
    await found.close()


@pytest.mark.parametrize(
    "job",
    [
        scheduled(job_type="evening_analysis"),
        scheduled(job_type="prediction_generation"),
        scheduled(job_type="evening_analysis", anchor="open", offset="-1m1.5s"),
        scheduled(time="10:30:15"),
        scheduled(),
    ],
    ids=["four hours of use", "before the open", "half seconds", "a time", "nine"],
)
async def test_a_job_is_read_back_as_it_was_stored(store: Store, job: jobs.ScheduledJob) -> None:
    await store.transact(lambda tx: jobs.add(tx, job))
    assert await store.transact(jobs.pending) == [job]
    # Replaced by another one, and back.
    await store.transact(lambda tx: jobs.add(tx, scheduled(time="23:00")))
    await store.transact(lambda tx: jobs.add(tx, job))
    assert await store.transact(jobs.pending) == [job]


async def test_a_job_that_an_older_release_stored_keeps_the_use_it_had(tmp_path: Path) -> None:
    path = tmp_path / "slots.db"
    older = Store.open(path, MetaData(), version=1)
    await older.transact(lambda tx: tx.driver.executescript(_VERSION_1))
    await older.close()
    newer = Store.open(path, tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES)
    try:
        (found,) = await newer.transact(jobs.pending)
        assert (found.rule.offset, found.rule.useful_for) == (timedelta(hours=1), timedelta(minutes=15))
        await newer.transact(lambda tx: jobs.add(tx, scheduled(job_type="evening_analysis")))
        (found,) = await newer.transact(jobs.pending)
        assert found.rule.useful_for == timedelta(hours=4)
    finally:
        await newer.close()
