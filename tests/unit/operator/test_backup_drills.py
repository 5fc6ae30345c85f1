"""The test of a backup: begun once, told whatever comes of it, and cleared away in any case."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether.render.kubernetes.looks import Copy, Looked, look_objects
from bellwether_operator.backups.drilling import last_words
from bellwether_operator.backups.drills import PATIENCE, Scene, drill_step, figures, is_due
from bellwether_operator.backups.status import progress_of, status_of
from bellwether_operator.backups.steps import Progress
from harness.statuses import declared

NOW = datetime(2026, 11, 27, 22, tzinfo=UTC)
COMPLETE = Progress(state="complete", reason="AllVolumesKept", cut_at=NOW, ended_at=NOW)
BEGUN = replace(COMPLETE, drill_started_at=NOW, drill_reason="Restoring", drill_message="volumes are made")
FIGURES = json.dumps(
    {"databases": {"ledger.db": {"rows": 12, "sha256": "ab12"}}, "rows": 12, "files": 3, "bytes": 99, "seconds": 0.2}
)
RAW: dict[str, Any] = {"metadata": {"name": "friday", "uid": "u-1", "generation": 1}, "spec": {"drill": True}}


def job(kind: str, message: str = "") -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": "True", "message": message}]}}


def kept(progress: Progress) -> Progress:
    """Return the progress as the API server keeps it."""
    return progress_of({**RAW, "status": status_of(progress, RAW, NOW)})


def test_it_is_due_from_completion_until_everything_is_gone() -> None:
    assert is_due(COMPLETE, wanted=True)
    assert not is_due(COMPLETE, wanted=False)
    assert not is_due(replace(COMPLETE, state="failed"), wanted=True)
    assert is_due(replace(BEGUN, verified=True), wanted=True)
    assert not is_due(replace(BEGUN, drill_ended_at=NOW), wanted=True)


def test_it_is_begun_in_the_status_before_anything_is_made() -> None:
    step = drill_step(COMPLETE, Scene(missing=["Job/friday-look"]), NOW)
    assert (step.make, step.clear) == ((), False)
    assert kept(step.progress) == BEGUN.__class__(**{**vars(BEGUN), "drill_message": step.progress.drill_message})


def test_what_is_missing_is_made_and_what_is_there_is_not() -> None:
    step = drill_step(BEGUN, Scene(left=["NetworkPolicy/friday-look"], missing=["Job/friday-look"]), NOW)
    assert step.make == ["Job/friday-look"]


@pytest.mark.parametrize(
    ("scene", "verified", "words"),
    [
        (Scene(["Job/x"], [], job("Complete"), FIGURES), True, "ledger.db 12 rows (ab12); 3 files, 99 bytes"),
        (Scene(["Job/x"], [], job("Complete"), "nonsense"), False, "without figures"),
        (Scene(["Job/x"], [], job("Failed"), "error: data-demo-0/ledger.db: SQLite"), False, "data-demo-0/ledger.db"),
        (Scene(["Job/x"], [], job("Failed", "BackoffLimitExceeded"), ""), False, "BackoffLimitExceeded"),
    ],
)
def test_the_outcome_is_told_first_then_all_is_cleared_then_it_is_over(
    scene: Scene, verified: bool, words: str
) -> None:
    told = kept(drill_step(BEGUN, scene, NOW).progress)
    assert told.verified is verified
    assert words in told.drill_message
    assert told.drill_ended_at is None
    clearing = drill_step(told, scene, NOW)
    assert (clearing.clear, clearing.make) == (True, ())
    over = drill_step(told, Scene(missing=["Job/x"]), NOW + timedelta(seconds=9))
    assert not over.clear
    assert over.make == ()
    assert kept(over.progress).drill_ended_at == NOW + timedelta(seconds=9)
    assert kept(over.progress).state == "complete"


def test_one_that_never_comes_to_an_end_has_failed_and_is_cleared() -> None:
    scene = Scene(["PersistentVolumeClaim/x"], ["Job/x"])
    assert drill_step(BEGUN, scene, NOW + PATIENCE - timedelta(seconds=1)).progress.verified is None
    told = drill_step(BEGUN, scene, NOW + PATIENCE).progress
    assert (told.verified, told.drill_reason) == (False, "RestoreTimeout")
    assert drill_step(told, scene, NOW + PATIENCE).clear


def test_the_pod_reads_scratch_volumes_has_no_rights_and_talks_to_nobody() -> None:
    owner = {"kind": "TradingBackup", "name": "friday", "uid": "u-1"}
    looked = Looked("friday", "u-1", "trading", owner)
    copies = [Copy("data-demo-0", "friday-data-demo-0", "1Gi")]
    policy, claim, made = look_objects(
        declared(), looked, copies, image="services:1", pull_policy="Always", log_level="info"
    )
    pod = made["spec"]["template"]
    assert policy["spec"] == {
        "podSelector": {"matchLabels": pod["metadata"]["labels"]},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert claim["spec"]["dataSource"]["name"] == "friday-data-demo-0"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod["spec"]
    assert pod["spec"]["volumes"] == [
        {"name": "volume-0", "persistentVolumeClaim": {"claimName": "friday-look-0"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert all(each["metadata"]["ownerReferences"] == [owner] for each in (policy, claim, made))
    assert "app.kubernetes.io/managed-by" not in pod["metadata"]["labels"]


@pytest.mark.parametrize(("declaration", "computed"), [('{"spec": {}}', True), ("x" * 120_000, False), ("", False)])
def test_decisions_are_computed_again_where_the_declaration_is_known_and_fits(declaration: str, computed: bool) -> None:
    looked = Looked("friday", "u-1", "trading", {"name": "friday"}, declaration, "1.2")
    job_ = look_objects(declared(), looked, [], image="services:1", pull_policy="Always", log_level="info")[-1]
    (container,) = job_["spec"]["template"]["spec"]["containers"]
    decided = container["command"][-4:]
    assert (decided == ["--decide", declaration, "--release", "1.2"]) is computed
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ({"decisions": {"equal": 2, "of another release": 1}}, "computed again: 2 equal, 1 of another release"),
        ({"decisions": {}}, "computed again: there are none"),
        ({}, "its declaration is too long for decisions to be computed again"),
    ],
)
def test_how_decisions_came_out_is_among_the_figures(decisions: dict[str, Any], words: str) -> None:
    assert (figures(json.dumps({**json.loads(FIGURES), **decisions})) or "").endswith(words)


def test_figures_and_last_words_are_read_from_whatever_is_there() -> None:
    assert figures("{}") is None
    assert figures("[]") is None
    assert last_words([{"status": {}}, {}]) == ""
    ended = [
        {"status": {"containerStatuses": [{"state": {"terminated": {"finishedAt": at, "message": words}}}]}}
        for at, words in (("2026-11-27T22:02:00Z", "second"), ("2026-11-27T22:01:00Z", "first"))
    ]
    assert last_words(ended) == "second"
