"""A restore in place that the service `backup` of a cluster is asked for: checked, halted, kept until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.backups.restore_requests import HALT_SECONDS, REST_SECONDS
from bellwether.backups.service import BackupService, create
from bellwether.messages.backup import BackupRestored, EndRestore, RestoreBackup, RestoreEnded, RestoreRequest
from bellwether.messages.trading import Halt, HaltState
from bellwether.naming import DECLARATION_BUCKET, RESTORE_KEY
from bellwether.runtime.call import BUDGET, Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from harness.system import System, running

BACKUP = "20261126T213000Z"
ROWS = {
    "paper-trading": ServiceRow("paper-trading", "halts", serves=("halt",)),
    "backup": SERVICES["backup"],
}


@dataclass
class Asked:
    """A service of a cluster, and what it asked others."""

    system: System
    halts: list[str] = field(default_factory=list)

    async def restore(self, backup: str = BACKUP, location: str | None = None) -> BackupRestored:
        found: BackupRestored = await self.system.call(
            "backup", "restore_backup", RestoreBackup(backup, location), BackupRestored
        )
        return found

    async def refused(
        self, backup: str = BACKUP, location: str | None = None, budget: float = BUDGET
    ) -> tuple[str, str]:
        with pytest.raises(RpcError) as found:
            await self.system.call(
                "backup", "restore_backup", RestoreBackup(backup, location), BackupRestored, budget=budget
            )
        return found.value.code, found.value.message

    async def shown(self) -> Any:
        return (await self.system.call("backup", "health")).get("restore")

    async def end(self, request: str) -> str:
        found: RestoreEnded = await self.system.call("backup", "end_restore", EndRestore(request), RestoreEnded)
        return found.id


@pytest.fixture
async def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    halts: list[str] = []

    async def restorable(_: BackupService, backup: str, location: str | None) -> str:
        if location == "silent":
            await asyncio.Event().wait()
        if backup != BACKUP:
            raise RpcError("BACKUP_FAILED", f"location far has no backup {backup} of demo")
        return location or "far"

    def trader(context: ServiceContext) -> Service:
        service = Service("paper-trading", context)

        @service.rpc("halt")
        async def halt(request: Halt, call: Call) -> HaltState:
            halts.append(f"{request.source}: {request.reason}")
            return HaltState(halted=True, halts=list(halts))

        return service

    def in_a_pod(context: ServiceContext) -> Service:
        return create(replace(context, config=replace(context.config, backs_up=True)))

    monkeypatch.setattr(BackupService, "_restorable", restorable)
    locations = [{"name": "far", "kind": "s3", "url": "https://s3.example/trade", "secretRef": {"name": "far"}}]
    spec = {"symbols": ["CBA.AX"], "backup": {"locations": locations}}
    system = TradingSystem.model_validate({"metadata": {"name": "demo"}, "spec": spec})
    builds = {"paper-trading": trader, "backup": in_a_pod}
    async with running(builds, data_dir=tmp_path, declaration=system, rows=ROWS) as services:
        yield Asked(services, halts)


async def test_it_is_halted_kept_and_shown_until_it_is_over(asked: Asked) -> None:
    found = await asked.restore()
    assert (found.backup_id, found.status, found.location) == (BACKUP, "restore_requested", "far")
    assert asked.halts == [f"restore: restore of backup {BACKUP}"]
    shown = await asked.shown()
    assert found.at is not None
    assert (shown["backup_id"], shown["location"], shown["id"]) == (BACKUP, "far", f"{found.at:%Y%m%dT%H%M%SZ}")
    second = await asked.refused()
    assert second[0] == "RESTORE_UNDER_WAY"
    assert f"the restore of backup {BACKUP} from far, asked for {found.at:%Y-%m-%d %H:%M:%S} UTC" in second[1]
    assert len(asked.halts) == 1
    assert await asked.end("20200101T000000Z") == ""
    assert await asked.end(shown["id"]) == shown["id"]
    assert await asked.shown() is None
    again = await asked.restore(location="far")
    assert again.at is not None
    assert again.at > found.at


@pytest.mark.parametrize(
    ("backup", "location", "code", "words"),
    [
        ("20200101T000000Z", None, "RESTORE_REFUSED", "location far has no backup 20200101T000000Z of demo"),
        (BACKUP, "production", "PRODUCTION_REFUSED", "production: volume snapshots are made and restored by the"),
        ("--help", None, "INVALID_PARAMS", "backup_id: '--help' is none"),
    ],
)
async def test_what_cannot_be_restored_touches_nothing(
    asked: Asked, backup: str, location: str | None, code: str, words: str
) -> None:
    refusal = await asked.refused(backup, location)
    assert refusal[0] == code
    assert words in refusal[1]
    assert (asked.halts, await asked.shown()) == ([], None)


async def test_a_location_that_does_not_answer_is_given_up_while_there_is_time_to_say_so(asked: Asked) -> None:
    refusal = await asked.refused(location="silent", budget=HALT_SECONDS + REST_SECONDS + 0.1)
    assert refusal == ("RESTORE_REFUSED", "no location said in time that it has this backup: ask again")
    assert (asked.halts, await asked.shown()) == ([], None)


async def test_what_restored_streams_hold_of_another_system_is_not_shown_and_does_not_come_before_a_later_one(
    asked: Asked,
) -> None:
    bus = asked.system.services["backup"].context.bus
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    former = RestoreRequest(BACKUP, "far", later, "u-of-another")
    await bus.kv_put(DECLARATION_BUCKET, RESTORE_KEY, msgspec.json.encode(former))
    found = await asked.restore()
    assert found.at == later + timedelta(seconds=1)
    assert (await asked.shown())["uid"] != "u-of-another"
