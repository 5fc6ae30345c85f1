"""A TradingBackup from its making to its end, with a real API server; kubelet and driver are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from bellwether.cli.main import main
from bellwether_operator.backups import running as backups_running
from bellwether_operator.backups import snapshots, steps
from bellwether_operator.settings import Settings
from devcluster import build
from devcluster.errors import ClusterError
from environments.machine import CLUSTERS

from .conftest import FakeGateway, Kube, eventually, running, system
from .test_sessions import CLOSE, Clock, live
from .test_sessions import running as running_by

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

DEFINITION = Path(__file__).resolve().parents[3] / "crds" / "tradingbackups.bellwether.dev.yaml"
CLAIM = "data-demo-0"


async def define(kube: Kube, text: str) -> None:
    name = yaml.safe_load(text)["metadata"]["name"]
    await kube("apply", "-f", "-", stdin=text)
    await kube("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")

    async def listed() -> bool:
        # The store of a kind that was just defined refuses reads while it is made.
        with contextlib.suppress(ClusterError):
            await kube("get", name)
            return True
        return False

    await eventually(f"{name} to be listed", listed)


async def define_snapshots(kube: Kube) -> None:
    await define(kube, (build.programs_folder(CLUSTERS) / "crds" / "volumesnapshots.yaml").read_text())


async def make(kube: Kube, name: str, **spec: Any) -> None:
    body = {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingBackup",
        "metadata": {"name": name},
        "spec": {"system": "demo", **spec},
    }
    await kube("create", "-f", "-", stdin=json.dumps(body))


async def one(kube: Kube, kind: str, name: str) -> dict[str, Any]:
    text = await kube("get", kind, name, "-o", "json", "--ignore-not-found")
    found: dict[str, Any] = json.loads(text) if text.strip() else {}
    return found


async def reason(kube: Kube, name: str) -> str:
    conditions = (await one(kube, "tbackup", name)).get("status", {}).get("conditions", [])
    return next((str(each["reason"]) for each in conditions if each["type"] == "Complete"), "")


async def replicas(kube: Kube) -> int:
    found = await kube.get("statefulset", "demo")
    return -1 if found is None else int(found["spec"]["replicas"])


async def play_stopped(kube: Kube) -> None:
    """Say what the controller says of a StatefulSet that has no pod left."""

    async def reported() -> bool:
        return await replicas(kube) == 0

    await eventually("the workload to have no replicas", reported)
    found = await kube.get("statefulset", "demo")
    assert found is not None
    counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "currentReplicas"), 0)
    status = {"observedGeneration": found["metadata"]["generation"], **counts}
    await kube.patch("statefulset", "demo", {"status": status}, "--subresource=status")


async def cut(kube: Kube, name: str, *, ready: bool) -> None:
    status = {
        "boundVolumeSnapshotContentName": f"c-{name}",
        "creationTime": "2026-11-27T21:30:05Z",
        "readyToUse": ready,
    }
    patch = json.dumps({"status": status})
    await kube("patch", "volumesnapshot", name, "--subresource=status", "--type=merge", "-p", patch)


FIGURES = json.dumps(
    {"databases": {"ledger.db": {"rows": 12, "sha256": "ab12"}}, "rows": 12, "files": 3, "bytes": 99, "seconds": 0.2}
)


RESTORED = json.dumps(
    {"pieces": 9, "rows": 12, "messages": 40, "orders": 3, "fills": 2, "seconds": 1.5, "decisions equal": 2}
)


async def play_look(
    kube: Kube, backup: str, said: str = FIGURES, kind: str = "Complete", why: str = "CompletionsReached"
) -> None:
    """Play the pod that reads a backup, which says something and ends, and its Job's controller."""
    job = await eventually("the Job", lambda: kube.get("job", f"{backup}-look"))
    kinds = {"Complete": ("SuccessCriteriaMet", kind), "Failed": ("FailureTarget", kind)}[kind]
    template, at = job["spec"]["template"], "2026-11-27T22:00:00Z"
    name = f"{job['metadata']['name']}-x"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    pod = {"metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    await kube.apply(account)
    await kube.apply({"apiVersion": "v1", "kind": "Pod", **pod})
    container = {"name": "look", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    ended = {"terminated": {"exitCode": 0, "startedAt": at, "finishedAt": at, "message": said}}
    status: dict[str, Any] = {"phase": "Succeeded", "containerStatuses": [{**container, "state": ended}]}
    await kube.patch("pod", name, {"status": status}, "--subresource=status")
    reported = {"status": "True", "reason": why, "lastTransitionTime": at, "lastProbeTime": at}
    done: dict[str, Any] = {"startTime": at, "conditions": [{**reported, "type": each} for each in kinds]}
    done |= {"completionTime": at, "succeeded": 1} if kind == "Complete" else {"failed": 1}
    await kube.patch("job", job["metadata"]["name"], {"status": done}, "--subresource=status")


async def until_cleared(kube: Kube, backup: str, field: str) -> None:
    """Wait until all that was made to read a backup is gone; no controllers run here, so they are played."""
    await kube.delete("pod", f"{backup}-look-x", wait=False)
    for kind, name in (("pvc", f"{backup}-look-0"), ("job", f"{backup}-look")):
        await until_going(kube, kind, name)

    async def over() -> bool:
        return bool((await one(kube, "tbackup", backup))["status"][field])

    await eventually("the end of it", over)
    assert await kube.get("pvc", f"{backup}-look-0") is None
    assert await kube.get("job", f"{backup}-look") is None


async def until_going(kube: Kube, kind: str, name: str) -> None:
    """Wait until an object is deleted, and take away what a controller that does not run here would."""

    async def going() -> bool:
        found = await kube.get(kind, name)
        return found is None or "deletionTimestamp" in found["metadata"]

    await eventually(f"{kind} {name} to be deleted", going)
    if await kube.get(kind, name) is not None:
        with contextlib.suppress(ClusterError):
            await kube.patch(kind, name, {"metadata": {"finalizers": None}})


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
        await kube("wait", "--for=condition=Complete", "tbackup/nightly", "--timeout=30s")
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
        await kube("wait", "--for=condition=Complete", "tbackup/nightly", "--timeout=30s")
        healthy = await kube.until_condition("demo", "BackupHealthy", "True", "BackupComplete")
        assert healthy["message"].startswith("nightly: all 1 volumes are kept")
        await until_cleared(kube, "nightly", "verifyEndedAt")
    changed = await asyncio.gather(
        kube("patch", "tbackup", "nightly", "--type=merge", "-p", '{"spec":{"kind":"full"}}'), return_exceptions=True
    )
    assert "a backup cannot be changed: make another one" in str(changed[0])
    writes = {line.partition("/")[0] for line in kube.operator_writes()}
    assert {write for write in writes if "snapshot" in write or "backup" in write} == {
        "create volumesnapshots",
        "patch tradingbackups",
    }


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
        await kube("wait", "--for=condition=Failed", "tbackup/torn", "--timeout=30s")
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
        await kube("wait", "--for=condition=Failed", "tbackup/lost", "--timeout=30s")
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
        await kube("wait", "--for=condition=Failed", "tbackup/nightly", "--timeout=30s")
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


async def ready(kube: Kube, name: str, claim: str) -> None:
    """Play kubelet and driver for a backup until its snapshot can be restored."""

    async def there() -> bool:
        return bool(await one(kube, "volumesnapshot", f"{name}-{claim}"))

    await play_stopped(kube)
    await eventually(f"the snapshot of {name}", there)
    await cut(kube, f"{name}-{claim}", ready=True)


async def kept(kube: Kube, name: str, claim: str) -> None:
    """Play kubelet, driver and what reads a backup until it is complete and nothing of that is left."""
    await ready(kube, name, claim)
    await play_look(kube, name)
    await kube("wait", "--for=condition=Complete", f"tbackup/{name}", "--timeout=30s")
    await until_cleared(kube, name, "verifyEndedAt")


async def until_made(kube: Kube, name: str) -> None:
    async def there() -> bool:
        return bool(await one(kube, "tbackup", name))

    await eventually(f"the backup {name}", there)


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


FAR = {"name": "far", "kind": "s3", "url": "https://s3.example/trade", "secretRef": {"name": "far-repository"}}


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
        await kube("wait", "--for=condition=Complete", f"tbackup/{first}", "--timeout=30s")
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
        await kube("wait", "--for=condition=Complete", f"tbackup/{second}", "--timeout=30s")
        assert gateway.ordered[-1]["known"] is True
        assert (await one(kube, "tbackup", second))["spec"]["kind"] == "incremental"
        gateway.backup = {"state": "failed", "said": "location far: there is no such bucket", "final": True}
        await clock.set(CLOSE + timedelta(days=1, minutes=32))
        await make(kube, "by-hand", location="far")
        failed = await kube.until_condition("demo", "BackupHealthy", "False", "BackupFailed")
        assert failed["message"].startswith("by-hand: location far: there is no such bucket; the newest good one is")
        await make(kube, "nowhere", location="fra")
        await kube("wait", "--for=condition=Failed", "tbackup/nowhere", "--timeout=30s")
        assert await reason(kube, "nowhere") == "LocationNotFound"
    assert not [line for line in kube.operator_writes() if "volumesnapshots" in line]


async def test_a_backup_in_a_bucket_is_restored_for_a_test_on_the_declared_day_and_all_of_it_goes(
    kube: Kube, granted: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    # The session of CLOSE is a Thursday's.
    backup = {"locations": [FAR], "schedule": {"offset": "30m"}, "drill": {"weekdays": ["Thu"]}}
    clock, name = Clock(kube, CLOSE), "demo-20270610-far"
    done = {"state": "complete", "cut": "2027-06-10T20:30:05+00:00", "size": 3 << 30, "added": 2 << 20}
    key = "20270610T203005Z"
    gateway.backup = {**done, "backup_id": key, "type": "full", "session": "2027-06-10", "kept": [key]}
    async with running_by(granted, clock):
        await kube.apply(live(kube, backup=backup))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await clock.set(CLOSE + timedelta(minutes=30))
        await until_made(kube, name)
        assert (await one(kube, "tbackup", name))["spec"]["drill"] is True
        job = await eventually("the Job", lambda: kube.get("job", f"{name}-look"))
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert json.loads(container["command"][-1]) == {"repository": FAR, "system": "demo", "id": key}
        scratch, policy = await kube.get("pvc", f"{name}-look-0"), await kube.get("networkpolicy", f"{name}-look")
        assert scratch is not None
        assert policy is not None
        assert scratch["spec"]["resources"]["requests"]["storage"] == "6Gi"
        assert {each["port"] for way in policy["spec"]["egress"] for each in way["ports"]} == {53, 443}
    # The operator was down in the middle of it.
    await play_look(kube, name, RESTORED)
    async with running_by(granted, clock):
        verified = await kube.until_condition("demo", "RestoreVerified", "True", "Restored")
        assert verified["message"].startswith(f"{name}: 9 pieces, 12 rows, 40 messages, 3 orders, 2 fills, restored in")
        await until_cleared(kube, name, "drillEndedAt")
        assert await kube.get("networkpolicy", f"{name}-look") is None

        await clock.set(CLOSE + timedelta(minutes=32))
        await make(kube, "by-hand", location="far", drill=True)
        await play_look(
            kube, "by-hand", f"error: backup {key} cannot be trusted: ledger.db", "Failed", "PodFailurePolicy"
        )
        failed = await kube.until_condition("demo", "RestoreVerified", "False", "RestoreFailed")
        assert failed["message"] == f"by-hand: backup {key} cannot be trusted: ledger.db"
        await until_cleared(kube, "by-hand", "drillEndedAt")


async def is_pruning(kube: Kube, name: str) -> bool:
    gone = await one(kube, "tbackup", name)
    snapshot = await one(kube, "volumesnapshot", f"{name}-{CLAIM}")
    return bool(gone) and await reason(kube, name) == "Pruning" and "deletionTimestamp" in snapshot["metadata"]


async def test_a_backup_is_restored_for_a_test_and_all_that_was_made_for_it_goes(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await make(kube, "friday", drill=True)
        await kept(kube, "friday", CLAIM)
        await eventually("the Job", lambda: kube.get("job", "friday-look"))
    # The operator was down in the middle of it.
    await play_look(kube, "friday")
    async with running(settings):
        verified = await kube.until_condition("demo", "RestoreVerified", "True", "Restored")
        assert verified["message"].startswith("friday: ledger.db 12 rows (ab12); 3 files, 99 bytes")
        await until_cleared(kube, "friday", "drillEndedAt")
        assert await reason(kube, "friday") == "Verified"


async def test_a_system_is_restored_from_a_backup_under_another_name(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    restored = system(kube, "again", restoreFrom={"backup": "friday"})
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        await kube.apply(restored)
        waiting = await kube.until_condition("again", "Reconciling", "True", "Retrying")
        assert "there is no TradingBackup friday in this namespace" in waiting["message"]
        assert await kube.get("pvc", "data-again-0") is None
        assert await kube.get("statefulset", "again") is None

        await make(kube, "friday")
        await kept(kube, "friday", CLAIM)
        await eventually("the restored workload", lambda: kube.get("statefulset", "again"))
        volume = await kube.get("pvc", "data-again-0")
        assert volume is not None
        source = volume["spec"]["dataSource"]
        assert (source["kind"], source["name"]) == ("VolumeSnapshot", f"friday-{CLAIM}")
        pods = await kube.get("statefulset", "again")
        assert pods is not None
        first = pods["spec"]["template"]["spec"]["initContainers"][0]
        assert first["command"][3:] == ["adopt", "--source", "backup friday"]

    # Once restored nothing depends on the backup.
    await kube("delete", "tbackup", "friday", "--wait=true")
    async with running(settings):
        await kube.apply({**restored, "spec": {**restored["spec"], "symbols": ["AAPL"]}})

        async def taken_up() -> bool:
            found = await kube.condition("again", "Accepted")
            return found is not None and found["observedGeneration"] == 2 and found["status"] == "True"

        await eventually("the edit", taken_up)
        stalled = await kube.condition("again", "Stalled")
        assert stalled is not None
        assert stalled["status"] == "False"


async def test_one_command_makes_a_system_of_the_other_profile_from_a_backup(
    kube: Kube, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await define(kube, DEFINITION.read_text())
    await define_snapshots(kube)
    monkeypatch.setenv("KUBECONFIG", str(kube.cluster.kubeconfig))
    words = ["profile", "demo", "--to", "standard", "--as", "other", "-n", kube.namespace]
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the workload", lambda: kube.get("statefulset", "demo"))
        await kube.make_ready("demo")
        assert await asyncio.to_thread(main, words) == 0
        printed = capsys.readouterr().out
        await kube("apply", "-f", "-", stdin=printed)
        await kept(kube, "other-from-demo", CLAIM)
        await eventually("a restored workload", lambda: kube.get("statefulset", "other-paper-trading"))
        claims = [each for each in await kube.items("pvc") if each["metadata"]["name"].startswith("data-other-")]
        sources = {each["spec"].get("dataSource", {}).get("name") for each in claims}
        assert (len(claims) > 3, sources) == (True, {f"other-from-demo-{CLAIM}"})
        pods = await kube.get("statefulset", "other-paper-trading")
        assert pods is not None
        first = pods["spec"]["template"]["spec"]["initContainers"][0]
        adopting = ["adopt", "--source", "backup other-from-demo", "--keep", "paper-trading", "--keep", "ledger.db"]
        assert first["command"][3:10] == adopting
        assert await kube.get("statefulset", "demo") is not None
        assert await asyncio.to_thread(main, words) == 1
        assert "there is a TradingBackup other-from-demo already" in capsys.readouterr().err


async def play_fill(kube: Kube, said: str, kind: str) -> None:
    """Play the pod that fills volumes, which says something and ends, and its Job's controller."""
    job = await kube.get("job", "again-fill")
    assert job is not None
    template, at = job["spec"]["template"], "2026-11-27T22:00:00Z"
    await kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    pod = {"metadata": {"name": f"fill-{kind.lower()}", "labels": template["metadata"]["labels"]}}
    await kube.apply({"apiVersion": "v1", "kind": "Pod", **pod, "spec": template["spec"]})
    container = {"name": "fill", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    ended = {"terminated": {"exitCode": 3, "startedAt": at, "finishedAt": at, "message": said}}
    status = {"phase": "Failed", "containerStatuses": [{**container, "state": ended}]}
    await kube.patch("pod", pod["metadata"]["name"], {"status": status}, "--subresource=status")
    kinds = {"Complete": ("SuccessCriteriaMet", "Complete"), "Failed": ("FailureTarget", "Failed")}[kind]
    conditions = [{"type": one, "status": "True", "lastTransitionTime": at, "lastProbeTime": at} for one in kinds]
    done: dict[str, Any] = {"startTime": at, "conditions": conditions}
    done |= {"completionTime": at, "succeeded": 1} if kind == "Complete" else {"failed": 1}
    await kube.patch("job", "again-fill", {"status": done}, "--subresource=status")


async def test_volumes_are_filled_from_a_repository_before_there_is_a_pod(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    source = {"repository": FAR, "system": "demo", "id": "20270610T203005Z"}
    wanted = system(kube, "again", restoreFrom=source)

    async def filling() -> bool:
        found = await kube.get("job", "again-fill")
        return found is not None and "deletionTimestamp" not in found["metadata"]

    async with running(settings):
        await kube.apply(wanted)
        await eventually("the Job", filling)
        assert await kube.get("pvc", "data-again-0") is not None
        assert await kube.get("networkpolicy", "again-fill") is not None
        waiting = await kube.until_condition("again", "Reconciling", "True", "Retrying")
        assert "the volumes are filled from backup 20270610T203005Z of demo in https://s3" in waiting["message"]
        await play_fill(kube, "fetching\nerror: location far: there is no such bucket\n", "Failed")
        refused = await kube.until_condition("again", "Accepted", "False", "RestoreRefused")
        assert "location far: there is no such bucket; put it right, then delete Job again-fill" in refused["message"]
        assert await kube.get("statefulset", "again") is None
        former = await kube.get("job", "again-fill")
        assert former is not None
        await kube.delete("job", "again-fill", wait=False)
        with contextlib.suppress(ClusterError):  # the controller that takes its finalizer away does not run here
            await kube.patch("job", "again-fill", {"metadata": {"finalizers": None}})

        async def another() -> bool:
            found = await kube.get("job", "again-fill")
            return found is not None and found["metadata"]["uid"] != former["metadata"]["uid"]

        await eventually("another Job", another)
    # The operator had ended before that.
    await play_fill(kube, "", "Complete")
    async with running(settings):
        await eventually("the restored workload", lambda: kube.get("statefulset", "again"))
        volume, pods = await kube.get("pvc", "data-again-0"), await kube.get("statefulset", "again")
        assert volume is not None
        assert pods is not None
        assert volume["metadata"]["annotations"]["bellwether.dev/filled-from"].startswith("backup 20270610T203005Z")
        first = pods["spec"]["template"]["spec"]["initContainers"][0]
        assert first["command"][3:5] == ["adopt", "--source"]
        assert "--apart" not in first["command"]
    # From here on nothing depends on the Job.
    await kube.delete("job", "again-fill", wait=False)
    await until_going(kube, "job", "again-fill")
    async with running(settings):
        await kube.apply({**wanted, "spec": {**wanted["spec"], "symbols": ["AAPL"]}})

        async def taken_up() -> bool:
            found = await kube.condition("again", "Accepted")
            return found is not None and found["observedGeneration"] == 2 and found["status"] == "True"

        await eventually("the edit", taken_up)
        assert not await filling()
        assert await kube.get("networkpolicy", "again-fill") is None
    writes = {line.partition("/")[0] for line in kube.operator_writes()}
    assert {one for one in writes if "job" in one or "claim" in one} == {
        "create jobs",
        "patch persistentvolumeclaims",
    }


async def test_a_volume_that_was_kept_is_not_taken_for_a_restored_one(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    async with running(settings):
        await kube.apply(system(kube))
        await eventually("the volume", lambda: kube.get("pvc", CLAIM))
        await kube.delete("tsys", "demo")
        await kube.apply(system(kube, restoreFrom={"backup": "friday"}))
        refused = await kube.until_condition("demo", "Accepted", "False", "RestoreRefused")
        assert f"{CLAIM} is there and was not made from backup friday" in refused["message"]


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


async def image(kube: Kube) -> str:
    found = await kube.get("statefulset", "demo")
    assert found is not None
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])
