"""The test of a backup: started once, reported whatever comes of it, and cleared away in any case."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bellwether.render.kubernetes.looks import Copy, Looked, look_objects, to_be_there
from bellwether.spec.backup import RestoreFrom
from bellwether_operator.backups.drilling import _objects, termination_message
from bellwether_operator.backups.drills import PATIENCE, Scene, drill_step, figures, is_due, verify_step
from bellwether_operator.backups.status import progress_of, status_of
from bellwether_operator.backups.steps import Progress, Stored, Volume
from bellwether_operator.settings import Settings
from harness.statuses import declared

NOW = datetime(2026, 11, 27, 22, tzinfo=UTC)
COMPLETE = Progress(state="complete", reason="AllVolumesKept", cut_at=NOW, ended_at=NOW)
STARTED = replace(COMPLETE, drill_started_at=NOW, drill_reason="Restoring", drill_message="volumes are made")
FIGURES = json.dumps(
    {"databases": {"ledger.db": {"rows": 12, "sha256": "ab12"}}, "rows": 12, "files": 3, "bytes": 99, "seconds": 0.2}
)
RESTORED = {"pieces": 9, "rows": 12, "messages": 40, "orders": 3, "fills": 2, "seconds": 1.5}
NONE = "; decisions of the last session computed again: there are none"
RAW: dict[str, Any] = {"metadata": {"name": "friday", "uid": "u-1", "generation": 1}, "spec": {"drill": True}}


VERIFIED = Progress((Volume("data-demo-0", "friday-data-demo-0"),), cut_at=NOW, verify_started_at=NOW, message="read")


def job(kind: str, message: str = "", reason: str = "") -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": "True", "message": message, "reason": reason}]}}


FUTILE = job("Failed", "", "PodFailurePolicy")


def kept(progress: Progress) -> Progress:
    """Return the progress as the API server keeps it."""
    return progress_of({**RAW, "status": status_of(progress, RAW, NOW)})


def test_it_is_due_from_completion_until_everything_is_gone() -> None:
    assert is_due(COMPLETE, wanted=True)
    assert not is_due(COMPLETE, wanted=False)
    assert not is_due(replace(COMPLETE, state="failed"), wanted=True)
    assert is_due(replace(STARTED, verified=True), wanted=True)
    assert not is_due(replace(STARTED, drill_ended_at=NOW), wanted=True)


def test_it_is_started_in_the_status_before_anything_is_made() -> None:
    step = drill_step(COMPLETE, Scene(missing=["Job/friday-look"]), NOW)
    assert (step.make, step.clear) == ((), False)
    assert kept(step.progress) == replace(STARTED, drill_message=step.progress.drill_message)


def test_what_is_missing_is_made_and_what_is_there_is_not() -> None:
    step = drill_step(STARTED, Scene(left=["NetworkPolicy/friday-look"], missing=["Job/friday-look"]), NOW)
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
def test_the_outcome_is_reported_first_then_all_is_cleared_then_it_is_over(
    scene: Scene, verified: bool, words: str
) -> None:
    reported = kept(drill_step(STARTED, scene, NOW).progress)
    assert reported.verified is verified
    assert words in reported.drill_message
    assert reported.drill_ended_at is None
    clearing = drill_step(reported, scene, NOW)
    assert (clearing.clear, clearing.make) == (True, ())
    over = drill_step(reported, Scene(missing=["Job/x"]), NOW + timedelta(seconds=9))
    assert not over.clear
    assert over.make == ()
    assert kept(over.progress).drill_ended_at == NOW + timedelta(seconds=9)
    assert kept(over.progress).state == "complete"


def test_one_that_never_comes_to_an_end_has_failed_and_is_cleared() -> None:
    scene = Scene(["PersistentVolumeClaim/x"], ["Job/x"])
    assert drill_step(STARTED, scene, NOW + PATIENCE - timedelta(seconds=1)).progress.verified is None
    reported = drill_step(STARTED, scene, NOW + PATIENCE).progress
    assert (reported.verified, reported.drill_reason) == (False, "RestoreTimeout")
    whole = drill_step(STARTED, Scene(["Job/x"], [], job("Complete"), FIGURES), NOW).progress
    assert whole.drill_message.endswith("its declaration is too long for decisions to be computed again")
    assert drill_step(reported, scene, NOW + PATIENCE).clear


@pytest.mark.parametrize(
    ("scene", "state", "reason", "words"),
    [
        (Scene(["Job/x"], [], job("Complete"), FIGURES), "complete", "Verified", "all 1 volumes are kept"),
        (
            Scene(["Job/x"], [], FUTILE, "error: data-demo-0/slots.db: missing"),
            "failed",
            "NotWhole",
            "slots.db: missing",
        ),
        (Scene(["Job/x"], [], job("Failed", "no more tries"), ""), "failed", "NotVerified", "no more tries"),
        (Scene(["Job/x"], [], job("Complete"), "nonsense"), "failed", "NotVerified", "without figures"),
        (Scene(refused="Job/x is refused: it is invalid"), "failed", "NotVerified", "it is invalid"),
    ],
)
def test_a_backup_is_complete_or_failed_by_what_was_read_and_then_all_is_cleared(
    scene: Scene, state: str, reason: str, words: str
) -> None:
    reported = kept(verify_step(VERIFIED, scene, NOW).progress)
    assert (reported.state, reported.reason, reported.ended_at) == (state, reason, NOW)
    assert words in reported.message
    assert is_due(reported, wanted=False)
    assert verify_step(reported, Scene(["Job/x"]), NOW).clear
    over = kept(verify_step(reported, Scene(missing=["Job/x"]), NOW).progress)
    assert (over.verify_ended_at, is_due(over, wanted=False)) == (NOW, False)


def test_why_it_is_not_read_is_said_while_it_waits_and_when_its_time_is_over() -> None:
    scene = Scene(["PersistentVolumeClaim/x"], ["Job/x"], waits="Job/x is refused: exceeded quota")
    waiting = verify_step(VERIFIED, scene, NOW)
    assert (waiting.make, waiting.progress.state) == (["Job/x"], "running")
    late = verify_step(waiting.progress, scene, NOW + PATIENCE).progress
    assert (late.state, late.reason) == ("failed", "NotVerified")
    assert "not read within 45 minutes" in late.message
    assert "exceeded quota" in late.message


def test_what_has_to_be_there_is_the_database_of_each_service_that_runs_and_each_stream() -> None:
    whole = to_be_there(declared())
    assert {"data-demo-0/ledger.db", "data-demo-0/nats/jetstream/*/streams/KV_acks/meta.inf"} < set(whole)
    some = to_be_there(declared(profile="standard", services={"scheduler": {"enabled": False}}))
    assert "data-demo-paper-trading-0/ledger.db" in some
    assert "data-demo-nats-0/nats/jetstream/*/streams/EVENTS/meta.inf" in some
    assert (len(some), "slots.db" in str(some), "slots.db" in str(whole)) == (len(whole) - 1, False, True)


def test_the_pod_that_verifies_is_given_what_has_to_be_there_and_is_small() -> None:
    looked = Looked("friday", "u-1", "trading", {"name": "friday"})
    system = declared(version="0.1")
    job_ = look_objects(system, looked, [], image="services:1", pull_policy="Always", log_level="info")[-1]
    (container,) = job_["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "services:1"
    assert container["command"].count("--expect") == len(to_be_there(system))
    assert container["resources"]["limits"] == {"memory": "192Mi"}


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
        "egress": [],
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


@pytest.mark.parametrize(
    ("location", "port"),
    [
        ({"name": "far", "kind": "s3", "url": "http://s3.example:8333/trading/demo"}, {8333, 53}),
        ({"name": "nas", "kind": "folder", "volumeClaim": "backups", "path": "demo"}, set()),
    ],
)
def test_a_repository_is_restored_on_an_empty_volume_by_a_pod_that_has_its_secret_and_reaches_it_alone(
    location: dict[str, Any], port: set[int]
) -> None:
    repository = {**location, "secretRef": {"name": "kept"}}
    source = RestoreFrom.model_validate({"repository": repository, "system": "demo", "id": "20261127T213005Z"})
    looked = Looked("friday", "u-1", "trading", {"name": "friday"}, source=source)
    system = declared(version="0.1", network={"caBundleRef": {"name": "trusted", "key": "ca.crt"}})
    copies = [Copy("scratch", None, "6Gi")]
    policy, claim, made = look_objects(system, looked, copies, image="s:1", pull_policy="Always", log_level="info")
    assert {one["port"] for way in policy["spec"]["egress"] for one in way["ports"]} == port
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "6Gi"}}}
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "s:0.1"
    assert RestoreFrom.model_validate_json(container["command"][-1]) == source
    assert container["command"][-2] == "--restore"
    names = {"volume-0", "tmp", "ca", "repositories", *({"kept-nas"} if location["kind"] == "folder" else ())}
    assert {one["name"] for one in pod["volumes"]} == {one["name"] for one in container["volumeMounts"]} == names
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["BELLWETHER_SECRETS"] == "/etc/bellwether/repositories"
    assert container["resources"]["limits"] == {"memory": "896Mi"}


def of_then(secret: str, url: str) -> dict[str, Any]:
    """Return a declaration with a bucket whose password is in a Secret."""
    far = {"name": "far", "kind": "s3", "url": url, "secretRef": {"name": secret}}
    spec = {"symbols": ["CBA.AX"], "storage": {"size": "2Gi"}, "backup": {"locations": [far]}}
    return {"metadata": {"name": "demo"}, "spec": spec}


@pytest.mark.parametrize(
    ("present", "stored", "secret", "size"),
    [
        (of_then("renamed", "https://s3.example/trade"), 1 << 20, "renamed", "2Gi"),
        (of_then("renamed", "https://s3.example/elsewhere"), 3 << 30, "then", "6Gi"),
        (None, 1 << 20, "then", "2Gi"),
    ],
)
def test_the_present_declaration_says_how_a_repository_is_reached_else_that_of_then(
    present: dict[str, Any] | None, stored: int, secret: str, size: str
) -> None:
    where = "https://s3.example/trade"
    kept_there = replace(STARTED, stored=Stored("far", where, 1, None, "20261127T213005Z", "2026-11-27", stored, 9))
    then = json.dumps(of_then("then", where))
    metadata = {**RAW["metadata"], "namespace": "trading"}
    raw = {"metadata": metadata, "spec": {}, "status": status_of(kept_there, RAW, NOW, declaration=then)}
    _, claim, made = _objects(Settings("s:1", b"a seed for tests"), raw, present, decide=True)
    assert f'"secretRef":{{"name":"{secret}"}}' in made["spec"]["template"]["spec"]["containers"][0]["command"][-1]
    assert claim["spec"]["resources"]["requests"]["storage"] == size


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
        ({}, "read in 0.2 s"),
        (RESTORED, "9 pieces, 12 rows, 40 messages, 3 orders, 2 fills, restored in 1.5 s" + NONE),
        ({**RESTORED, "decisions equal": 2}, "computed again: 2 equal"),
    ],
)
def test_how_decisions_came_out_is_among_the_figures(decisions: dict[str, Any], words: str) -> None:
    assert (figures(json.dumps({**json.loads(FIGURES), **decisions})) or "").endswith(words)


def test_figures_and_last_words_are_read_from_whatever_is_there() -> None:
    assert figures("{}") is None
    assert figures("[]") is None
    assert termination_message([{"status": {}}, {}]) == ""
    ended = [
        {"status": {"containerStatuses": [{"state": {"terminated": {"finishedAt": at, "message": words}}}]}}
        for at, words in (("2026-11-27T22:02:00Z", "second"), ("2026-11-27T22:01:00Z", "first"))
    ]
    assert termination_message(ended) == "second"
