"""A TradingBackup from its making to its end, with a real API server; kubelet and driver are played by the test."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from bellwether_operator.backups import running as backups_running
from bellwether_operator.backups import snapshots, steps
from bellwether_operator.settings import Settings
from integration.operator.backing_up import (
    CLAIM,
    DEFINITION,
    FAR,
    cut,
    define,
    define_snapshots,
    image,
    kept,
    make,
    one,
    play_look,
    play_stopped,
    ready,
    reason,
    replicas,
    until_cleared,
    until_made,
)

from .conftest import FakeGateway, Kube, eventually, running, system
from .sessions import CLOSE, Clock, live
from .sessions import running as running_by

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


async def test_services_that_hold_keep_their_pods(
    kube: Kube, settings: Settings, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seconds are too few for whoever plays the driver by hand.
    for module in (steps, backups_running):
        monkeypatch.setattr(module, "HOLD", timedelta(minutes=5))
    gateway.holds = True
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await make(kube, "nightly")

        async def made() -> list[str]:
            status = (await one(kube, "tbackup", "nightly")).get("status", {})
            names = [each["snapshot"] for each in status.get("volumes") or ()]
            return [name for name in names if await one(kube, "volumesnapshot", name)]

        (name,) = await eventually("the snapshot", made)
        await cut(kube, name, ready=True)
        await play_look(kube, "nightly")
        await kube("wait", "--for=condition=Complete", "tbackup/nightly", "--timeout=120s")
        status = (await one(kube, "tbackup", "nightly"))["status"]
        assert (status["heldMilliseconds"], status["secondsWithoutPods"], status["heldUntil"]) == (1250, 0, "")
        found = await kube.get("statefulset", "demo")
        assert found is not None
        assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (1, 1)


async def test_a_backup_quiesces_cuts_resumes_and_is_complete_also_over_a_restart(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await make(kube, "nightly", kind="incremental")
        await play_stopped(kube)

        async def made() -> bool:
            return bool(await one(kube, "volumesnapshot", f"nightly-{claim}"))

        found = await one(kube, "tbackup", "nightly")
        (claim,) = [each["claim"] for each in found["status"]["volumes"]]
        assert json.loads(found["status"]["declaration"])["spec"]["symbols"] == ["AAPL", "MSFT"]
        await eventually("the snapshot", made)
        assert await replicas(kube) == 0
    # The operator was down in the middle of it: the system stays without pods, and the backup goes on.
    async with running(settings):
        assert await replicas(kube) == 0
        await cut(kube, f"nightly-{claim}", ready=False)

        async def runs() -> bool:
            return await replicas(kube) == 1

        await eventually("the system to run again once it is cut", runs)
        assert await reason(kube, "nightly") == "Cut"
        await cut(kube, f"nightly-{claim}", ready=True)
        await eventually("the Job", lambda: kube.get("job", "nightly-look"))
        assert await reason(kube, "nightly") == "Verifying"
    # Nor does it end when the operator was down while a pod read what was cut.
    await play_look(kube, "nightly")
    async with running(settings):
        await kube("wait", "--for=condition=Complete", "tbackup/nightly", "--timeout=120s")
        healthy = await kube.until_condition("demo", "BackupHealthy", "True", "BackupComplete")
        assert healthy["message"].startswith("nightly: all 1 volumes are kept")
        await until_cleared(kube, "nightly", "verifyEndedAt")
    changed = await asyncio.gather(
        kube("patch", "tbackup", "nightly", "--type=merge", "-p", '{"spec":{"kind":"full"}}'), return_exceptions=True
    )
    assert "a backup cannot be changed: make another one" in str(changed[0])
    assert kube.operator_wrote("snapshot", "backup") == {"create volumesnapshots", "patch tradingbackups"}


async def test_what_lacks_files_though_its_driver_calls_it_ready_fails_and_its_scratch_goes(
    kube: Kube, granted: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    async with running(granted):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await make(kube, "torn")
        await ready(kube, "torn", CLAIM)
        job = await eventually("the Job", lambda: kube.get("job", "torn-look"))
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert f"{CLAIM}/ledger.db" in container["command"]
        scratch = await kube.get("pvc", "torn-look-0")
        assert scratch is not None
        assert scratch["spec"]["dataSource"]["name"] == f"torn-{CLAIM}"
        await play_look(kube, "torn", f"error: {CLAIM}/slots.db: missing", "Failed", "PodFailurePolicy")
        await kube("wait", "--for=condition=Failed", "tbackup/torn", "--timeout=120s")
        assert await reason(kube, "torn") == "NotWhole"
        unhealthy = await kube.until_condition("demo", "BackupHealthy", "False", "BackupFailed")
        assert f"{CLAIM}/slots.db: missing" in unhealthy["message"]
        await until_cleared(kube, "torn", "verifyEndedAt")


async def test_what_cannot_be_is_failed_with_its_reason(
    kube: Kube, settings: Settings, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "APPEARS", timedelta(seconds=3))
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    async with running(settings):
        await make(kube, "lost")
        await kube("wait", "--for=condition=Failed", "tbackup/lost", "--timeout=120s")
        assert await reason(kube, "lost") == "SystemNotFound"


async def test_while_no_backup_is_declared_nothing_of_snapshots_is_asked_or_written(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await kube.until_condition("demo", "Available", "True", "PodsReady")
    calls = kube.operator_calls()
    assert any(" statefulsets/" in call for call in calls)
    assert not [call for call in calls if " volumesnapshots/" in call]


async def test_a_cluster_without_snapshots_is_reported_by_conditions_and_the_system_goes_on(
    kube: Kube, settings: Settings, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests of this server define the real one.
    unknown = dataclasses.replace(snapshots.SNAPSHOTS, api_version="snapshot.storage.k8s.io/v0")
    monkeypatch.setattr(backups_running, "SNAPSHOTS", unknown)
    await define(kube, DEFINITION.read_text())
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await make(kube, "nightly")
        await kube("wait", "--for=condition=Failed", "tbackup/nightly", "--timeout=120s")
        assert await reason(kube, "nightly") == "SnapshotsUnavailable"
        unhealthy = await kube.until_condition("demo", "BackupHealthy", "False", "BackupFailed")
        assert "this cluster knows no VolumeSnapshots" in unhealthy["message"]
        await kube.until_condition("demo", "Available", "True", "PodsReady")
        assert await replicas(kube) == 1

        def figure() -> float | None:
            labels = {"namespace": kube.namespace, "system": "demo", "type": "BackupHealthy"}
            return REGISTRY.get_sample_value("bellwether_operator_backups", labels)

        assert figure() == 0
        await kube.delete("tsys", "demo")

        async def forgotten() -> bool:
            return figure() is None

        await eventually("its figure to go with the system", forgotten)


async def test_each_session_is_kept_and_what_has_outlived_its_use_goes_with_its_contents_by_the_granted_rights(
    kube: Kube, granted: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    backup = {
        "locations": [{"name": "snap", "kind": "volumeSnapshots"}],
        "schedule": {"offset": "30m"},
        "retention": {"count": 1},
    }
    clock = Clock(kube, CLOSE)
    first, second = "demo-20270610", "demo-20270611"
    async with running_by(granted, clock):
        await kube.apply(live(kube, backup=backup))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        none = await kube.until_condition("demo", "BackupHealthy", "Unknown", "NoBackups")
        assert none["message"].endswith("the first one is made after the next session")
        await clock.set(CLOSE + timedelta(minutes=30))
        await until_made(kube, first)
        found = await one(kube, "tbackup", first)
        assert found["spec"] == {"drill": False, "kind": "full", "location": "snap", "system": "demo"}
        await kept(kube, first, CLAIM)
        await kube.until_condition("demo", "BackupHealthy", "True", "BackupComplete")

        await clock.set(CLOSE + timedelta(days=1, minutes=31))
        await until_made(kube, second)
        held = json.dumps({"metadata": {"finalizers": ["example.com/driver-is-slow"]}})
        await kube("patch", "volumesnapshot", f"{first}-{CLAIM}", "--type=merge", "-p", held)
        await kept(kube, second, CLAIM)
        await eventually("its turn to go", lambda: is_pruning(kube, first))
        # The driver has not deleted it yet, so somebody can still see that something is kept.
        assert (await one(kube, "volumesnapshot", f"{first}-{CLAIM}"))["metadata"]["deletionTimestamp"]
        freed = json.dumps({"metadata": {"finalizers": None}})
        await kube("patch", "volumesnapshot", f"{first}-{CLAIM}", "--type=merge", "-p", freed)

        async def gone() -> bool:
            return not await one(kube, "tbackup", first)

        await eventually("it to be gone", gone)
        assert (await reason(kube, second)) == "Verified"
        assert await one(kube, "volumesnapshot", f"{second}-{CLAIM}")

        async def reported() -> bool:
            return bool((await kube.get("tsys", "demo") or {})["status"]["backups"]["made"] == "2027-06-11")

        await eventually("the second session in the status", reported)
    used = {call.partition("/")[0] for call in kube.operator_calls() if " volumesnapshots/" in call}
    assert used == {f"{verb} volumesnapshots" for verb in ("create", "delete", "get")}


async def test_each_session_is_kept_in_a_bucket_too_over_a_restart_and_forgotten_with_what_it_holds(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    backup = {"locations": [FAR], "schedule": {"offset": "30m"}}
    clock, first, second = Clock(kube, CLOSE), "demo-20270610-far", "demo-20270611-far"
    gateway.backup = {"step": "store", "said": "storing in far: 40 %"}
    async with running_by(settings, clock):
        await kube.apply(live(kube, backup=backup))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await clock.set(CLOSE + timedelta(minutes=30))
        await until_made(kube, first)

        async def storing() -> bool:
            return await reason(kube, first) == "Storing"

        await eventually("its progress", storing)
        found = await one(kube, "tbackup", first)
        assert found["spec"] == {"drill": False, "kind": "full", "location": "far", "system": "demo"}
        uid = found["metadata"]["uid"]
        assert gateway.ordered[0] == {"type": "full", "location": "far", "attempt": 1, "known": False, "id": uid}
    gateway.ordered.clear()
    done = {"state": "complete", "cut": "2027-06-10T20:30:05+00:00", "size": 3 << 20, "added": 2 << 20}
    gateway.backup = {**done, "backup_id": "b1", "type": "full", "session": "2027-06-10", "kept": ["b1"]}
    async with running_by(settings, clock):
        await kube("wait", "--for=condition=Complete", f"tbackup/{first}", "--timeout=120s")
        assert {order["id"] for order in gateway.ordered} == {uid}
        found = (await one(kube, "tbackup", first))["status"]
        assert found["repository"]["id"] == "b1"
        assert (found["size"], found["repository"]["where"]) == ("3.0Mi", FAR["url"])
        assert json.loads(found["declaration"])["spec"]["backup"]["locations"] == [FAR]
        healthy = await kube.until_condition("demo", "BackupHealthy", "True", "BackupComplete")
        assert "full backup b1 of session 2027-06-10 is whole in far" in healthy["message"]

        cut = "2027-06-11T20:30:05+00:00"
        gateway.backup |= {"backup_id": "b2", "type": "incremental", "cut": cut, "kept": ["b2"]}
        await clock.set(CLOSE + timedelta(days=1, minutes=31))
        await until_made(kube, second)

        async def gone() -> bool:
            return not await one(kube, "tbackup", first)

        await eventually("what the bucket keeps no more to be gone", gone)
        await kube("wait", "--for=condition=Complete", f"tbackup/{second}", "--timeout=120s")
        assert gateway.ordered[-1]["known"] is True
        assert (await one(kube, "tbackup", second))["spec"]["kind"] == "incremental"
        gateway.backup = {"state": "failed", "said": "location far: there is no such bucket", "final": True}
        await clock.set(CLOSE + timedelta(days=1, minutes=32))
        await make(kube, "by-hand", location="far")
        failed = await kube.until_condition("demo", "BackupHealthy", "False", "BackupFailed")
        assert failed["message"].startswith("by-hand: location far: there is no such bucket; the newest good one is")
        await make(kube, "nowhere", location="fra")
        await kube("wait", "--for=condition=Failed", "tbackup/nowhere", "--timeout=120s")
        assert await reason(kube, "nowhere") == "LocationNotFound"
    assert kube.operator_wrote("volumesnapshots") == set()


async def is_pruning(kube: Kube, name: str) -> bool:
    gone = await one(kube, "tbackup", name)
    snapshot = await one(kube, "volumesnapshot", f"{name}-{CLAIM}")
    return bool(gone) and await reason(kube, name) == "Pruning" and "deletionTimestamp" in snapshot["metadata"]


async def test_a_new_release_waits_for_a_backup_of_what_the_former_one_wrote(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    backup = {"locations": [{"name": "snap", "kind": "volumeSnapshots"}]}
    async with running(settings):
        await kube.apply(system(kube, backup=backup))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await kube.until_condition("demo", "Available", "True", "PodsReady")
        before = await image(kube)
        await kube.apply(system(kube, backup=backup, version="9.9.9"))
        pending = await kube.until_condition("demo", "RolloutPending", "True", "BackupPending")
        assert pending["message"].startswith("release 9.9.9 waits for backup demo-2")

        async def made() -> str:
            found: list[str] = (await kube("get", "tbackup", "-o", "name")).split()
            return found[0].rpartition("/")[2] if found else ""

        await eventually("the backup", made)
        name = await made()
        await play_stopped(kube)
        assert await image(kube) == before
    # The operator was down in the middle of it: the release still waits, for the same backup.
    async with running(settings):
        await kept(kube, name, CLAIM)

        async def rolled_out() -> bool:
            return (await image(kube)).endswith(":9.9.9") and await replicas(kube) == 1

        await eventually("the new release", rolled_out)
        assert await made() == name
        await kube.make_ready("demo")

        async def forgotten() -> bool:
            status = (await kube.get("tsys", "demo") or {})["status"]
            return bool(status["release"] == "9.9.9" and "upgrade" not in status)

        await eventually("the status to name the release that runs", forgotten)
        assert len((await kube("get", "tbackup", "-o", "name")).split()) == 1


async def test_a_new_release_waits_for_a_backup_in_a_bucket_where_that_is_all_that_is_declared(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    gateway.backup = {"step": "store", "said": "storing in far: 40 %"}
    async with running(settings):
        await kube.apply(system(kube, backup={"locations": [FAR]}))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await kube.until_condition("demo", "Available", "True", "PodsReady")
        before = await image(kube)
        await kube.apply(system(kube, backup={"locations": [FAR]}, version="9.9.9"))

        async def asked() -> list[Any]:
            return gateway.ordered

        (order, *_) = await eventually("the order", asked)
        assert (order["type"], order["location"]) == ("incremental", "far")
        assert await image(kube) == before
        done = {"state": "complete", "cut": "2027-06-10T20:30:05+00:00", "size": 3, "added": 2, "kept": ["b1"]}
        gateway.backup = {**done, "backup_id": "b1", "type": "incremental", "session": "2027-06-10"}

        async def rolled_out() -> bool:
            return (await image(kube)).endswith(":9.9.9")

        await eventually("the new release", rolled_out)
