"""`bellwether backup …`: backups of a system on this machine, and the proof of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwether.cli.backup_choice import (
    Context,
    FromServices,
    Id,
    Namespace,
    SessionDay,
    Which,
    found_backup,
    of_system,
    opened_repositories,
    say,
    words,
)
from bellwether.cli.client import CommandError
from bellwether.cli.options import Format, Output, target_of, write_answer, write_json

if TYPE_CHECKING:
    from bellwether.backups.records import Record
    from bellwether.local.backup_places import Place
    from bellwether.spec.models import TradingSystem

app = typer.Typer(
    no_args_is_help=True,
    help="""Make, look at, verify and prune backups of a system on this machine.

What the system declares in spec.backup.locations is where they go: a folder, or
a bucket. They are encrypted; the password is in the file that secretRef names,
in ~/.config/bellwether/secrets (or BELLWETHER_SECRETS).

    bellwether backup create
    bellwether backup list
    bellwether backup drill
    bellwether restore 20261129T231500Z
""",
)


@app.command()
@of_system
def create(
    which: Which,
    *,
    full: Annotated[bool, typer.Option("--full", help="Read every byte again, in the repository too.")] = False,
    due: Annotated[
        bool, typer.Option("--due", help="Only if spec.backup.schedule asks for one now; then with its drill.")
    ] = False,
    from_services: FromServices = False,
    ordered_by: Annotated[str | None, typer.Option("--for", hidden=True, help="The uid of a TradingBackup.")] = None,
    known: Annotated[bool, typer.Option("--known", hidden=True, help="The location has a repository.")] = False,
    output: Format = Output.text,
) -> None:
    """Make a backup in every location, whether the system runs or not; it counts only when it is found whole there."""
    from bellwether.backups.errors import FUTILE

    with words(1 if ordered_by is None else FUTILE):
        from bellwether.backups.locations import opened, repositories
        from bellwether.backups.making import BackupRequest, Making, made_for, verified
        from bellwether.backups.source import Say
        from bellwether.local.backup_places import handed_over, source_of

        place, system = which.system(from_services=from_services)
        locations = repositories(system.spec.backup, which.location)
        assert system.spec.backup is not None  # noqa: S101 (repositories refuses it)
        slot = None
        if due:
            from bellwether.backups.overdue import drilled_on, due_slot, waits_for_retry
            from bellwether.backups.service import full_or_incremental

            records, now = place.records.all("backup"), datetime.now(UTC)
            slot = due_slot(records, system.spec, now)
            if slot is None:
                write_answer(output, None, ["no backup is due"])
                return
            if (reason := waits_for_retry(records, slot, now)) is not None:
                raise CommandError(reason)
            full = full or full_or_incremental("auto", records, system.spec.backup) == "full"
        order = BackupRequest(
            system.metadata.name,
            _release(),
            "full" if full else "incremental",
            locations,
            system.spec.backup.retention,
            ordered_by=ordered_by,
            make_repository=not known,
        )

        async def make(report: Say) -> Any:
            with place.records.held():
                async with handed_over(place) if from_services else source_of(place) as source:
                    return await Making(order, source, place.machine(), place.records, report).make()

        name, machine, answer = system.metadata.name, place.machine(), {}
        if ordered_by is None:
            record = asyncio.run(make(say))
        else:
            (only,) = locations
            repository = opened(only, machine, make=not known)
            record = made_for(repository, name, ordered_by) or asyncio.run(make(say))
            answer["kept"] = verified(repository, name)
        answer |= _plain(record)
        line = f"{record.id} complete: {record.size / 1e6:.1f} MB, session {record.session or '-'}"
        write_answer(output, answer, [line])
        if slot is not None and drilled_on(system.spec.backup, slot.session.isoformat()):
            _drill(place, system, which.location, record.id)


@app.command("list")
@of_system
def list_(
    which: Which,
    *,
    from_services: FromServices = False,
    cluster: Annotated[
        str | None, typer.Option("--system", help="A system in a cluster, which is asked: NAME or NAMESPACE/NAME.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Format = Output.text,
) -> None:
    """List backups, newest first: those in the locations, and those that failed.

    A location that cannot be asked is named; it ends with 1 then. A system in a
    cluster names the newest 50 of its folders and buckets; for its snapshots see
    `kubectl get tbackup`.
    """
    if cluster is not None:
        from bellwether.cli.client import make_client
        from bellwether.cli.restoring_in_place import ANSWER_SECONDS

        client = make_client(target_of(None, None, cluster, namespace, context), seconds=ANSWER_SECONDS)
        known = [_as_listed(row) for row in client.get("/v1/backups")["backups"]]
        write_answer(output, known, [_line(row) for row in known] or [_NONE])
        return
    if namespace is not None or context is not None:
        raise typer.BadParameter("--namespace and --context are of a cluster: name the system with --system")
    with words():
        from bellwether.backups.making import BEFORE, VERIFIED, ours

        place, system = which.system(from_services=from_services)
        rows: dict[str, dict[str, Any]] = {}
        lost: list[str] = []
        for record in place.records.all("backup"):
            rows[record.id] = {name: getattr(record, name) for name in _LISTED} | {"locations": []}
        for repository, name in opened_repositories(place, system, which.location, lost):
            for key, snapshot in ours(repository, system.metadata.name).items():
                row = rows.setdefault(key, {"id": key, "state": "complete", "size": 0, "reason": "", "locations": []})
                row["kind"], row["session"] = snapshot.tag("kind") or "", snapshot.tag("session") or ""
                row["size"] = row["size"] or int(snapshot.tag("size") or 0)
                row["locations"].append(name if VERIFIED in snapshot.tags else f"{name} (not verified)")
                row["before"] = snapshot.tag(BEFORE) or ""
        for row in rows.values():
            if row["state"] == "complete" and not row["locations"] and not lost:
                row["state"] = "pruned"
        found = sorted(rows.values(), key=lambda row: row["id"], reverse=True)
        write_answer(output, found, [_line(row) for row in found] or ([] if lost else [_NONE]))
        if lost:
            raise CommandError("; ".join(lost))


_LISTED = ("id", "state", "kind", "session", "size", "reason")
_NONE = "no backup of this system has been made yet"


def _as_listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a backup that a gateway names as one that this machine knows is listed; size in bytes."""
    values = row["backup_id"], row["status"], row["type"], row["session"], round(row["size_mb"] * 1e6), row["error"]
    return dict(zip(_LISTED, values, strict=True))


def _line(row: Mapping[str, Any]) -> str:
    """Return the line of a backup in the list."""
    return (
        f"{row['id']}  {row['state']:9} {row['kind']:12} {row['session'] or '-':11}{_megabytes(row['size']):>11}  "
        + "; ".join([*filter(None, [", ".join(row.get("locations", [])), row["reason"]])] or ["-"])
        + (f"  before the restore of {row['before']}" if row.get("before") else "")
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size else "-"


@app.command()
@of_system
def show(
    which: Which,
    backup: Id = None,
    *,
    session: SessionDay = None,
    declaration: Annotated[bool, typer.Option("--declaration", help="Only the TradingSystem, for `run`.")] = False,
    output: Format = Output.text,
) -> None:
    """Show what a backup holds, and what it leaves out; the newest without an ID."""
    with words():
        from bellwether.backups.manifest import MANIFEST, decode
        from bellwether.local.restoring import declared

        place, system = which.system()
        repository, snapshot, _ = found_backup(place, system, which.location, backup, session)
        manifest = decode(repository.read(snapshot.id, MANIFEST), snapshot.tag("manifest"))
        if declaration:
            write_json(declared(manifest))
            return
        lines = [
            f"{manifest.id}  {manifest.kind}, of {manifest.system}, release {manifest.release}",
            f"cut {manifest.cut:%Y-%m-%d %H:%M:%S} UTC, session {manifest.session or '-'}",
            *(f"  {one.kind:13} {one.name:56.56} {one.size:>12} bytes{_counted(one)}" for one in manifest.pieces),
            "left out:",
            *(f"  {one.name}: {one.why}" for one in manifest.left_out),
        ]
        write_answer(output, _plain(manifest), lines)


@app.command(hidden=True)
@of_system
def restorable(
    which: Which,
    backup: Annotated[str, typer.Argument(metavar="ID", help="The backup.")],
    *,
    from_services: FromServices = False,
    output: Format = Output.text,
) -> None:
    """Say in which location a complete backup is that fits what the system declares."""
    with words():
        from bellwether.backups.errors import BackupError
        from bellwether.local.in_place import restorable as found_in

        place, system = which.system(from_services=from_services)
        lost: list[str] = []
        try:
            location = found_in(opened_repositories(place, system, which.location, lost), system, backup)
        except BackupError as error:
            raise CommandError("; ".join([str(error), *lost])) from error
        write_answer(output, {"location": location}, [location])


@app.command()
@of_system
def verify(which: Which, backup: Id = None, *, session: SessionDay = None) -> None:
    """Read every byte of the repository, and compare every piece of a backup with its manifest."""
    with words():
        import shutil

        from bellwether.local.unpacking import fetched, scratch

        place, system = which.system()
        with place.records.held():
            found, _, key = found_backup(place, system, which.location, backup, session)
            for repository, name in opened_repositories(place, system, which.location):
                say(f"reading all of {name}")
                repository.check(read_data=True)
            folder = scratch(place.machine(), "verify")
            try:
                fetched(found, system.metadata.name, key, folder, say)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.write(f"{key} is whole\n")


@app.command()
@of_system
def prune(which: Which) -> None:
    """Remove what has outlived spec.backup.retention; the newest verified backup stays."""
    with words():
        from bellwether.backups import making

        place, system = which.system()
        gone: list[str] = []
        with place.records.held():
            for repository, _ in opened_repositories(place, system, which.location):
                assert system.spec.backup is not None  # noqa: S101 (it has locations)
                gone += making.prune(repository, system.metadata.name, system.spec.backup.retention, say)
        sys.stdout.write(f"{len(gone)} removed\n")


@app.command()
@of_system
def drill(which: Which, backup: Id = None, *, session: SessionDay = None, output: Format = Output.text) -> None:
    """Restore a backup into a scratch folder, compare all of it, decide the last session again, and take it away."""
    with words():
        record = _drill(*which.system(), which.location, backup, session)
        figures = ", ".join(f"{value} {name}" for name, value in record.figures.items())
        write_answer(output, _plain(record), [f"RestoreVerified: {record.id}: {figures}"])


def _drill(
    place: Place, system: TradingSystem, location: str | None, backup: str | None, session: str | None = None
) -> Record:
    from bellwether.local import drill as drills

    with place.records.held():
        repository, _, key = found_backup(place, system, location, backup, session)
        return asyncio.run(drills.drill(place, repository, key, say, system=system.metadata.name, release=_release()))


def _counted(piece: Any) -> str:
    if piece.kind == "database":
        return f", {sum(piece.rows.values())} rows"
    return f", {piece.messages} messages, last {piece.last[piece.name]}" if piece.kind == "stream" else ""


def _release() -> str:
    from bellwether.runtime.config import ProcessConfig

    return ProcessConfig.from_environment().version


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(
        value, builtin_types=(), enc_hook=lambda one: one.isoformat() if isinstance(one, datetime) else str(one)
    )
