import pytest

from devcluster.dockerfile import copied, only_for
from devcluster.errors import ClusterError

TEXT = """\
# a comment
ARG BASE_IMAGE=x
FROM ${BASE_IMAGE} AS base
FROM base AS tools
RUN make
FROM base AS left
COPY requirements/left.txt /tmp/
COPY --from=tools /out /out
FROM base AS right
COPY --chmod=644 one two /app/
"""


def test_stages_that_the_target_does_not_build_on_are_left_out() -> None:
    right = only_for(TEXT, "right")
    assert "AS left" not in right
    assert "AS tools" not in right
    assert right.startswith("# a comment\nARG BASE_IMAGE=x\nFROM ${BASE_IMAGE} AS base\n")


def test_a_stage_that_is_only_copied_from_stays() -> None:
    assert "AS tools" in only_for(TEXT, "left")


def test_what_is_copied_from_the_tree_and_not_from_other_stages() -> None:
    assert copied(only_for(TEXT, "left")) == ["requirements/left.txt"]
    assert copied(only_for(TEXT, "right")) == ["one", "two"]


def test_an_unknown_target_names_the_known_ones() -> None:
    with pytest.raises(ClusterError, match="no stage 'wrong'; it has base, tools, left, right"):
        only_for(TEXT, "wrong")
