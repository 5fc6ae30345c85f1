from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bellwether.change.layouts import laid_out
from bellwether.change.plan import plan
from bellwether.change.predicted import Effect, Plan
from bellwether.change.steps import Phase, Wait, step_through
from bellwether.change.world import CLAIM, WORKLOADS, Installation, Key, key_of, supposed
from bellwether.render.kubernetes.context import ANNOTATION_APPLIED
from bellwether.render.kubernetes.workloads import of_kind
from bellwether.spec.models import TradingSystem
from bellwether.spec.status import TradingSystemStatus
from bellwether_operator.layout import layout, render_layout
from bellwether_operator.observe.kinds import observed_from

from .conftest import CLOSE, CLOSED, INSTALLED, OPEN, context, live, planned, rendered, replayed, reported, stored

DECLARATION = "change ConfigMap demo-declaration"
CLOSED_TOMORROW = {"calendar": "XASX", "overrides": [{"date": "2026-11-24", "closed": True}]}


def effects(found: Plan) -> dict[str, Effect]:
    return {each.change.path: each.effect for each in found.declared}


def test_the_same_declaration_changes_nothing() -> None:
    for system in (live(), replayed(), live(profile="standard")):
        found = planned(system, system)
        assert found.empty
        assert (found.steps, found.restarts, found.slots, found.notes) == ((), (), (), ())


def test_a_live_field_is_delivered_at_once_and_restarts_nothing() -> None:
    after = live(symbols=["CBA.AX", "BHP.AX"], trading={"halted": True})
    found = planned(live(), after, OPEN)
    assert effects(found) == {"spec.symbols": Effect.LIVE, "spec.trading.halted": Effect.LIVE}
    assert reported(found) == {DECLARATION}
    assert found.restarts == ()


def test_a_new_version_waits_for_the_close_and_names_the_pods() -> None:
    found = planned(live(), live(version="2"), OPEN)
    assert effects(found) == {"spec.version": Effect.PODS}
    assert {DECLARATION, "change StatefulSet demo later"} <= reported(found)
    schedules = [step for step in found.steps if step.kind == "CronJob"]
    assert schedules
    assert {step.wait for step in schedules} == {Wait(CLOSE, "session")}, "their Jobs talk to the services that run"
    (restart,) = found.restarts
    assert (restart.verb, restart.pods, restart.why) == ("restart", ("demo-0",), ("version",))
    assert restart.wait == Wait(CLOSE, "session")
    workload = next(step for step in found.steps if step.kind == "StatefulSet")
    images = {change.path: (change.old, change.new) for change in workload.fields if change.path.endswith("image")}
    assert images == {
        "spec.template.spec.containers[services].image": (INSTALLED.image, "registry.example/bellwether/services:2"),
        "spec.template.spec.initContainers[nats].image": (INSTALLED.image, "registry.example/bellwether/services:2"),
    }
    assert not any("bellwether.dev/template" in change.path for change in workload.fields)


@pytest.mark.parametrize(
    ("before", "after", "now"),
    [
        (live(), live(version="2"), CLOSED),
        (live(), live(version="2", rollout={"policy": "Immediate"}), OPEN),
        (replayed(), replayed(version="2"), OPEN),
        (
            live(),
            live(version="2", market={"calendar": "XASX", "overrides": [{"date": "2026-11-23", "closed": True}]}),
            OPEN,
        ),
    ],
    ids=["closed", "immediate", "replay", "closed by the same edit"],
)
def test_a_new_version_comes_at_once_where_no_session_holds_it(
    before: TradingSystem, after: TradingSystem, now: datetime
) -> None:
    assert "change StatefulSet demo" in reported(planned(before, after, now))


def test_a_new_version_that_a_backup_precedes_says_so() -> None:
    snapshots = {"locations": [{"name": "snap", "kind": "volumeSnapshots"}]}
    found = planned(live(), live(version="2", backup=snapshots))
    assert found.notes == ("release 2 waits for a backup that is made first, for 15m at most",)
    assert planned(live(), live(version="2", backup={**snapshots, "beforeUpgrade": "0s"})).notes == ()
    assert planned(live(), live(backup=snapshots)).notes == ()


def test_in_a_pause_pods_volumes_and_what_they_use_wait_for_its_end() -> None:
    until = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
    pause = {"until": "2026-11-23T11:00:00Z", "reason": "stocktaking"}
    found = planned(live(), live(version="2", storage={"size": "2Gi"}, paused=pause), OPEN)
    waits = {step.wait for step in found.steps if (step.kind, step.name) != ("ConfigMap", "demo-declaration")}
    assert waits == {Wait(until, "paused")}
    assert found.steps[0].wait is None, "a process that starts reads the newest declaration"
    assert effects(found)["spec.paused"] is Effect.OPERATOR
    assert {restart.wait for restart in found.restarts} == {Wait(until, "paused")}


PAUSE = {"until": "2026-11-23T11:00:00Z"}
"""From a session to the evening after it."""


@pytest.mark.parametrize("seen", [False, True], ids=["supposed", "seen"])
def test_in_a_pause_schedules_go_on_with_the_release_that_runs(seen: bool) -> None:
    before, after = live(), live(version="2", market=CLOSED_TOMORROW, paused=PAUSE)
    there = stored(rendered(before, OPEN))
    next(each for each in there if each["kind"] == "StatefulSet")["status"] = {"replicas": 1}  # whether ready or not
    found = planned(before, after, OPEN, there if seen else None)
    at_once = [step for step in found.steps if step.kind == "CronJob" and step.wait is None]
    assert {step.action for step in at_once} == {"remake"}
    assert {step.name for step in at_once} == {
        "demo-morning-analysis-202611-0930",
        "demo-prediction-generation-202611-0945",
        "demo-evening-analysis-202611-1700",
    }
    assert not [change.path for step in at_once for change in step.fields if change.path.endswith("image")]
    later = [step for step in found.steps if step.kind == "CronJob" and step.wait is not None]
    assert {change.path.rpartition(".")[2] for step in later for change in step.fields} == {"image"}
    assert {step.wait for step in later} == {Wait(datetime(2026, 11, 23, 11, 0, tzinfo=UTC), "paused")}


def test_in_a_pause_a_task_that_is_removed_takes_its_schedules_along_at_once() -> None:
    after = live(tasks=[{"name": "morning_analysis", "anchor": "open", "offset": "-30m"}], paused=PAUSE)
    found = planned(live(), after, OPEN)
    assert {(step.action, step.wait) for step in found.steps if step.kind == "CronJob"} == {("delete", None)}


def test_in_a_pause_budgets_go_on_as_the_time_wants_it() -> None:
    found = planned(live(), live(rollout={"protectSession": False}, paused=PAUSE), OPEN)
    (step,) = (step for step in found.steps if step.kind == "PodDisruptionBudget")
    assert (step.action, step.wait, step.because) == ("change", None, ("rollout.protectSession",))
    assert effects(found)["spec.rollout.protectSession"] is Effect.OBJECTS


@pytest.mark.parametrize("until", ["2026-11-24T01:00:00Z", "2027-03-01T00:00:00Z"], ids=["a session", "months later"])
def test_what_only_time_changes_in_a_pause_is_reported_neither_now_nor_for_its_end(until: str) -> None:
    after = live(paused={"until": until})
    for there in (None, stored(rendered(live(), OPEN))):
        found = planned(live(), after, OPEN, there)
        assert (reported(found), found.drift, found.notes) == ({DECLARATION}, (), ())


def test_in_a_pause_a_volume_is_retained_at_once_and_grows_later() -> None:
    before = live(deletionPolicy="Delete")
    found = planned(before, live(deletionPolicy="Retain", storage={"size": "20Gi"}, paused=PAUSE), OPEN)
    steps = [step for step in found.steps if step.kind == CLAIM]
    assert [(step.wait is None, [change.path for change in step.fields]) for step in steps] == [
        (True, ["metadata.ownerReferences"]),
        (False, ["spec.resources.requests.storage"]),
    ]


def test_a_kept_volume_that_another_declaration_began_is_refused() -> None:
    kept = [each for each in stored(rendered(live(), OPEN)) if each["kind"] == CLAIM]
    for each in kept:
        each["metadata"]["labels"]["bellwether.dev/system-uid"] = "of an earlier one"
    assert planned(None, live(), OPEN, kept).refusals == ()
    (refusal,) = planned(None, live(trading={"initialCash": "7"}), OPEN, kept).refusals
    assert "spec.trading.initialCash is 7 and was 100000" in refusal.message


def test_a_new_system_that_is_paused_has_no_schedules_before_it_has_pods() -> None:
    found = planned(None, live(paused=PAUSE), OPEN)
    at_once = {step.kind for step in found.steps if step.wait is None}
    assert at_once == {"ConfigMap", "PodDisruptionBudget"}


def test_without_its_scheduler_a_paused_system_keeps_its_schedules() -> None:
    before, after = live(), live(tasks=[], paused=PAUSE)
    there = [each for each in stored(rendered(before, OPEN)) if each["kind"] != "StatefulSet"]
    found = planned(before, after, OPEN, there)
    assert {step.wait is None for step in found.steps if step.kind == "CronJob"} == {False}


def test_a_pause_under_way_whose_schedules_are_of_the_release_that_runs_is_no_drift_of_them() -> None:
    system = live(version="2", paused=PAUSE)
    of_release = {key_of(each): each for each in stored(rendered(live(paused=PAUSE), OPEN))}
    there = [of_release[key_of(each)] for each in stored(rendered(system, OPEN)) if key_of(each) in of_release]
    found = planned(system, system, OPEN, there)
    assert found.drift == ()
    assert {step.kind: step.wait is not None for step in found.steps if step.kind == "CronJob"} == {"CronJob": True}


def test_a_pause_that_ends_in_a_session_is_followed_by_the_wait_for_its_close() -> None:
    pause = {"until": "2026-11-23T03:00:00Z"}
    found = planned(live(), live(version="2", storage={"size": "2Gi"}, paused=pause), OPEN)
    waits = {step.kind: step.wait for step in found.steps}
    assert waits["CronJob"] == Wait(CLOSE, "session")
    assert waits["PersistentVolumeClaim"] == Wait(datetime(2026, 11, 23, 3, 0, tzinfo=UTC), "paused")
    assert waits["StatefulSet"] == Wait(CLOSE, "session")


def test_a_pause_that_is_over_holds_nothing() -> None:
    found = planned(live(), live(version="2", paused={"until": "2026-11-22T03:00:00Z"}), CLOSED)
    assert {step.wait for step in found.steps} == {None}


def test_an_override_that_closes_tomorrow_remakes_schedules_and_names_the_runs() -> None:
    found = planned(live(), live(market=CLOSED_TOMORROW), OPEN)
    remade = {step.name for step in found.steps if step.action == "remake"}
    assert remade == {
        "demo-morning-analysis-202611-0930",
        "demo-prediction-generation-202611-0945",
        "demo-evening-analysis-202611-1700",
    }
    assert {step.kind for step in found.steps} == {"ConfigMap", "CronJob"}
    assert {step.because for step in found.steps if step.kind == "CronJob"} == {("market.overrides[2026-11-24]",)}
    assert {(each.task, each.session, each.new) for each in found.slots} == {
        (task, date(2026, 11, 24), None) for task in ("morning_analysis", "prediction_generation", "evening_analysis")
    }


def test_an_early_close_moves_the_evening_run() -> None:
    early = {"calendar": "XASX", "overrides": [{"date": "2026-11-24", "close": "12:00"}]}
    found = planned(live(), live(market=early), OPEN)
    assert "create CronJob demo-evening-analysis-202611-1300" in reported(found)
    (slot,) = found.slots
    assert (slot.task, slot.old, slot.new) == (
        "evening_analysis",
        datetime(2026, 11, 24, 6, 0, tzinfo=UTC),
        datetime(2026, 11, 24, 2, 0, tzinfo=UTC),
    )


def test_a_task_that_is_removed_takes_its_schedules_along() -> None:
    tasks = [{"name": "morning_analysis", "anchor": "open", "offset": "-30m"}]
    found = planned(live(), live(tasks=tasks), OPEN)
    gone = {step.name.rsplit("-", 2)[0] for step in found.steps if step.action == "delete"}
    assert gone == {"demo-prediction-generation", "demo-evening-analysis"}
    assert {each.task for each in found.slots} == {"prediction_generation", "evening_analysis"}
    assert all(each.new is None for each in found.slots)


def test_what_only_says_how_it_is_looked_after_changes_no_pod() -> None:
    found = planned(live(), live(rollout={"protectSession": False}), CLOSED)
    assert effects(found) == {"spec.rollout.protectSession": Effect.OPERATOR}
    found = planned(live(), live(rollout={"protectSession": False}), OPEN)
    assert effects(found) == {"spec.rollout.protectSession": Effect.OBJECTS}
    (step,) = (step for step in found.steps if step.kind == "PodDisruptionBudget")
    assert [(change.path, change.old, change.new) for change in step.fields] == [("spec.maxUnavailable", 0, 1)]


def test_a_volume_grows_at_once() -> None:
    found = planned(live(), live(storage={"size": "2Gi"}), OPEN)
    (step,) = (step for step in found.steps if step.kind == "PersistentVolumeClaim")
    assert [str(change) for change in step.fields] == ["spec.resources.requests.storage: 1Gi -> 2Gi"]
    assert step.wait is None


def test_what_is_named_by_its_content_is_replaced_and_restarts_its_pod() -> None:
    small, larger = live(storage={"size": "100Mi"}), live(storage={"size": "200Mi"})
    found = planned(small, larger)
    (step,) = (step for step in found.steps if step.action == "replace")
    assert step.replaces != step.name
    assert [change.path for change in step.fields] == ["data.nats.conf"]
    assert [each.why for each in found.restarts] == [("storage.size",)]


def test_a_service_that_is_switched_off_stops() -> None:
    found = planned(live(profile="standard"), live(profile="standard", services={"gateway": {"enabled": False}}), OPEN)
    (stop,) = found.restarts
    assert (stop.verb, stop.pods, stop.why, stop.wait) == ("stop", ("demo-gateway-*",), ("services.gateway",), None)


def former_gateway(system: TradingSystem, at: datetime) -> list[dict[str, Any]]:
    """Return the objects of a system whose gateway a former release made as a StatefulSet, pods ready."""
    there = stored(
        [of_kind("StatefulSet", each) if each["kind"] == "Deployment" else each for each in rendered(system, at)]
    )
    for each in there:
        if each["kind"] in WORKLOADS:
            each["status"] = {"replicas": 1, "readyReplicas": 1}
    return there


def test_a_stateful_set_that_is_to_be_a_deployment_is_replaced_at_the_close() -> None:
    system = live(profile="standard")
    assert {"create Deployment demo-gateway later", "delete StatefulSet demo-gateway later"} <= reported(
        planned(system, system, OPEN, former_gateway(system, OPEN))
    )
    found = planned(system, system, CLOSED, former_gateway(system, CLOSED))
    assert {"create Deployment demo-gateway", "delete StatefulSet demo-gateway"} <= reported(found)
    assert not found.drift


def test_a_size_that_the_cluster_refused_may_be_taken_back() -> None:
    before = live(storage={"size": "2Gi"}).model_copy(update={"status": TradingSystemStatus(volume_size="1Gi")})
    assert planned(before, live()).refusals == ()


def test_each_restart_has_its_own_reasons() -> None:
    before = live(profile="standard")
    found = planned(before, live(profile="standard", version="2", services={"gateway": {"memory": "300Mi"}}))
    why = {each.name: each.why for each in found.restarts}
    assert why.pop("demo-gateway") == ("version", "services.gateway")
    assert set(why.values()) == {("version",)}


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        (live(), live(profile="standard"), "spec.profile", "`bellwether profile` makes a new system"),
        (live(), replayed(market={"calendar": "XASX"}), "spec.clock", "clock cannot be changed"),
        (live(storage={"size": "2Gi"}), live(), "spec.storage", "a volume cannot shrink"),
        (live(), live(trading={"initialCash": "5"}), "spec.trading", "the ledger began with them"),
        (
            live(),
            live(market={"calendar": "XASX", "overrides": [{"date": "2026-11-21", "open": "11:00"}]}),
            "spec.market.overrides[0]",
            "XASX has no session on that day",
        ),
    ],
    ids=["profile", "clock", "smaller", "cash", "no session there"],
)
def test_what_would_be_refused_says_why_and_nothing_else(
    before: TradingSystem, after: TradingSystem, path: str, words: str
) -> None:
    found = planned(before, after)
    assert [problem.path for problem in found.refusals][:1] == [path]
    assert words in str(found.refusals[0])
    assert (found.steps, found.declared) == ((), ())
    assert not found.empty


def test_an_instant_after_the_end_of_the_calendar_is_refused_in_words() -> None:
    found = planned(None, live(), datetime(2090, 1, 1, tzinfo=UTC))
    assert [problem.path for problem in found.refusals] == ["spec.market.calendar"]


def test_another_system_is_no_edit_of_this_one() -> None:
    other = live().model_copy(update={"metadata": live().metadata.model_copy(update={"name": "other"})})
    with pytest.raises(ValueError, match="not the same system: trading/demo and trading/other"):
        planned(live(), other)


def test_a_new_system_is_made_whole() -> None:
    after = live()
    found = planned(None, after, OPEN)
    assert found.created
    assert {step.action for step in found.steps} == {"create"}
    assert [(step.kind, step.name) for step in found.steps] == [tuple(key_of(each)) for each in rendered(after, OPEN)]
    assert [(each.verb, each.pods) for each in found.restarts] == [("start", ("demo-0",))]


RESTORED = {"restoreFrom": {"snapshots": [{"component": "system", "snapshot": "friday-system"}]}}


@pytest.mark.parametrize(
    ("source", "words"),
    [(RESTORED, "snapshots friday-system"), ({"restoreFrom": {"backup": "friday"}}, "backup friday")],
)
def test_a_restored_volume_names_what_it_is_made_from(source: dict[str, Any], words: str) -> None:
    found = planned(None, live(**source))
    assert {step.kind: step.source for step in found.steps if step.source is not None} == {CLAIM: words}


class TestAgainstWhatIsThere:
    """The plan where a cluster was looked at."""

    def test_what_is_as_declared_gives_the_plan_of_two_declarations(self) -> None:
        before, after = live(), live(version="2", tasks=[], storage={"size": "3Gi"})
        for now in (OPEN, CLOSED):
            there = stored(rendered(before, now))
            assert planned(before, after, now, there) == planned(before, after, now)
            assert planned(before, before, now, there).empty

    def test_what_is_missing_or_changed_by_hand_is_drift(self) -> None:
        there = [each for each in stored(rendered(live())) if key_of(each) != ("Service", "demo-nats")]
        workload = next(each for each in there if each["kind"] == "StatefulSet")
        workload["spec"] = {**workload["spec"], "replicas": 0}
        found = planned(live(), live(), observed=there)
        assert [(each.problem, each.kind, each.name) for each in found.drift] == [
            ("missing", "Service", "demo-nats"),
            ("changed", "StatefulSet", "demo"),
        ]
        assert [str(change) for change in found.drift[1].fields] == ["spec.replicas: 0 -> 1"]
        assert found.steps == ()
        assert not found.empty

    @pytest.mark.parametrize("source", [{"snapshots": RESTORED["restoreFrom"]["snapshots"]}, {"backup": "friday"}])
    def test_a_restored_system_is_as_declared_and_its_volume_keeps_its_source(self, source: dict[str, Any]) -> None:
        before = live(restoreFrom=source)
        made = laid_out(before, context(before), {"system": "friday-system"})
        there = stored(made)
        children = [observed_from(each, each["kind"]) for each in there]
        by_operator = render_layout(before, context(before), layout(before, children))
        (claim,) = [each for each in by_operator if each["kind"] == CLAIM]
        assert claim["spec"]["dataSource"]["name"] == "friday-system"
        assert claim in made
        found = planned(before, live(restoreFrom=source, storage={"size": "3Gi"}), observed=there)
        assert (found.drift, found.notes) == ((), ())
        assert reported(found) == {DECLARATION, f"change {CLAIM} data-demo-0"}

    def test_drift_beside_an_edit_is_distinguished_from_it(self) -> None:
        there = stored(rendered(live()))
        claim = next(each for each in there if each["kind"] == "Service")
        claim["metadata"] = {**claim["metadata"], "labels": {}}
        found = planned(live(), live(symbols=["CBA.AX"]), observed=there)
        assert [each.problem for each in found.drift] == ["changed"]
        assert reported(found) == {DECLARATION}

    def test_a_template_that_waits_already_is_no_drift(self) -> None:
        before = live(version="2")
        there = {key_of(each): each for each in stored(rendered(before, OPEN))}
        held = {key_of(each): each for each in stored(rendered(live(), OPEN))}
        there[Key("StatefulSet", "demo")] = held[Key("StatefulSet", "demo")]
        there |= {key: each for key, each in held.items() if key.kind == "CronJob"}
        found = planned(before, before, OPEN, list(there.values()))
        assert (found.drift, found.notes) == ((), ())
        assert {step.kind for step in found.steps} == {"StatefulSet", "CronJob"}
        assert {step.wait for step in found.steps} == {Wait(CLOSE, "session")}
        back = planned(before, live(), OPEN, list(there.values()))
        assert "change StatefulSet demo later" not in reported(back)

    def test_a_pod_that_is_down_is_not_protected(self) -> None:
        there = stored(rendered(live(), OPEN))
        next(each for each in there if each["kind"] == "StatefulSet")["status"] = {"replicas": 1}
        assert "change StatefulSet demo" in reported(planned(live(), live(version="2"), OPEN, there))

    @pytest.mark.parametrize(("down", "waits"), [("demo-gateway", True), ("demo-scheduler", False)])
    def test_schedules_are_of_the_release_that_the_scheduler_runs(self, down: str, waits: bool) -> None:
        before, after = live(profile="standard"), live(profile="standard", version="2")
        there = stored(rendered(before, OPEN))
        next(each for each in there if each["kind"] in WORKLOADS and each["metadata"]["name"] == down)["status"] = {}
        found = planned(before, after, OPEN, there)
        assert {step.wait is not None for step in found.steps if step.kind == "CronJob"} == {waits}

    def test_an_operator_that_has_not_come_to_it_is_noted(self) -> None:
        there = stored(rendered(live()))
        found = planned(live(symbols=["CBA.AX"]), live(symbols=["CBA.AX"]), observed=there)
        assert [note for note in found.notes if "has not come to it yet" in note]
        assert reported(found) == {DECLARATION}

    def test_objects_of_somebody_else_stop_it(self) -> None:
        there = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-nats", "namespace": "trading"}}]
        found = planned(None, live(), observed=there)
        assert [str(problem) for problem in found.refusals] == [
            "Service demo-nats: exists and it was not made by the operator: rename it, or this system"
        ]

    @pytest.mark.parametrize(
        ("has", "wants", "fields", "notes"),
        [
            ("1Gi", "2Gi", ["spec.resources.requests.storage: 1Gi -> 2Gi"], []),
            ("4Gi", "2Gi", [], ["storage.size: 2Gi is smaller than the 4Gi of data-demo-0; a volume cannot shrink"]),
        ],
    )
    def test_a_retained_volume_is_taken_over(self, has: str, wants: str, fields: list[str], notes: list[str]) -> None:
        old = live(storage={"size": has})
        old = old.model_copy(update={"metadata": old.metadata.model_copy(update={"uid": "an earlier one"})})
        there = [each for each in stored(rendered(old)) if each["kind"] == "PersistentVolumeClaim"]
        found = planned(None, live(storage={"size": wants}), observed=there)
        (step,) = (step for step in found.steps if step.action == "adopt")
        assert [str(change) for change in step.fields] == fields
        assert list(found.notes) == notes

    def test_what_is_being_deleted_has_to_go_first_and_comes_again(self) -> None:
        there = stored(rendered(live()))
        next(each for each in there if each["kind"] == CLAIM)["metadata"]["deletionTimestamp"] = "2026-11-23T01:00:00Z"
        found = planned(live(), live(storage={"size": "2Gi"}), observed=there)
        assert "PersistentVolumeClaim data-demo-0 has to go first: it is being deleted" in found.notes
        assert [(each.problem, each.name) for each in found.drift] == [("missing", "data-demo-0")]

    def test_what_is_left_over_is_deleted(self) -> None:
        there = stored(rendered(live()))
        extra = copy.deepcopy(next(each for each in there if each["kind"] == "Service"))
        extra["metadata"]["name"] = "demo-old"
        assert reported(planned(live(), live(), observed=[*there, extra])) == {"delete Service demo-old"}

    def test_an_object_of_another_digest_is_compared_with_what_is_there(self) -> None:
        there = stored(rendered(live()))
        service = next(each for each in there if key_of(each) == ("Service", "demo-nats"))
        service["metadata"]["annotations"] = {ANNOTATION_APPLIED: "older"}
        service["spec"] = {**service["spec"], "type": "NodePort"}
        found = planned(live(), live(), observed=there)
        (step,) = found.steps
        assert [str(change) for change in step.fields] == ["spec.type: NodePort -> ClusterIP"]


@pytest.mark.parametrize(("declared", "began"), [("compact", "standard"), ("standard", "compact")])
@pytest.mark.parametrize("kept", [False, True], ids=["the system's", "an earlier one's"])
def test_volumes_of_the_other_profile_keep_a_system_from_beginning_with_nothing(
    declared: str, began: str, kept: bool
) -> None:
    claims = [each for each in stored(rendered(live(profile=began))) if each["kind"] == CLAIM]
    for each in claims if kept else ():
        each["metadata"]["labels"] = {**each["metadata"]["labels"], "bellwether.dev/system-uid": "an earlier one"}
    found = planned(None, live(profile=declared), observed=claims)
    assert [problem.path for problem in found.refusals] == ["spec.profile"]
    assert f"hold what this system did with profile {began}; declare that" in found.refusals[0].message
    by_operator = layout(live(profile=declared), [observed_from(each, CLAIM) for each in claims])
    assert by_operator.blocked
    assert by_operator.other_declaration == found.refusals[0].message


NO_GATEWAY = {"gateway": {"enabled": False}}
SPECS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"profile": st.just("standard")},
    optional={
        "version": st.sampled_from(["2", "3"]),
        "symbols": st.sampled_from([["CBA.AX"], ["CBA.AX", "BHP.AX"]]),
        "market": st.sampled_from([{"calendar": "XASX"}, CLOSED_TOMORROW]),
        "tasks": st.sampled_from([[], [{"name": "evening", "anchor": "close", "offset": "1h"}]]),
        "services": st.sampled_from([{"prediction": {"cpu": "200m"}}, NO_GATEWAY]),
        "rollout": st.sampled_from([{"policy": "Immediate"}, {"protectSession": False}]),
        "deletionPolicy": st.sampled_from(["Retain", "Delete"]),
        "podTemplate": st.just({"labels": {"team": "desk"}}),
    },
)
SLOWLY = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOWLY
@given(SPECS, SPECS, st.sampled_from([OPEN, CLOSED, CLOSE - timedelta(seconds=1), CLOSE]))
def test_after_all_steps_everything_is_as_declared(old: dict[str, Any], new: dict[str, Any], now: datetime) -> None:
    before, after = live(**old), live(**new)
    found = plan(before, after, now, INSTALLED)
    there = {key_of(each) for each in rendered(before, now)}
    for step in found.steps:
        key = Key(step.kind, step.name)
        assert (key in there) == (step.action in {"change", "remake", "delete"}), step
        there = there - {key} if step.action == "delete" else there | {key}
        there -= {Key(step.kind, step.replaces or "")}
    assert there == {key_of(each) for each in rendered(after, now)}
    assert found.empty == (before.spec == after.spec)


@SLOWLY
@given(SPECS, SPECS)
def test_only_what_differs_is_touched(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = {key_of(each): each for each in rendered(live(**old))}
    after = rendered(live(**new))
    phase = Phase(live(**new), None, {})
    phase.suppose(before.values())
    touched = {(step.kind, step.name) for step in step_through(phase, after)}
    differing = {key_of(each) for each in after if before.get(key_of(each)) != each}
    gone = {
        key for key in before if key not in {key_of(each) for each in after} and key.kind != "PersistentVolumeClaim"
    }
    assert touched == differing | gone
    assert all(phase.there[key_of(each)].raw == supposed(each).raw for each in after if each["kind"] not in WORKLOADS)


def test_live_keys_give_the_names_that_the_operator_gives() -> None:
    known = Installation(INSTALLED.image, public_keys={"gateway": "UA" + "B" * 54})
    names = [{each["metadata"]["name"] for each in rendered(live(), installation=one)} for one in (INSTALLED, known)]
    assert len(names[0] ^ names[1]) == 2
