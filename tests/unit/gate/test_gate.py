import sys
from pathlib import Path

import pytest

from environments.choose import Choice
from gate.plan import Stage, left_out, slow
from gate.record import PARTS
from gate.steps import Step, report, run_beside

RECORD = Path("/state/passed.json")
NODE = Choice("kind", "a Docker engine answers")
(CLUSTER,) = PARTS


def steps_of(stages: list[Stage]) -> list[Step]:
    return [step for rows in stages for row in rows for step in row]


def test_with_a_node_no_test_is_left_out_and_each_runs_once() -> None:
    commands = [step.command for step in steps_of(slow(has_planes=True, has_node=True, cores=2, without=[]))]
    assert not any(word.startswith("--ignore") or word == "not cluster" for command in commands for word in command)
    marks = [command[command.index("-m", 3) + 1] for command in commands if "-m" in command[3:]]
    assert marks == ["apart", "not apart"]
    assert sum("tests/integration" in command for command in commands) == 1


def test_what_has_not_changed_is_left_out_where_it_would_run_and_each_is_said_with_its_reason() -> None:
    steps = steps_of(slow(has_planes=True, has_node=True, cores=2, without=CLUSTER.tests))
    (integration,) = (step.command for step in steps if step.name == "integration")
    assert "tests/integration" in integration
    assert not set(CLUSTER.tests) & set(integration)
    (words,) = left_out({CLUSTER.name: "2026-11-01 09:30 UTC"}, RECORD, has_planes=True, choice=NODE)
    assert words.startswith("the embedded cluster's own tests and csi-sanity (tools/devcluster/tests/integration): ")
    assert words.endswith("nothing they test has changed since they passed, 2026-11-01 09:30 UTC in /state/passed.json")


@pytest.mark.parametrize(
    ("cores", "stages"),
    [
        (2, [[["e2e apart"], ["integration"]], [["e2e lanes"]]]),
        (4, [[["e2e apart", "e2e lanes"], ["integration"]]]),
    ],
)
def test_integration_runs_beside_e2e_where_cores_allow_it(cores: int, stages: list[list[list[str]]]) -> None:
    found = slow(has_planes=True, has_node=True, cores=cores, without=[])
    assert [[[step.name for step in row] for row in rows] for rows in found] == stages
    assert [step.name for step in steps_of(found) if step.gives_way] == ["integration"]


def test_without_a_cluster_its_tests_are_named_as_left_out() -> None:
    (((integration,),),) = slow(has_planes=False, has_node=False, cores=8, without=[])
    assert integration.command[-2:] == ["-m", "not cluster"]
    found = left_out({}, RECORD, has_planes=False, choice=Choice("local", "not Linux"))
    assert [words.partition(":")[0].partition(" (")[0] for words in found] == [
        "integration tests marked cluster",
        "tests/e2e",
    ]


def test_steps_beside_each_other_say_whose_each_line_is_and_how_each_ended(capfd: pytest.CaptureFixture[str]) -> None:
    def reporting(words: str, code: int) -> list[str]:
        return [sys.executable, "-c", f"print({words!r}); raise SystemExit({code})"]

    one = Step("one", reporting("3 passed, 1 skipped in 2s", 0))
    named = "FAILED tests/test_it.py::test_that - assert 1 == 2"
    two = Step("two", reporting(f"{named}\n1 failed, 2 passed in 2s", 1))
    run_beside([[one], [two]], {})
    reported = capfd.readouterr().out
    assert "one          | 3 passed" in reported
    assert f"two          | {named}" in reported
    lines = report([one, two], ["something: a reason"], 61.0)
    assert [line.split()[:2] for line in lines[:3]] == [["one", "ok"], ["two", "ended"], ["altogether", "61"]]
    assert lines[3:] == ["left out: something: a reason", "failed: two", named, "5 passed, 1 failed, 1 skipped"]
