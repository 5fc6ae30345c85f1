"""The operator and the exchange's time: schedules, held changes, budgets, pauses, slots; by a clock of the test's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether_operator.settings import Settings
from integration.operator.sessions import CLOSE, EVENING, MORNING, NOON, OPEN, Clock, live, running, settled, version_of

from .conftest import FakeGateway, Kube, eventually, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

JUNE = "demo-prediction-generation-202706-0945"


async def test_each_month_has_its_schedules_in_the_exchanges_time(kube: Kube, settings: Settings) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, MORNING)):
        await settled(kube)
        made = await kube.get("cronjob", JUNE)
    assert made is not None
    spec = made["spec"]
    # The king's birthday (14 June) is a holiday at the exchange.
    days = "1,2,3,4,7,8,9,10,11,15,16,17,18,21,22,23,24,25,28,29,30"
    assert (spec["schedule"], spec["timeZone"]) == (f"45 9 {days} 6 *", "Australia/Sydney")
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == ("Forbid", 900)
    assert "demo-prediction-generation-202707-0945" in await kube.names("cronjob")


async def test_a_replay_has_no_schedules(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings, Clock(kube, NOON)):
        await settled(kube)
        assert await kube.names("cronjob") == set()


async def test_an_override_makes_only_the_schedules_again_that_it_changes(kube: Kube, settings: Settings) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, MORNING)):
        await settled(kube)
        names = await kube.names("cronjob")
        before = {name: (await kube.get("cronjob", name) or {})["metadata"]["uid"] for name in names}
        closed = {"calendar": "XASX", "overrides": [{"date": "2027-06-11", "closed": True}]}
        await kube.patch("tsys", "demo", {"spec": {"market": closed}})

        async def made_again() -> bool:
            found = await kube.get("cronjob", JUNE)
            return found is not None and ",10,15," in found["spec"]["schedule"]

        await eventually("a schedule without the closed day", made_again)
        await kube.until_condition("demo", "Ready", "True")
        after = {name: (await kube.get("cronjob", name) or {})["metadata"]["uid"] for name in names}
    changed = {name for name in names if before[name] != after[name]}
    assert changed == {name for name in names if "-202706-" in name}


async def test_a_schedule_that_was_edited_is_made_again_and_not_edited_back(kube: Kube, settings: Settings) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, MORNING)):
        await settled(kube)
        before = await kube.get("cronjob", JUNE)
        assert before is not None
        await kube.patch("cronjob", JUNE, {"spec": {"schedule": "* * * * *"}})

        async def made_again() -> bool:
            found = await kube.get("cronjob", JUNE)
            return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

        await eventually("the schedule made again", made_again)
        after = await kube.get("cronjob", JUNE)
    assert after is not None
    assert after["spec"]["schedule"] == before["spec"]["schedule"]


async def test_a_new_release_waits_for_the_close(kube: Kube, settings: Settings) -> None:
    clock = Clock(kube, NOON)
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
        await kube.patch("tsys", "demo", {"spec": {"version": "dev-2"}})
        await kube("wait", "tsys/demo", "--for=condition=RolloutPending=True", "--timeout=120s")
        pending = await kube.until_condition("demo", "RolloutPending", "True", "SessionOpen")
        assert "dev-1 -> " in pending["message"]
        assert "2027-06-10T06:00" in pending["message"]
        assert await version_of(kube) == "dev-1"
        status = (await kube.get("tsys", "demo") or {})["status"]
        assert status["release"] == "dev-1"

        # What somebody changes meanwhile is put back to the release in force.
        await kube.patch("statefulset", "demo", {"spec": {"replicas": 0}})

        async def put_back() -> bool:
            return bool((await kube.get("statefulset", "demo") or {})["spec"]["replicas"] == 1)

        await eventually("replicas put back", put_back)
        assert await version_of(kube) == "dev-1"

        await clock.set(CLOSE)

        async def released() -> bool:
            return await version_of(kube) == "dev-2"

        await eventually("the new release after the close", released)
        await kube.until_condition("demo", "RolloutPending", "False", "NothingHeld")
        status = (await kube.get("tsys", "demo") or {})["status"]
        assert status["release"] == "dev-1", "dev-2 does not run yet"
        await kube.make_ready("demo")

        async def runs() -> bool:
            return bool((await kube.get("tsys", "demo") or {})["status"]["release"] == "dev-2")

        await eventually("the release that runs", runs)


async def test_a_new_operator_with_a_new_image_waits_for_the_close_too(kube: Kube, settings: Settings) -> None:
    clock = Clock(kube, NOON)
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
    newer = replace(settings, services_image=settings.services_image.replace("dev-1", "dev-9"))
    async with running(newer, clock):
        await kube.until_condition("demo", "RolloutPending", "True", "SessionOpen")
        assert await version_of(kube) == "dev-1"


async def test_immediate_does_not_wait(kube: Kube, settings: Settings) -> None:
    await kube.apply(live(kube, rollout={"policy": "Immediate"}))
    async with running(settings, Clock(kube, NOON)):
        await settled(kube)
        await kube.patch("tsys", "demo", {"spec": {"version": "dev-2"}})

        async def released() -> bool:
            return await version_of(kube) == "dev-2"

        await eventually("the new release at once", released)


async def test_the_disruption_budget_follows_the_session(kube: Kube, settings: Settings) -> None:
    clock = Clock(kube, NOON)

    async def allowed() -> int:
        found = await kube.get("pdb", "demo")
        return -1 if found is None else int(found["spec"]["maxUnavailable"])

    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
        assert await allowed() == 0
        await clock.set(EVENING)

        async def relaxed() -> bool:
            return await allowed() == 1

        await eventually("a budget of one after the close", relaxed)

        async def closed() -> bool:
            session = (await kube.get("tsys", "demo") or {})["status"]["session"]
            return (session["state"], session["date"]) == ("Closed", "2027-06-11")

        await eventually("the close in the status", closed)


async def test_the_open_itself_has_the_system_looked_at(kube: Kube, settings: Settings) -> None:
    """Nothing happens but time: the pass that the open asks for comes by itself."""
    began = asyncio.get_running_loop().time()

    def now() -> datetime:
        return OPEN - timedelta(seconds=6) + timedelta(seconds=asyncio.get_running_loop().time() - began)

    await kube.apply(live(kube))
    async with running(settings, now):

        async def protected() -> bool:
            found = await kube.get("pdb", "demo")
            return bool(found is not None and found["spec"]["maxUnavailable"] == 0)

        await eventually("a budget of zero once the session is open", protected)


async def test_a_pause_changes_no_pod_and_nothing_that_pods_use_until_it_is_over(
    kube: Kube, settings: Settings
) -> None:
    clock = Clock(kube, EVENING)
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
        until = (EVENING + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await kube.patch("tsys", "demo", {"spec": {"paused": {"until": until}, "version": "dev-2"}})
        paused = await kube.until_condition("demo", "Reconciling", "False", "Paused")
        assert until in paused["message"]
        await kube.until_condition("demo", "Ready", "False", "Paused")
        before = kube.operator_writes()
        await kube.delete("service", "demo-gateway")
        await clock.set(EVENING + timedelta(minutes=30))
        await kube.until_condition("demo", "Reconciling", "False", "Paused")
        assert await version_of(kube) == "dev-1"
        assert await kube.get("service", "demo-gateway") is None
        written = [each for each in kube.operator_writes()[len(before) :] if "tradingsystems" not in each]
        assert written == []
        await clock.set(EVENING + timedelta(hours=1))

        async def made() -> bool:
            return await kube.get("service", "demo-gateway") is not None and await version_of(kube) == "dev-2"

        await eventually("what waited for the end of the pause", made)


def image_of_jobs(cron_job: dict[str, Any]) -> str:
    return str(cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_in_a_pause_schedules_and_budgets_go_on_with_the_release_that_runs(
    kube: Kube, settings: Settings
) -> None:
    clock = Clock(kube, EVENING)
    over = EVENING + timedelta(days=2)
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
        pods = await kube.get("statefulset", "demo") or {}
        until = over.strftime("%Y-%m-%dT%H:%M:%SZ")
        await kube.patch("tsys", "demo", {"spec": {"paused": {"until": until}, "version": "dev-2"}})
        paused = await kube.until_condition("demo", "Reconciling", "False", "Paused")
        assert "StatefulSet demo" in paused["message"]
        assert "CronJob" not in paused["message"]
        closed = {"calendar": "XASX", "overrides": [{"date": "2027-06-15", "closed": True}]}
        tasks = [{"name": "prediction_generation", "anchor": "open", "offset": "-15m"}]
        await kube.patch("tsys", "demo", {"spec": {"market": closed, "tasks": tasks}})

        async def made_again() -> bool:
            found = await kube.get("cronjob", JUNE)
            gone = all(name.startswith("demo-prediction-generation-") for name in await kube.names("cronjob"))
            return gone and found is not None and ",11,16," in found["spec"]["schedule"]

        await eventually("a schedule without the closed day, and none of the tasks that are gone", made_again)
        found = await kube.get("cronjob", JUNE)
        assert found is not None
        assert image_of_jobs(found).endswith(":dev-1")

        async def protected() -> bool:
            return bool((await kube.get("pdb", "demo") or {})["spec"]["maxUnavailable"] == 0)

        await clock.set(OPEN + timedelta(days=1))
        await eventually("a budget of zero in the next session", protected)
        assert (await kube.get("statefulset", "demo") or {})["metadata"]["generation"] == pods["metadata"]["generation"]
        assert (await kube.get("tsys", "demo") or {})["status"]["release"] == "dev-1"

        await clock.set(over)

        async def released() -> bool:
            found = await kube.get("cronjob", JUNE)
            of_release = found is not None and image_of_jobs(found).endswith(":dev-2")
            return of_release and await version_of(kube) == "dev-2"

        await eventually("the new release after the pause", released)


DUE = datetime(2027, 6, 9, 23, 45, tzinfo=UTC)
SLOT_JOB = "demo-prediction-generation-20270610"


def backdated(gateway: FakeGateway, states: dict[str, str]) -> None:
    """Have the gateway answer for a scheduler that is there since a day."""
    jobs = [
        {"name": name, "task": name[:-9], "session": "2027-06-10", "due": DUE.isoformat(), "status": state}
        for name, state in states.items()
    ]
    gateway.more["slots"] = {"since": (DUE - timedelta(days=1)).isoformat(), "jobs": jobs}


async def the_job(kube: Kube, clock: Clock) -> dict[str, Any]:
    """Let the slot fall due; return the Job that is made of its name."""
    await clock.set(DUE + timedelta(minutes=1))
    job: dict[str, Any] = await eventually("a Job by the slot's name", lambda: kube.get("job", SLOT_JOB))
    return job


async def test_a_due_slot_that_nobody_started_gets_a_job_of_its_name_once(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    clock = Clock(kube, DUE - timedelta(minutes=5))
    backdated(gateway, {"morning_analysis-20270610": "completed"})
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
        assert await kube.names("job") == set()
        job = await the_job(kube, clock)
        assert job["metadata"]["ownerReferences"][0]["kind"] == "TradingSystem"
        await clock.set(DUE + timedelta(minutes=2))
        await kube.until_condition("demo", "Ready", "True")
        assert await kube.names("job") == {SLOT_JOB}
        await kube.patch("job", SLOT_JOB, {"metadata": {"finalizers": None}})
        await kube.delete("job", SLOT_JOB)

        async def again() -> bool:
            found = await kube.get("job", SLOT_JOB)
            return found is not None and found["metadata"]["uid"] != job["metadata"]["uid"]

        await eventually("a new Job for the slot that nobody claimed", again)
        backdated(gateway, {"prediction_generation-20270610": "completed", "morning_analysis-20270610": "completed"})

        async def known() -> bool:
            rows = (await kube.get("tsys", "demo") or {})["status"].get("tasks", [])
            return any(row["name"] == "prediction_generation" and row.get("last") for row in rows)

        await eventually("the slot known as done", known)
        await kube.delete("job", SLOT_JOB)
        await clock.set(DUE + timedelta(minutes=3))
        await kube.until_condition("demo", "Ready", "True")
        assert await kube.names("job") == set()


async def test_in_a_pause_a_slot_that_nobody_started_gets_its_job_from_the_release_that_runs(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    clock = Clock(kube, DUE - timedelta(minutes=5))
    backdated(gateway, {"morning_analysis-20270610": "completed"})
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
        until = (DUE + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await kube.patch("tsys", "demo", {"spec": {"paused": {"until": until}, "version": "dev-2"}})
        await kube.until_condition("demo", "Reconciling", "False", "Paused")
        job = await the_job(kube, clock)
        assert job["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":dev-1")


async def test_a_missed_slot_is_said_and_not_started(kube: Kube, settings: Settings, gateway: FakeGateway) -> None:
    clock = Clock(kube, DUE + timedelta(minutes=20))
    backdated(gateway, {"prediction_generation-20270610": "missed", "morning_analysis-20270610": "completed"})
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)

        async def said() -> bool:
            rows = (await kube.get("tsys", "demo") or {})["status"].get("tasks", [])
            times = {row["name"]: row for row in rows}
            return bool(times.get("prediction_generation", {}).get("missed") == "2027-06-09T23:45:00Z")

        await eventually("the missed slot in the status", said)
        rows = {row["name"]: row for row in (await kube.get("tsys", "demo") or {})["status"]["tasks"]}
        assert rows["prediction_generation"]["next"] == "2027-06-10T23:45:00Z"
        assert await kube.names("job") == set()


async def test_a_field_that_is_fought_over_is_left_alone_for_a_while(kube: Kube, settings: Settings) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, EVENING)):
        await settled(kube)

        async def back() -> bool:
            found = await kube.get("service", "demo-nats")
            return found is not None and found["spec"]["selector"]["app.kubernetes.io/component"] == "system"

        theirs = {"spec": {"selector": {"app.kubernetes.io/component": "theirs"}}}
        for _ in range(3):
            await kube.patch("service", "demo-nats", theirs, "--field-manager=stubborn")
            await eventually("the selector put back", back)
        await kube.patch("service", "demo-nats", theirs, "--field-manager=stubborn")
        await kube("wait", "tsys/demo", "--for=condition=Contested=True", "--timeout=120s")
        contested = await kube.until_condition("demo", "Contested", "True")
        assert "demo-nats" in contested["message"]
        assert "stubborn" in contested["message"]
        assert not await back()
        await kube.until_condition("demo", "Ready", "False", "Contested")


async def test_a_pass_with_nothing_to_do_writes_nothing(kube: Kube, settings: Settings) -> None:
    clock = Clock(kube, NOON)
    await kube.apply(live(kube))
    async with running(settings, clock) as operator:
        await settled(kube)

        async def a_pass() -> list[str]:
            """Have one more pass made; return what it wrote."""
            before, passes = len(kube.operator_writes()), operator.workers.passes
            await clock.set(NOON)

            async def made() -> bool:
                return operator.workers.passes > passes

            await eventually("another pass", made)
            return kube.operator_writes()[before:]

        async def quiet() -> bool:
            return await a_pass() == []

        await eventually("a pass without a write", quiet)
        assert [await a_pass() for _ in range(3)] == [[], [], []]


async def test_a_broken_system_does_not_hold_up_the_others(kube: Kube, settings: Settings) -> None:
    """Thirty systems that the API server refuses, over and over, and one that is well."""
    for number in range(30):
        name = f"bad-{number}"
        theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-declaration"}}
        await kube.create({**theirs, "data": {"theirs": "1"}})
        await kube.apply({**live(kube), "metadata": {"name": name, "namespace": kube.namespace}})
    async with running(settings, Clock(kube, EVENING)):
        await kube.until_condition("bad-29", "Stalled", "True", "NameTaken", seconds=120)
        await kube.apply(live(kube))
        await settled(kube)
        await kube.patch("tsys", "demo", {"spec": {"symbols": ["BHP.AX"]}})

        async def patched() -> bool:
            text = (await kube.get("configmap", "demo-declaration") or {})["data"]["system.json"]
            return "BHP.AX" in text and "MSFT" not in text

        await eventually("the edit in the child", patched)


async def test_ordered_models_get_an_indexed_job_once(kube: Kube, settings: Settings, gateway: FakeGateway) -> None:
    clock = Clock(kube, MORNING)
    await kube.apply(live(kube, training={"job": {"parallelism": 2}}))
    order = {"id": "ab" * 32, "targets": [None, "CBA.AX"], "done": 0}
    async with running(settings, clock):
        await settled(kube)
        assert await kube.names("job") == set()
        gateway.more["training"] = {"status": "training", "order": order}
        name = "demo-training-abababababab"
        job: dict[str, Any] = await eventually("the Job of the order", lambda: kube.get("job", name))
        assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 2)
        assert job["spec"]["backoffLimitPerIndex"] == 3
        assert job["metadata"]["annotations"]["bellwether.dev/targets"] == "0 all symbols, 1 CBA.AX"
        await clock.set(MORNING + timedelta(minutes=1))
        await kube.until_condition("demo", "Ready", "True")
        assert await kube.names("job") == {name}
        again = await kube.get("job", name)
        assert again is not None
        assert again["metadata"]["uid"] == job["metadata"]["uid"]
        # Once the gate has judged what there is, nobody makes it again.
        gateway.more["training"] = {"status": "idle", "order": None}
        await gateway.heard()
        await kube.patch("job", name, {"metadata": {"finalizers": None}})
        await clock.set(MORNING + timedelta(minutes=2))
        await kube.delete("job", name)
        await clock.set(MORNING + timedelta(minutes=3))
        await kube.until_condition("demo", "Ready", "True")
        assert await kube.names("job") == set()
