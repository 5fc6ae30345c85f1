"""A running system that is restored in place; kubelet, controllers and gateway are played by the test."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether_operator.settings import Settings
from integration.operator.backing_up import (
    DEFINITION,
    FAR,
    define,
    define_snapshots,
    make,
    one,
    play_end,
    play_stopped,
    replicas,
)

from .conftest import FakeGateway, Kube, eventually, running, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

BACKUP = "20270609T203005Z"
REQUEST, AT = "20270610T203005Z", "2027-06-10T20:30:05Z"
JOB = "demo-restore-volumes-20270610t203005z"


async def up(kube: Kube) -> str:
    """Make a system that is ready; return its uid."""
    await kube.apply(system(kube, backup={"locations": [FAR]}))
    await eventually("the workload", lambda: kube.get("statefulset", "demo"))
    await kube.make_ready("demo")
    await kube.until_condition("demo", "Ready", "True")
    found = await kube.get("tsys", "demo")
    assert found is not None
    return str(found["metadata"]["uid"])


def asked(uid: str, request: str = REQUEST, at: str = AT) -> dict[str, Any]:
    return {"id": request, "backup_id": BACKUP, "location": "far", "at": at, "uid": uid, "ended": False}


async def until_step(kube: Kube, step: str) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        found = await kube.get("tsys", "demo")
        row: dict[str, Any] = ((found or {}).get("status") or {}).get("restore") or {}
        return row if row.get("step") == step else None

    found: dict[str, Any] = await eventually(f"the restore to be {step}", there)
    return found


async def until_replicas(kube: Kube, wanted: int) -> None:
    async def so() -> bool:
        return await replicas(kube) == wanted

    await eventually(f"{wanted} replicas", so)


async def reported(kube: Kube) -> set[str]:
    found = await kube.items("events.events.k8s.io")
    return {each["reason"] for each in found if each.get("action") == "RestoreChanged"}


async def test_it_has_no_pods_while_a_job_restores_and_the_operator_is_killed_in_the_middle(
    kube: Kube, granted: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    async with running(granted):
        uid = await up(kube)
        gateway.more["restore"] = asked(uid)
        row = await until_step(kube, "Stopping")
        assert (row["backup"], row["location"], row["requested"]) == (BACKUP, "far", AT)
        assert await kube.get("job", JOB) is None
        await until_replicas(kube, 0)
    # It was down when the last pod went.
    await play_stopped(kube)
    async with running(granted):
        job = await eventually("the Job", lambda: kube.get("job", JOB))
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert container["command"][3:9] == [
            *["restore-volumes", "--volumes", "/volumes", "--request", REQUEST, "--backup"]
        ]
        policy = await kube.get("networkpolicy", "demo-restore-volumes")
        assert policy is not None
        assert {each["port"] for way in policy["spec"]["egress"] for each in way["ports"]} == {53, 443}
        restoring = await kube.until_condition("demo", "Reconciling", "True", "Restoring")
        assert f"backup {BACKUP} of far is restored in place: a Job checks the backup" in restoring["message"]
        await kube.until_condition("demo", "Ready", "False", "Restoring")
        assert await replicas(kube) == 0

        # Nobody cuts volumes that are being exchanged.
        await make(kube, "friday")

        async def waits() -> bool:
            conditions = (await one(kube, "tbackup", "friday")).get("status", {}).get("conditions", [])
            return any(f"waiting for the restore of backup {BACKUP}" in each["message"] for each in conditions)

        await eventually("the backup to wait", waits)
        await kube("delete", "tbackup", "friday", "--wait=false")
    await play_end(kube, JOB, "", "Complete")
    async with running(granted):
        await until_step(kube, "Starting")
        await until_replicas(kube, 1)
        await kube.make_ready("demo")
        row = await until_step(kube, "Ended")
        assert (row["outcome"], row["message"].partition(":")[0]) == ("Restored", "restored, halted")
        assert row["ended"] >= row["started"]
        await kube.until_condition("demo", "Ready", "True")

        async def heard() -> bool:
            return gateway.ended == [REQUEST]

        await eventually("the service to hear that it is over", heard)
        assert await kube.get("networkpolicy", "demo-restore-volumes") is None

        # What the restored streams hold was asked for before.
        gateway.more["restore"] = asked(uid, "20270608T203005Z", "2027-06-08T20:30:05Z")

        async def heard_again() -> bool:
            return gateway.ended[1:] == ["20270608T203005Z"]

        await eventually("the older one to be dropped", heard_again)
        assert await replicas(kube) == 1
        assert (await until_step(kube, "Ended"))["requested"] == AT
    assert await reported(kube) == {"Restoring", "Restored"}
    jobs = [each["metadata"]["name"] for each in await kube.items("job")]
    assert jobs == [JOB]


async def test_one_that_is_refused_leaves_what_was_there_and_another_can_be_asked_for(
    kube: Kube, granted: Settings, gateway: FakeGateway
) -> None:
    async with running(granted):
        uid = await up(kube)
        gateway.more["restore"] = asked(uid)
        await play_stopped(kube)
        await until_step(kube, "Restoring")
        words = "fetching\nerror: location far: the password is not the one\n"
        await play_end(kube, JOB, words, "Failed", "PodFailurePolicy")
        row = await until_step(kube, "Ended")
        assert row["outcome"] == "Refused"
        assert row["message"] == (
            "it was not restored, what was there is as it was, halted: location far: the password is not the one"
        )
        await until_replicas(kube, 1)
        await kube.make_ready("demo")
        await kube.until_condition("demo", "Ready", "True")
        assert await reported(kube) == {"Restoring", "RestoreRefused"}

        async def heard() -> bool:
            return gateway.ended == [REQUEST]

        await eventually("the service to hear that it is over", heard)
        gateway.more["restore"] = asked(uid, "20270611T090000Z", "2027-06-11T09:00:00Z")
        await play_stopped(kube)
        again = "demo-restore-volumes-20270611t090000z"
        await eventually("another Job", lambda: kube.get("job", again))
        # The pods of the former one are still there, and speak of something else.
        await play_end(kube, again, "error: a disk is full\n", "Failed", "PodFailurePolicy")

        async def over() -> str:
            row = await until_step(kube, "Ended")
            return str(row["message"]) if row["requested"] == "2027-06-11T09:00:00Z" else ""

        assert str(await eventually("the end of the second one", over)).endswith("halted: a disk is full")


async def test_while_nobody_says_what_the_volumes_hold_there_are_no_pods(
    kube: Kube, granted: Settings, gateway: FakeGateway
) -> None:
    async with running(granted):
        gateway.more["restore"] = asked(await up(kube))
        await play_stopped(kube)
        await until_step(kube, "Restoring")
        await play_end(kube, JOB, "", "Failed", "BackoffLimitExceeded")

        async def said() -> bool:
            return f"delete Job {JOB} for another try" in (await until_step(kube, "Restoring"))["message"]

        await eventually("what to do about it", said)
        assert await replicas(kube) == 0
