"""The service `backup`: the old shapes, what it refuses, and the backup that is due after the close."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.backups.service import create
from bellwether.market.declared import BACKUP_TASK
from bellwether.market.slots import slots
from bellwether.messages.backup import BackupMade, BackupRestored, Backups, CreateBackup, ListBackups, RestoreBackup
from bellwether.messages.scheduling import SlotJobs
from bellwether.runtime.errors import RpcError
from bellwether.scheduling import service as scheduling
from bellwether.scheduling.time_settings import read
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from harness.replayed import until
from harness.system import running
from integration.backups.conftest import Lab, system_of

pytestmark = pytest.mark.integration

ROWS = {"backup": SERVICES["backup"]}


async def asked(data_dir: Path, system: TradingSystem, *questions: tuple[str, Any, Any]) -> list[Any]:
    """Return the service's answers, or the code and words of its refusals."""
    found: list[Any] = []
    async with running({"backup": create}, data_dir=data_dir, declaration=system, rows=ROWS) as running_system:
        for method, params, result in questions:
            try:
                found.append(await running_system.call("backup", method, params, result, budget=240))
            except RpcError as error:
                found.append((error.code, error.message))
    return found


async def test_a_backup_is_made_and_listed_and_a_restore_is_sent_outside(lab: Lab) -> None:
    made, listed, refused = await asked(
        lab.place.root / "data",
        lab.system,
        ("create_backup", CreateBackup("auto"), BackupMade),
        ("list_backups", ListBackups(), Backups),
        ("restore_backup", RestoreBackup("20261127T213000Z"), BackupRestored),
    )
    assert isinstance(made, BackupMade), made
    assert (made.status, made.type, made.session) == ("complete", "full", "2009-01-16")
    assert made.databases_backed_up == ["bars.db", "decisions.db", "ledger.db", "slots.db"]
    assert [row.backup_id for row in listed.backups] == [made.backup_id]
    assert refused[0] == "RESTORE_FROM_OUTSIDE"
    assert "`bellwether restore 20261127T213000Z`" in refused[1]


async def test_production_and_what_is_not_declared_are_refused_in_words(tmp_path: Path) -> None:
    plain = system_of()
    folder = {"name": "disk", "kind": "folder", "path": "/srv/backup", "secretRef": {"name": "repo"}}
    (none,) = await asked(tmp_path, plain, ("create_backup", CreateBackup(), BackupMade))
    assert none[0] == "NO_BACKUP_DECLARED"
    questions = (
        ("create_backup", CreateBackup(location="production"), BackupMade),
        ("restore_backup", RestoreBackup("x", "production"), BackupRestored),
        ("create_backup", CreateBackup(), BackupMade),
    )
    production, restore, elsewhere = await asked(tmp_path, system_of(locations=[folder]), *questions)
    assert production[0] == restore[0] == "PRODUCTION_REFUSED"
    assert "production: volume snapshots are made and restored by the operator" in production[1]
    assert elsewhere[0] == "NOT_HERE"


def test_the_backup_of_a_session_is_due_half_an_hour_after_its_close_and_on_no_closed_day() -> None:
    spec = {
        "market": {"calendar": "XNYS"},
        "symbols": ["AAPL"],
        "backup": {"locations": [{"name": "snap", "kind": "volumeSnapshots"}], "schedule": {}},
    }
    system = TradingSystem.model_validate({"metadata": {"name": "kept"}, "spec": spec})
    words = read(system, backs_up=True)
    start = datetime(2026, 11, 25, tzinfo=UTC)
    due = [
        one.due
        for one in slots(words.tasks, words.calendar, start, start + timedelta(days=4))
        if one.task == BACKUP_TASK
    ]
    # Thanksgiving is closed, the day after it is a half day.
    assert due == [datetime(2026, 11, 25, 21, 30, tzinfo=UTC), datetime(2026, 11, 27, 18, 30, tzinfo=UTC)]
    assert BACKUP_TASK not in {task.name for task in read(system).tasks}


@pytest.mark.parametrize("local", [True, False])
async def test_the_scheduler_of_a_local_run_alone_has_backups_made(tmp_path: Path, local: bool) -> None:
    if local:
        (tmp_path / "identity.json").touch()
    spec = {
        "symbols": ["CBA.AX"],
        "data": {"provider": "csv", "csv": {"directory": "bars"}},
        "backup": {
            "locations": [{"name": "disk", "kind": "folder", "path": "/srv/backup", "secretRef": {"name": "repo"}}],
            "schedule": {},
        },
    }
    system = TradingSystem.model_validate({"metadata": {"name": "kept"}, "spec": spec})
    rows = {"scheduler": SERVICES["scheduler"]}
    options: dict[str, Any] = {"data_dir": tmp_path / "data", "declaration": system, "rows": rows}
    async with running({"scheduler": scheduling.create}, **options) as found:

        async def tasks() -> dict[str, datetime]:
            reported: SlotJobs = await found.call("scheduler", "list_slots", None, SlotJobs)
            return reported.since_by_task

        assert (BACKUP_TASK in await until(tasks)) is local
