"""What is made from backups: tests of them, and systems; kubelet and driver are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import timedelta

import pytest

from bellwether.cli.main import main
from bellwether_operator.settings import Settings
from devcluster.errors import ClusterError
from integration.operator.backing_up import (
    CLAIM,
    DEFINITION,
    FAR,
    define,
    define_snapshots,
    kept,
    make,
    one,
    play_end,
    play_look,
    reason,
    until_cleared,
    until_going,
    until_made,
)

from .conftest import FakeGateway, Kube, eventually, running, system
from .sessions import CLOSE, Clock, live
from .sessions import running as running_by

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

RESTORED = json.dumps(
    {"pieces": 9, "rows": 12, "messages": 40, "orders": 3, "fills": 2, "seconds": 1.5, "decisions equal": 2}
)


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
        await play_end(kube, "again-fill", "fetching\nerror: location far: there is no such bucket\n", "Failed")
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
    await play_end(kube, "again-fill", "", "Complete")
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
    assert kube.operator_wrote("job", "claim") == {"create jobs", "patch persistentvolumeclaims"}


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
