"""Which backup is due, which has outlived its use, and when one is overdue."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bellwether.spec.models import TradingSystemSpec
from bellwether_operator.backups.plan import Known, Row, made, planned, row_of, row_status, to_remove
from bellwether_operator.backups.steps import State
from harness.statuses import declared

SNAPSHOTS = {"name": "snap", "kind": "volumeSnapshots"}
CLOSE = datetime(2026, 11, 27, 18, tzinfo=UTC)
"""New York closes at one o'clock on the day after Thanksgiving."""
DUE = CLOSE + timedelta(minutes=30)
MONDAY = datetime(2026, 11, 30, 21, 30, tzinfo=UTC)
SINCE = Row(datetime(2026, 11, 20, tzinfo=UTC))
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
    assert (found.make.name, found.location) == ("create_backup-20261127", "snap")
    assert found.row is not None
    assert made(found.row, found.make).made == date(2026, 11, 27)
    assert found.row.next == MONDAY


@pytest.mark.parametrize(
    ("row", "there", "now"),
    [
        (AFTER_FRIDAY, [], DUE),  # it was made, and somebody deleted it
        (Row(DUE + timedelta(seconds=1)), [], DUE + timedelta(minutes=1)),  # declared only later
        (SINCE, [], DUE + timedelta(hours=12, seconds=1)),  # useful no more
        (SINCE, [known("earlier", DUE, "running", cut=False)], DUE),  # one still waits for its turn
    ],
)
def test_it_is_not_made_twice_nor_too_late_nor_beside_one_that_waits(
    row: Row, there: list[Known], now: datetime
) -> None:
    assert planned(spec(), row, there, now).make is None


def test_of_several_that_were_missed_the_newest_is_made() -> None:
    found = planned(spec(schedule={"usefulUntil": "120h"}), SINCE, [], MONDAY)
    assert found.make is not None
    assert found.make.session == date(2026, 11, 30)


def test_nothing_is_made_in_a_replay_nor_without_a_place_for_volume_snapshots() -> None:
    assert (
        planned(
            spec(locations=[{**SNAPSHOTS, "kind": "s3", "url": "https://s3.example/some", "secretRef": {"name": "s"}}]),
            SINCE,
            [],
            DUE,
        ).make
        is None
    )
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


def test_the_row_is_read_back_from_the_status_as_it_was_written() -> None:
    row = AFTER_FRIDAY._replace(next=MONDAY)
    assert row_of({"backups": row_status(row)}) == row
    assert row_of({}) is None
