"""The table of what was in force when, over edits, restarts, restores and earlier releases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from bellwether.market.slots import TaskRule
from bellwether.scheduling import tables
from bellwether.scheduling.declarations import KEPT, History, Timing, history, see
from bellwether.storage.store import Store, Transaction

T = TypeVar("T")
STARTED = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BEFORE = Path(__file__).parents[2] / "fixtures" / "stores" / "slots-4.sql"


def at(offset: int) -> Timing:
    return Timing("XNYS", (), (TaskRule("mine", "open", timedelta(minutes=offset)),))


async def transact(folder: Path, *works: Callable[[Transaction], T]) -> T:
    """Run each in a transaction of the scheduler's store; return the last result."""
    store = Store.open(folder / "slots.db", tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES)
    try:
        return [await store.transact(work) for work in works][-1]
    finally:
        await store.close()


def seen(generation: int, timing: Timing, now: datetime) -> Callable[[Transaction], History]:
    return lambda tx: see(tx, generation, timing, now)


def instants(found: History | None) -> list[datetime]:
    assert found is not None
    return [version.effective_from for version in found.versions]


async def test_only_what_is_said_about_time_makes_a_version(tmp_path: Path) -> None:
    assert await transact(tmp_path, history) is None
    looks = [seen(1, at(0), STARTED), seen(2, at(0), STARTED + DAY), seen(3, at(5), STARTED + 2 * DAY)]
    found = await transact(tmp_path, *looks)
    assert (found.began, instants(found)) == (STARTED, [STARTED, STARTED + 2 * DAY])
    assert await transact(tmp_path, history) == found


async def test_what_was_seen_last_is_in_force_though_a_restored_one_had_a_higher_generation(tmp_path: Path) -> None:
    found = await transact(tmp_path, seen(17, at(0), STARTED), seen(1, at(5), STARTED + DAY))
    assert found.versions[-1].timing == at(5)
    assert found.versions[-1].since_by_task == {"mine": STARTED + DAY}


async def test_a_version_that_slots_are_no_longer_judged_by_is_forgotten_but_for_the_first(tmp_path: Path) -> None:
    looks = [seen(day, at(day), STARTED + day * DAY) for day in range(3)]
    later = STARTED + 2 * DAY + KEPT
    found = await transact(tmp_path, *looks, seen(3, at(3), later - timedelta(seconds=1)))
    assert instants(found) == [STARTED, STARTED + DAY, STARTED + 2 * DAY, later - timedelta(seconds=1)]
    found = await transact(tmp_path, seen(4, at(4), later))
    assert instants(found) == [STARTED, STARTED + 2 * DAY, later - timedelta(seconds=1), later]


@pytest.mark.parametrize("changed", [None, STARTED + DAY], ids=["unchanged", "changed once"])
async def test_of_an_earlier_release_the_first_start_and_the_last_change_are_taken_over(
    tmp_path: Path, changed: datetime | None
) -> None:
    rules = {"one": STARTED, "other": changed or STARTED}
    kept = json.dumps({task: {"moment": "XNYS open 0", "since": since.isoformat()} for task, since in rules.items()})
    row = "INSERT INTO slots (run, name, task, session, due, status, attempts, result) VALUES (?, ?, ?, ?, ?, ?, 1, ?)"
    with closing(sqlite3.connect(tmp_path / "slots.db")) as database:
        database.executescript(BEFORE.read_text())
        for run, name, result in (("live", "first_start", "{}"), ("rules", "first_seen", kept), ("live", "mine", "{}")):
            values = (run, name, name, "2026-01-05", STARTED.isoformat(), "completed", result)
            database.execute(row, values)
        database.commit()
    found = await transact(tmp_path, seen(7, at(0), STARTED + 9 * DAY))
    assert (found.began, instants(found)) == (STARTED, [changed or STARTED])
    with closing(sqlite3.connect(tmp_path / "slots.db")) as database:
        assert database.execute("SELECT name FROM slots").fetchall() == [("mine",)]
