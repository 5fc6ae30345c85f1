"""Which backup is due, which has outlived its use, and when one is overdue."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bellwether.spec.models import TradingSystemSpec
from bellwether_operator.backups.plan import (
    Known,
    ScheduleRow,
    full_or_incremental,
    made,
    planned,
    schedule_row_of,
    schedule_row_status,
    to_remove,
)
from bellwether_operator.backups.steps import State
from harness.statuses import declared

SNAPSHOTS = {"name": "snap", "kind": "volumeSnapshots"}
BUCKET = {"name": "far", "kind": "s3", "url": "https://s3.example/some", "secretRef": {"name": "s"}}
CLOSE = datetime(2026, 11, 27, 18, tzinfo=UTC)
"""New York closes at one o'clock on the day after Thanksgiving."""
DUE = CLOSE + timedelta(minutes=30)
MONDAY = datetime(2026, 11, 30, 21, 30, tzinfo=UTC)
SINCE = ScheduleRow(datetime(2026, 11, 20, tzinfo=UTC))
AFTER_FRIDAY = SINCE._replace(made=date(2026, 11, 27))


def spec(**backup: Any) -> TradingSystemSpec:
    market = {"calendar": "XNYS"}
    trading = {"mode": "simulated", "currency": "USD"}
    kept = {"locations": [SNAPSHOTS], "schedule": {}, **backup}
    return declared(symbols=["AAPL"], market=market, trading=trading, backup=kept).spec


def known(name: str, at: datetime, state: State = "complete", *, own: bool = True, cut: bool = True) -> Known:
    return Known(name, f"uid of {name}", own, state, at, at if cut else None)


def test_it_is_due_half_an_hour_after_an_early_close_and_on_no_holiday() -> None:
    before = planned(spec(), SINCE._replace(made=date(2026, 11, 25)), [], DUE - timedelta(seconds=1))
    assert before.make is None
    assert before.due == DUE
    found = planned(spec(), SINCE, [], DUE)
    assert found.make is not None
    assert (found.make.name, found.locations) == ("create_backup-20261127", ("snap",))
    assert found.row is not None
    assert made(found.row, found.make).made == date(2026, 11, 27)
    assert found.row.next == MONDAY


@pytest.mark.parametrize(
    ("row", "there", "now"),
    [
        (AFTER_FRIDAY, [], DUE),  # it was made, and somebody deleted it
        (ScheduleRow(DUE + timedelta(seconds=1)), [], DUE + timedelta(minutes=1)),  # declared only later
        (SINCE, [], DUE + timedelta(hours=12, seconds=1)),  # useful no more
        (SINCE, [known("earlier", DUE, "running", cut=False)], DUE),  # one still waits for its turn
    ],
)
def test_it_is_not_made_twice_nor_too_late_nor_beside_one_that_waits(
    row: ScheduleRow, there: list[Known], now: datetime
) -> None:
    assert planned(spec(), row, there, now).make is None


def test_of_several_that_were_missed_the_newest_is_made() -> None:
    found = planned(spec(schedule={"usefulUntil": "120h"}), SINCE, [], MONDAY)
    assert found.make is not None
    assert found.make.session == date(2026, 11, 30)


def test_nothing_is_made_in_a_replay_nor_in_a_folder_that_no_pod_reaches() -> None:
    folder = {"name": "disk", "kind": "folder", "path": "/srv", "secretRef": {"name": "s"}}
    assert planned(spec(locations=[folder]), SINCE, [], DUE).make is None
    replay = spec().model_copy(
        update={
            "clock": declared(clock={"mode": "replay", "from": "2009-01-02"}, data={"provider": "replay"}).spec.clock
        }
    )
    assert planned(replay, SINCE, [], DUE).make is None


def test_it_is_overdue_once_it_is_useful_no_more_and_no_good_one_is_as_new() -> None:
    late = DUE + timedelta(hours=12)
    thursday = known("demo-20261125", DUE - timedelta(days=2))
    found = planned(spec(), AFTER_FRIDAY, [thursday, known("demo-20261127", DUE, "failed")], late)
    assert found.overdue is not None
    assert "session 2026-11-27" in found.overdue
    assert "demo-20261125 of 2026-11-25 18:30 UTC" in found.overdue
    by_hand = known("friday", DUE + timedelta(hours=1), own=False)
    assert planned(spec(), AFTER_FRIDAY, [thursday, by_hand], late).overdue is None


def test_retention_removes_one_at_a_time_the_oldest_first_and_never_the_last_good_one() -> None:
    def day(number: int) -> datetime:
        return datetime(2026, 11, number, tzinfo=UTC)

    now, long = day(28), timedelta(days=90)
    good = [known(f"b{number}", day(number)) for number in (2, 3, 4)]
    assert to_remove(good, now, count=2, age=long) == "b2"
    assert to_remove([*good, known("gone", day(1), "pruning")], now, count=2, age=long) is None
    assert to_remove(good, now, count=5, age=timedelta(days=20)) == "b2"
    last = [known("b4", day(4)), known("b9", day(9), "failed")]
    assert to_remove(last, now, count=1, age=timedelta(days=1)) is None
    assert to_remove([*good, known("b1", day(1), own=False)], now, count=3, age=long) is None
    failed = [known(f"f{number}", day(number), "failed", cut=False) for number in (5, 6, 7)]
    assert to_remove(failed, now, count=2, age=long) == "f5"
    assert to_remove([known("f1", day(1), "failed"), *good], now, count=5, age=long) == "f1"


def test_each_place_has_one_of_each_session_or_is_overdue() -> None:
    both = spec(locations=[BUCKET, SNAPSHOTS])
    assert planned(both, SINCE, [], DUE).locations == ("snap", "far")
    late, snapshot = DUE + timedelta(hours=12), known("demo-20261127", DUE)
    words = planned(both, AFTER_FRIDAY, [snapshot], late).overdue
    assert words is not None
    assert words.startswith("the backup of session 2026-11-27 in far was due")
    stored = snapshot._replace(name="demo-20261127-far", place="far")
    assert planned(both, AFTER_FRIDAY, [snapshot, stored], late).overdue is None


def test_every_seventh_of_a_repository_is_a_full_one() -> None:
    backup = spec(locations=[BUCKET]).backup
    assert backup is not None
    found: list[Known] = []
    kinds = []
    for number in range(1, 16):
        kinds.append(full_or_incremental(backup, "far", found))
        at = datetime(2026, 11, number, tzinfo=UTC)
        found.append(known(f"b{number}", at)._replace(place="far", kind=kinds[-1]))
        found.append(known(f"f{number}", at, "failed")._replace(place="far"))
    assert [number for number, kind in enumerate(kinds) if kind == "full"] == [0, 7, 14]
    assert full_or_incremental(backup, "", found) == "full"


def test_what_a_repository_holds_is_removed_by_its_own_retention_and_failures_by_ours() -> None:
    day = datetime(2026, 11, 2, tzinfo=UTC)
    stored = [known(f"b{number}", day + timedelta(days=number))._replace(place="far") for number in range(3)]
    assert to_remove(stored, day + timedelta(days=9), count=1, age=timedelta(days=1)) is None
    failed = known("f", day, "failed", cut=False)._replace(place="far")
    assert to_remove([failed, *stored], day + timedelta(days=9), count=1, age=timedelta(days=90)) == "f"


def test_the_row_is_read_back_from_the_status_as_it_was_written() -> None:
    row = AFTER_FRIDAY._replace(next=MONDAY)
    assert schedule_row_of({"backups": schedule_row_status(row)}) == row
    assert schedule_row_of({}) is None
