"""A TradingReplay from acceptance to its figures: every step follows from what is in the API server."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bellwether.render.kubernetes.replay_jobs import LABEL_REPLAY
from bellwether.spec.schema import defaulted, structural_schema
from bellwether.spec.trading_replay import TradingReplayStatus
from bellwether_operator.replays.steps import Progress, Scene, next_step, progress_of, status_of

NOW = datetime(2026, 11, 27, 22, 0, 1, 5, tzinfo=UTC)
SYSTEM: dict[str, Any] = {
    "metadata": {"name": "demo", "uid": "u-1"},
    "spec": {
        "symbols": ["AAPL"],
        "market": {"calendar": "XNYS"},
        "data": {"provider": "replay"},
        "clock": {"mode": "replay", "from": "2009-01-02"},
    },
}
FIGURES = {
    "finalEquity": "104404.29",
    "totalReturn": "0.044043",
    "buyAndHoldReturn": "0.111834",
    "maxDrawdown": "-0.035665",
    "sharpe": "1.762349",
    "trades": 28,
    "signals": 162,
    "sessions": 61,
    "hitRate": "0.395062",
    "baseHitRate": "0.480832",
}


def raw(**spec: Any) -> dict[str, Any]:
    vary = [{"path": "trading.sizing.value", "values": ["0.2"]}]
    return {
        "metadata": {"name": "sizes", "uid": "u-7", "namespace": "trading", "generation": 1},
        "spec": {"system": "demo", "from": "2009-01-02", "vary": vary, **spec},
    }


def pod(index: int, *, code: int | None = None, said: Any = "", made: str = "1", waiting: str = "") -> dict[str, Any]:
    state: dict[str, Any] = {"running": {}}
    if code is not None:
        state = {"terminated": {"exitCode": code, "message": said if isinstance(said, str) else json.dumps(said)}}
    if waiting:
        state = {"waiting": {"reason": waiting, "message": "why"}}
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    return {
        "metadata": {"labels": labels, "creationTimestamp": made},
        "status": {"containerStatuses": [{"state": state}]},
    }


def job(kind: str = "", reason: str = "") -> dict[str, Any]:
    conditions = [{"type": kind, "status": "True", "reason": reason}] if kind else []
    return {"metadata": {"name": "sizes-replay"}, "status": {"conditions": conditions}}


def kept(progress: Progress) -> Progress:
    """Return the progress as the API server keeps it."""
    return progress_of({"status": status_of(progress, raw(), NOW)})


def accepted() -> tuple[Progress, dict[str, Any]]:
    step = next_step(raw(), Progress(), Scene(NOW, SYSTEM))
    assert step.plan is not None
    return kept(step.progress), step.plan


def following(*pods: dict[str, Any], ended: dict[str, Any] | None = None) -> Progress:
    before, plan = accepted()
    step = next_step(raw(), before, Scene(NOW, SYSTEM, plan, ended or job(), pods))
    return step.progress


def test_the_declaration_is_frozen_then_the_job_is_made_once_whatever_the_system_becomes() -> None:
    before, plan = accepted()
    assert before.accepted
    assert before.frozen_at == "2026-11-27T22:00:01Z"
    assert [row["name"] for row in before.rows] == ["as declared", "trading.sizing.value=0.2"]
    other = {**SYSTEM, "spec": {**SYSTEM["spec"], "symbols": ["IBM"]}}
    step = next_step(raw(), before, Scene(NOW, other, plan))
    assert step.plan is None
    assert step.job is not None
    assert step.job.declaration["spec"]["symbols"] == ["AAPL"]
    assert step.progress.declaration_hash == before.declaration_hash
    # Without the system it goes on as well.
    assert next_step(raw(), before, Scene(NOW, None, plan)).job == step.job


def test_without_the_system_it_waits_and_says_for_what() -> None:
    step = next_step(raw(), Progress(), Scene(NOW))
    status = status_of(step.progress, raw(), NOW)
    found = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert found["Accepted"] == ("False", "SystemNotFound")
    assert found["Failed"] == ("False", "NotFailed")
    assert (step.plan, step.job) == (None, None)


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ([{"path": "trading.sizng", "values": ["1"]}], "spec.trading has no field sizng; it has"),
        ([{"path": "storage.size", "values": ["2Gi"]}], "storage decides nothing"),
        ([{"path": "quality.minScore", "values": ["high"]}], "spec.quality.minScore"),
    ],
)
def test_what_cannot_be_replayed_is_refused_for_good_with_field_and_value(vary: Any, words: str) -> None:
    step = next_step(raw(vary=vary), Progress(), Scene(NOW, SYSTEM))
    found = {one["type"]: one for one in status_of(step.progress, raw(), NOW)["conditions"]}
    assert (found["Accepted"]["status"], found["Failed"]["status"]) == ("False", "True")
    assert words in found["Accepted"]["message"]
    assert kept(step.progress).state == "failed"


def test_figures_come_one_by_one_and_stay() -> None:
    progress = following(pod(0, code=0, said=FIGURES), pod(1))
    first, second = kept(progress).rows
    assert (progress.reason, progress.message) == ("Replaying", "1 of 2 have figures")
    assert (first["totalReturn"], first["trades"], first["report"]) == ("0.044043", 28, "/reports/replays/sizes")
    assert (second["name"], second["message"], second["complete"]) == ("trading.sizing.value=0.2", "replays", False)
    _, plan = accepted()
    later = next_step(raw(), kept(progress), Scene(NOW, SYSTEM, plan, job(), []))
    assert later.progress.rows[0] == first


def test_a_status_says_every_default_so_that_the_same_one_is_not_written_again() -> None:
    schema = structural_schema(TradingReplayStatus, "status")
    for progress in (Progress(), following(pod(0, code=0, said=FIGURES), pod(1))):
        status = status_of(progress, raw(), NOW)
        assert defaulted(status, schema) == status
        assert status_of(kept(progress), {**raw(), "status": status}, NOW) == status


def test_it_is_complete_when_every_variant_has_its_figures() -> None:
    amiss = {**FIGURES, "noReport": "UNAVAILABLE: there is no connection to NATS"}
    done = following(pod(0, code=0, said=FIGURES), pod(1, code=0, said=amiss), ended=job("Complete"))
    assert (done.state, done.reason) == ("complete", "Replayed")
    assert done.message == "return 0.044043 beside 0.111834 of buy-and-hold, 28 trades; 1 variants beside it"
    assert done.rows[1]["message"].startswith("the report was not taken: UNAVAILABLE")
    assert "report" not in done.rows[1]
    status = status_of(done, raw(), NOW)
    found = {one["type"]: one["status"] for one in status["conditions"]}
    assert found == {"Accepted": "True", "Progressing": "False", "Complete": "True", "Failed": "False"}
    assert status["endedAt"] == "2026-11-27T22:00:01Z"


def test_a_later_try_counts_and_a_failure_is_reported_in_the_pods_own_words() -> None:
    failed = pod(1, code=3, said={"error": "spec.vary trading.sizing.value=9: too much"})
    tried = following(pod(0, code=1, said="x", made="1"), pod(0, code=0, said=FIGURES, made="2"), failed)
    assert tried.rows[0]["complete"]
    assert "1 (trading.sizing.value=0.2): spec.vary trading.sizing.value=9: too much" in tried.message
    ended = following(pod(0, code=0, said=FIGURES), failed, ended=job("Failed", "FailedIndexes"))
    assert (ended.state, ended.reason) == ("failed", "VariantsFailed")
    assert kept(ended).rows[0]["totalReturn"] == "0.044043"
    assert "failed" not in kept(ended).rows[1]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (pod(0, waiting="ImagePullBackOff"), "its pod waits: ImagePullBackOff why"),
        (pod(0, code=0, said="no figures"), "no figures"),
        (pod(0, code=0, said={**FIGURES, "trades": "many"}), "its figures cannot be read by this release"),
        (pod(0, code=137), "it ended with 137"),
    ],
)
def test_a_pod_that_does_not_get_on_is_reported(one: dict[str, Any], words: str) -> None:
    assert following(one).rows[0]["message"] == words


@pytest.mark.parametrize(
    ("ended", "reason"),
    [(job("Failed", "DeadlineExceeded"), "DeadlineExceeded"), (job("Complete"), "FiguresLost")],
)
def test_an_end_without_all_figures_is_a_failure(ended: dict[str, Any], reason: str) -> None:
    assert following(pod(0, code=0, said=FIGURES), ended=ended).reason == reason


def test_what_somebody_took_away_ends_it_and_nothing_is_made_twice() -> None:
    before, plan = accepted()
    started = replace(before, job="sizes-replay", state="running")
    gone = next_step(raw(), started, Scene(NOW, SYSTEM, plan))
    assert (gone.progress.reason, gone.job) == ("JobGone", None)
    gone = next_step(raw(), started, Scene(NOW, SYSTEM))
    assert (gone.progress.reason, gone.plan) == ("PlanGone", None)
    theirs = {**plan, "metadata": {"name": "sizes-replay", "labels": {LABEL_REPLAY: "u-8"}}}
    assert next_step(raw(), Progress(), Scene(NOW, SYSTEM, theirs)).progress.reason == "NameTaken"


def test_an_operator_killed_after_any_step_goes_on_by_what_is_there() -> None:
    _, plan = accepted()
    other = {**SYSTEM, "spec": {**SYSTEM["spec"], "symbols": ["IBM"]}}
    # The plan was made, and the status does not know of it.
    step = next_step(raw(), Progress(), Scene(NOW, other, plan))
    assert (step.plan, step.progress.accepted) == (None, True)
    assert step.job is not None
    assert step.job.declaration["spec"]["symbols"] == ["AAPL"]
    # So was the Job, and it has ended since.
    pods = [pod(0, code=0, said=FIGURES), pod(1, code=0, said=FIGURES)]
    done = next_step(raw(), Progress(), Scene(NOW, other, plan, job("Complete"), pods))
    assert (done.job, done.progress.state, done.progress.job) == (None, "complete", "sizes-replay")
