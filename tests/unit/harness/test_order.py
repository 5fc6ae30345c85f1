from __future__ import annotations

from harness.order import LONG, TESTS, rank


def test_files_that_take_long_are_there_and_come_before_all_others() -> None:
    assert [name for name in LONG if not (TESTS / name).is_file()] == []
    ranks = [rank(TESTS / name) for name in LONG]
    assert ranks == sorted(ranks)
    assert rank(TESTS / "integration" / "trading" / "test_desk.py") > ranks[-1]
