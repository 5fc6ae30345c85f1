"""Every row of the table of bad resources is refused with its paths and words."""

import pytest

from bellwether.spec.validate import validate
from harness.bad_systems import GOOD, BadSystem, bad_systems

ROWS = bad_systems()


def test_the_good_resource_is_accepted() -> None:
    assert validate(GOOD) == []
    assert validate(GOOD, old=GOOD) == []


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_bad_resource_is_refused(row: BadSystem) -> None:
    found = {problem.path: problem.message for problem in validate(row.document, old=row.stored)}
    assert found.keys() == row.problems.keys()
    for path, words in row.problems.items():
        assert words in found[path]
    if row.bound is not None:
        assert all(row.bound in message for message in found.values())


def test_the_names_of_the_rows_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
