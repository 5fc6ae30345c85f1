from pathlib import Path

import pytest

from devcluster.config import LONGEST_STATE_DIR, check_name, check_state_dir
from devcluster.errors import ClusterError


@pytest.mark.parametrize("name", ["some", "a", "e2e-2"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "Upper", "-x", "x-", "a" * 31, "a/b", "1st"])
def test_a_name_that_is_no_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(ClusterError, match=r"--name is .*lower-case letters, digits and dashes"):
        check_name(name)


def test_a_folder_too_deep_for_sockets_is_refused_before_anything_starts() -> None:
    deep = Path("/" + "d" * LONGEST_STATE_DIR)
    with pytest.raises(ClusterError, match=f"has {LONGEST_STATE_DIR + 1} characters.*--state-dir"):
        check_state_dir(deep)
    check_state_dir(deep.with_name("d"))
