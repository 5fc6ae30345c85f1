"""Which backups are removed: by count and age, and never the newest good one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bellwether.backups.retention import Kept, outlived

NOW = datetime(2026, 11, 29, tzinfo=UTC)
MONTH = timedelta(days=30)


def kept(days: int, *, verified: bool = True) -> Kept:
    return Kept(f"d{days}", NOW - timedelta(days=days), verified)


def test_those_beyond_the_count_go_oldest_first() -> None:
    assert outlived([kept(1), kept(2), kept(3), kept(4)], NOW, count=2, age=MONTH) == ["d4", "d3"]


def test_those_that_are_too_old_go() -> None:
    assert outlived([kept(1), kept(31)], NOW, count=9, age=MONTH) == ["d31"]


def test_the_newest_good_one_stays_however_old_it_is() -> None:
    assert outlived([kept(400), kept(500)], NOW, count=1, age=MONTH) == ["d500"]


def test_an_unverified_one_takes_no_place_of_a_good_one() -> None:
    found = [kept(0, verified=False), kept(1), kept(2)]
    assert outlived(found, NOW, count=1, age=MONTH) == ["d2"]


def test_an_unverified_one_goes_when_a_newer_good_one_is_there() -> None:
    assert outlived([kept(1), kept(2, verified=False)], NOW, count=9, age=MONTH) == ["d2"]


def test_without_a_good_one_nothing_goes() -> None:
    assert outlived([kept(90, verified=False)], NOW, count=1, age=MONTH) == []


@given(st.lists(st.tuples(st.integers(0, 99), st.booleans()), unique_by=lambda one: one[0]), st.integers(1, 5))
def test_a_good_one_is_always_left(given: list[tuple[int, bool]], count: int) -> None:
    backups = [kept(days, verified=good) for days, good in given]
    gone = outlived(backups, NOW, count=count, age=MONTH)
    left = [one for one in backups if one.id not in gone]
    assert any(one.verified for one in left) == any(one.verified for one in backups)
    assert sum(one.verified for one in left) <= max(1, count)
