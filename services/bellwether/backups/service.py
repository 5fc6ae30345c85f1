"""backup: makes backups when it is asked; those of a local run also when one is due. It keeps only their records.

The work is done by `bellwether backup create` in a process of its own, so that a system at rest carries none of it.
In a cluster the services hand over what they keep, and the operator besides makes snapshots of volumes; a restore in
place is asked for here and done by the operator.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bellwether.backups.errors import FUTILE
from bellwether.backups.overdue import drill_overdue, drilled_on, overdue
from bellwether.backups.records import Record, Records
from bellwether.backups.restore_requests import RestoreRequests
from bellwether.backups.source import stores
from bellwether.messages import backup as messages
from bellwether.messages.alarms import alarm
from bellwether.messages.monitoring import AlarmReading
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.runtime.tasks import end_tasks
from bellwether.spec.backup import Backup

NAME = "backup"
REFUSED = (
    "production: volume snapshots are made and restored by the operator of a cluster, with a TradingBackup, not by "
    "this service"
)
ELSEWHERE = (
    "this service makes backups of a local run (`bellwether run`) and in a cluster; under systemd "
    "`bellwether backup create --systemd` and `bellwether restore ID --systemd` do"
)
FROM_SERVICES = "--from-services"
_FOLDER = "backup"
_WORDS = 1000

_log = logging.getLogger(__name__)


class BackupService:
    """Backups of the run whose process this is part of."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._root = service.context.config.run_folder
        self._pod = self._root is None and service.context.config.backs_up
        """Whether the stores are of other pods: then the locations alone know of backups."""
        self._began: datetime | None = None
        self._making: asyncio.Task[Any] | None = None
        self._order: messages.KeepBackup | None = None
        """The TradingBackup's that is made, or was made last."""
        self._step = self._said = ""
        self._drill: asyncio.Task[None] | None = None
        self._restores = RestoreRequests(service.context, self._restorable)
        if self._pod:
            service.on_start(self._restores.start)
            service.on_stop(self._restores.stop)

    async def create_backup(self, request: messages.CreateBackup, call: Call) -> messages.BackupMade:
        """Make a backup; whoever asks while one is made waits for the same one.

        Raises:
            RpcError: PRODUCTION_REFUSED, NOT_HERE, NO_BACKUP_DECLARED, or BACKUP_FAILED with the reason.
        """
        root, declared = self._checked(request.location)
        if self._making is None or self._making.done():
            records = [] if root is None else Records(root / _FOLDER).all("backup")
            kind = full_or_incremental(request.type, records, declared)
            words = ["create", *(["--full"] if kind == "full" else [])]
            if request.location is not None:
                words += ["--location", request.location]
            self._begin(words, None)
        assert self._making is not None  # noqa: S101 (it was started)
        # A caller that gives up must not stop what others wait for.
        made = await asyncio.shield(self._making)
        if root is not None:
            self._drill_if_due(declared, made, root)
        return messages.BackupMade(
            backup_id=str(made["id"]),
            timestamp=datetime.fromisoformat(str(made["started"])),
            type=str(made["kind"]),
            databases_backed_up=sorted(stores()),
            size_mb=round(int(made.get("size", 0)) / 1e6, 2),
            status="complete",
            session=str(made.get("session", "")),
        )

    async def keep_backup(self, request: messages.KeepBackup, call: Call) -> messages.BackupProgress:
        """Begin the backup of a TradingBackup, or say how far it is; the answer comes at once.

        Whoever asks again after this pod started again gets what was made before: the repository knows for whom.
        """
        order, making = self._order, self._making
        if order is not None and order.id == request.id and order.attempt >= request.attempt and making is not None:
            return self._progress(making)
        if making is not None and not making.done():
            return messages.BackupProgress("waiting", said="another backup is being made")
        try:
            self._checked(request.location)
        except RpcError as error:
            return messages.BackupProgress("failed", said=error.message, final=True)
        words = ["create", "--location", request.location, "--for", request.id]
        words += ["--full"] if request.type == "full" else []
        self._begin([*words, *(["--known"] if request.known else [])], request)
        return messages.BackupProgress("running", "reach")

    def _begin(self, words: list[str], order: messages.KeepBackup | None) -> None:
        self._began, self._order, self._step, self._said = datetime.now(UTC), order, "reach", ""
        self._making = asyncio.get_running_loop().create_task(self._run(words, self._hear), name="backup")

    def _hear(self, line: str) -> None:
        """Take a line that the process of a backup says."""
        if line.startswith("step "):
            self._step = line.removeprefix("step ").partition(" ")[0]
        self._said = line[:_WORDS]

    def _progress(self, making: asyncio.Task[Any]) -> messages.BackupProgress:
        if not making.done():
            return messages.BackupProgress("running", self._step, self._said)
        if making.cancelled():
            return messages.BackupProgress("failed", self._step, "the service was ended")
        error = making.exception()
        if error is not None:
            failure = error if isinstance(error, RpcError) else RpcError("BACKUP_FAILED", str(error))
            return messages.BackupProgress(
                "failed", self._step, failure.message[:_WORDS], final=bool(failure.detail.get("final"))
            )
        made = making.result()
        return messages.BackupProgress(
            "complete",
            backup_id=made["id"],
            type=made["kind"],
            cut=datetime.fromisoformat(made["cut"]),
            session=made.get("session", ""),
            size=int(made.get("size", 0)),
            added=sum(made.get("added", {}).values()),
            kept=made["kept"],
        )

    async def restore_backup(self, request: messages.RestoreBackup, call: Call) -> messages.BackupRestored:
        """In a cluster have the operator restore this system in place, halted; elsewhere say which command does.

        What is restored takes the place of this very process, so the answer is that it was asked for.

        Raises:
            RpcError: PRODUCTION_REFUSED, NO_BACKUP_DECLARED, NOT_HERE, or RESTORE_FROM_OUTSIDE; and those of
                `RestoreRequests.ask`.
        """
        self._checked(request.location)
        if self._pod:
            return await self._restores.ask(request, call)
        raise RpcError(
            "RESTORE_FROM_OUTSIDE",
            f"a restore ends this process: run `bellwether restore {request.backup_id}` beside it, which checks the "
            "backup, stops trading, and puts it in place; it starts halted",
        )

    async def end_restore(self, request: messages.EndRestore, call: Call) -> messages.RestoreEnded:
        """Take note that a restore in place is over: another one can be asked for."""
        return await self._restores.end(request)

    async def list_backups(self, request: messages.ListBackups, call: Call) -> messages.Backups:
        """Return what is known of backups, newest first.

        Raises:
            RpcError: BACKUP_FAILED with the reason, where the locations have to be asked and do not answer.
        """
        if self._pod and self._declared() is not None:
            return messages.Backups(
                (self._running() + [_listed(row) for row in await self._run(["list"])])[: request.limit]
            )
        if self._root is None:
            return messages.Backups([])
        records = Records(self._root / _FOLDER)
        found = [_row(record) for record in reversed(records.all("backup"))]
        drills = records.all("drill")
        return messages.Backups(found[: request.limit], _drill_in_words(drills[-1]) if drills else "")

    def health(self) -> dict[str, Any]:
        """Return what health says besides: degraded while the newest good backup is older than it should be.

        In a cluster: the restore in place that was asked for and is not over.
        """
        asked, declared = self._restores.under_way, self._declared()
        if asked is not None:
            return {"restore": msgspec.to_builtins(asked) | {"id": asked.id}}
        if self._root is None or declared is None:
            return {}
        records = Records(self._root / _FOLDER).all("backup")
        words = overdue(records, declared, self._service.context.clock.now())
        return {} if words is None else {"status": "degraded", "warning": words}

    def alarms(self) -> list[AlarmReading]:
        """Return whether a backup or a drill is due that was not made, or failed."""
        declared = self._declared()
        if self._root is None or declared is None or not self._service.context.clock.live:
            return []
        records, now = Records(self._root / _FOLDER), self._service.context.clock.now()
        backups = records.all("backup")
        late, unproven = overdue(backups, declared, now), drill_overdue(records.all("drill"), backups, declared, now)
        found = [] if late is None else [alarm("backup_due", late[:500])]
        return found if unproven is None else [*found, alarm("drill_due", unproven[:500])]

    async def stop(self) -> None:
        """End what is on its way: a backup that is ended is reported as failed."""
        await end_tasks([task for task in (self._making, self._drill) if task is not None])

    def _running(self) -> list[messages.BackupRow]:
        if self._making is None or self._making.done() or self._began is None:
            return []
        return [messages.BackupRow("", self._began, "", 0.0, "running")]

    def _checked(self, location: str | None) -> tuple[Path | None, Backup]:
        if location == messages.PRODUCTION:
            raise RpcError("PRODUCTION_REFUSED", REFUSED)
        declared = self._declared()
        if declared is None:
            raise RpcError("NO_BACKUP_DECLARED", "spec.backup is not declared: name at least one of its locations")
        if self._root is None and not self._pod:
            raise RpcError("NOT_HERE", ELSEWHERE)
        return self._root, declared

    def _declared(self) -> Backup | None:
        holder = self._service.context.declaration
        return holder.current.spec.backup if holder.known else None

    def _drill_if_due(self, declared: Backup, made: dict[str, Any], root: Path) -> None:
        session = str(made.get("session", ""))
        if not session or not drilled_on(declared, session) or (self._drill is not None and not self._drill.done()):
            return
        drills = [one for one in Records(root / _FOLDER).all("drill") if one.id == made["id"]]
        if not drills:
            self._drill = asyncio.get_running_loop().create_task(self._test(str(made["id"])), name="drill")

    async def _restorable(self, backup_id: str, location: str | None) -> str:
        words = ["restorable", backup_id, *([] if location is None else ["--location", location])]
        return str((await self._run(words))["location"])

    async def _test(self, backup_id: str) -> None:
        try:
            await self._run(["drill", backup_id])
        except RpcError as error:
            _log.error("the drill of backup %s failed: %s", backup_id, error.message)

    async def _run(self, words: list[str], heard: Callable[[str], None] = lambda _: None) -> Any:
        """Run a command of backups to its end; return what it answers. `heard` gets each line that it says."""
        whose = [FROM_SERVICES] if self._root is None else ["--data", str(self._root)]
        command = [sys.executable, "-m", "bellwether", "backup", *words, *whose, "-o", "json"]
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            assert child.stdout is not None and child.stderr is not None  # noqa: S101, PT018 (they were asked for)
            answer, said = await asyncio.gather(child.stdout.read(), _lines(child.stderr, heard))
            await child.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            raise
        if child.returncode != 0:
            reason = said.removeprefix("error: ") or f"it ended with {child.returncode}"
            raise RpcError("BACKUP_FAILED", reason, final=child.returncode == FUTILE)
        return json.loads(answer)


async def _lines(stream: asyncio.StreamReader, heard: Callable[[str], None]) -> str:
    """Hand over each line of a stream until it ends; return the last one."""
    last = ""
    async for line in stream:
        last = line.decode(errors="replace").strip() or last
        heard(last)
    return last


def full_or_incremental(asked: str, records: list[Record], declared: Backup) -> str:
    """Return the kind of the next backup: as asked for, or by how many complete ones have followed the last full."""
    if asked != "auto":
        return asked
    every = 1 if declared.schedule is None else declared.schedule.full_every
    newest_first = reversed([one for one in records if one.state == "complete"])
    since_full = next((number for number, one in enumerate(newest_first) if one.kind == "full"), None)
    return "full" if since_full is None or since_full + 1 >= every else "incremental"


def _row(record: Record) -> messages.BackupRow:
    return messages.BackupRow(
        backup_id=record.id,
        timestamp=record.started,
        type=record.kind,
        size_mb=round(record.size / 1e6, 2),
        status=record.state,
        session=record.session,
        error=record.reason,
    )


def _listed(row: dict[str, Any]) -> messages.BackupRow:
    """Return a backup as `bellwether backup list` has it; its id is when it began."""
    state = row["state"]
    return messages.BackupRow(
        backup_id=str(row["id"]),
        timestamp=datetime.strptime(str(row["id"]), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        type=str(row.get("kind", "")),
        size_mb=round(int(row.get("size", 0)) / 1e6, 2),
        status=state if state in ("running", "failed") else "complete",
        session=str(row.get("session", "")),
        error=str(row.get("reason", "")),
    )


def _drill_in_words(drill: Record) -> str:
    if drill.state == "complete":
        return f"RestoreVerified: {drill.id}, {drill.started:%Y-%m-%d %H:%M} UTC, {drill.figures.get('seconds')} s"
    return f"{drill.state}: {drill.id}: {drill.reason or drill.step}"


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime."""
    service = Service(NAME, context)
    backups = BackupService(service)
    for handler in (
        backups.create_backup,
        backups.keep_backup,
        backups.restore_backup,
        backups.end_restore,
        backups.list_backups,
    ):
        service.rpc(handler.__name__)(handler)
    service.on_health(backups.health)
    service.on_alarms(backups.alarms)
    service.on_stop(backups.stop)
    return service
