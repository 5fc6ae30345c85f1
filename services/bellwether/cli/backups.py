"""`bellwether backup …` and `bellwether restore`: backups of a system on this machine, and the proof of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwether.cli.client import CommandError
from bellwether.cli.options import Format, Output, write_json
from bellwether.runtime.terminal import visible

if TYPE_CHECKING:
    from bellwether.backups.restic import Repository
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

Data = Annotated[
    Path | None, typer.Option("--data", help="The folder of the run; else BELLWETHER_STATE, else the newest here.")
]
Systemd = Annotated[bool, typer.Option("--systemd", help="The system whose units are installed on this machine.")]
FromServices = Annotated[
    bool,
    typer.Option("--from-services", hidden=True, help="The system of this pod: its services hand over what they keep."),
]
Location = Annotated[
    str | None, typer.Option("--location", help="One of spec.backup.locations; else the first that has it.")
]
Id = Annotated[str | None, typer.Argument(metavar="[ID]", help="The backup, from `bellwether backup list`.")]
SessionDay = Annotated[
    str | None, typer.Option("--session", metavar="DAY", help="The newest backup of this session, 2026-11-27.")
]
File = Annotated[
    Path | None,
    typer.Option("-f", "--file", help="Where the state is gone: the TradingSystem that says where its backups are."),
]


class Profile(StrEnum):
    """The profiles that a system may have."""

    compact = "compact"
    standard = "standard"


@contextmanager
def _words(futile: int = 1) -> Iterator[None]:
    """Turn the failures that people can do something about into words; `futile` ends what trying again cannot help."""
    from bellwether.backups.errors import BackupError
    from bellwether.local.nats import NatsMissing
    from bellwether.local.state import RunError

    try:
        yield
    except (BackupError, NatsMissing, RunError, OSError) as error:
        raise CommandError(str(error), futile if isinstance(error, BackupError) and error.final else 1) from error


def say(line: str) -> None:
    """Write a line of progress to stderr, beside the answer."""
    sys.stderr.write(f"  {visible(line)}\n")
    sys.stderr.flush()


@app.command()
def create(
    *,
    full: Annotated[bool, typer.Option("--full", help="Read every byte again, in the repository too.")] = False,
    location: Location = None,
    data: Data = None,
    systemd: Systemd = False,
    from_services: FromServices = False,
    ordered_by: Annotated[str | None, typer.Option("--for", hidden=True, help="The uid of a TradingBackup.")] = None,
    known: Annotated[bool, typer.Option("--known", hidden=True, help="The location has a repository.")] = False,
    output: Format = Output.text,
) -> None:
    """Make a backup in every location, whether the system runs or not; it counts only when it is found whole there."""
    from bellwether.backups.errors import FUTILE

    with _words(1 if ordered_by is None else FUTILE):
        from bellwether.backups.locations import opened, repositories
        from bellwether.backups.making import Making, Order, made_for, verified
        from bellwether.backups.source import Say
        from bellwether.local.backup_places import handed_over, source_of

        place, system = _chosen(data, systemd, from_services=from_services)
        locations = repositories(system.spec.backup, location)
        assert system.spec.backup is not None  # noqa: S101 (repositories refuses it)
        order = Order(
            system.metadata.name,
            _release(),
            "full" if full else "incremental",
            locations,
            system.spec.backup.retention,
            ordered_by=ordered_by,
            make_repository=not known,
        )

        async def make(tell: Say) -> Any:
            with place.records.held():
                async with handed_over(place) if from_services else source_of(place) as source:
                    return await Making(order, source, place.machine(), place.records, tell).make()

        name, machine, answer = system.metadata.name, place.machine(), {}
        if ordered_by is None:
            record = asyncio.run(make(say))
        else:
            (only,) = locations
            there = made_for(opened(only, machine, make=not known), name, ordered_by)
            record = there or asyncio.run(make(say))
            answer["kept"] = verified(opened(only, machine, make=False), name)
        answer |= _plain(record)
        _show(output, answer, f"{record.id} complete: {record.size / 1e6:.1f} MB, session {record.session or '-'}")


@app.command("list")
def list_(
    *,
    location: Location = None,
    data: Data = None,
    systemd: Systemd = False,
    from_services: FromServices = False,
    file: File = None,
    output: Format = Output.text,
) -> None:
    """List backups, newest first: those in the locations, and those that failed."""
    with _words():
        from bellwether.backups.making import BEFORE, VERIFIED, ours

        place, system = _chosen(data, systemd, file, from_services=from_services)
        rows: dict[str, dict[str, Any]] = {}
        for record in place.records.all("backup"):
            rows[record.id] = {
                "id": record.id,
                "state": record.state,
                "kind": record.kind,
                "session": record.session,
                "size": record.size,
                "locations": [],
                "reason": record.reason,
            }
        for repository, name in _opened(place, system, location):
            for key, snapshot in ours(repository, system.metadata.name).items():
                row = rows.setdefault(key, {"id": key, "state": "complete", "size": 0, "reason": "", "locations": []})
                row["kind"], row["session"] = snapshot.tag("kind") or "", snapshot.tag("session") or ""
                row["locations"].append(name if VERIFIED in snapshot.tags else f"{name} (not verified)")
                row["before"] = snapshot.tag(BEFORE) or ""
        for row in rows.values():
            if row["state"] == "complete" and not row["locations"]:
                row["state"] = "pruned"
        found = sorted(rows.values(), key=lambda row: row["id"], reverse=True)
        lines = [
            f"{row['id']}  {row['state']:9} {row['kind']:12} {row['session'] or '-':11}"
            f"{row['size'] / 1e6:8.1f} MB  {', '.join(row['locations']) or row['reason']}"
            f"{'  before the restore of ' + row['before'] if row.get('before') else ''}"
            for row in found
        ]
        _show(output, found, "\n".join(lines) or "no backup of this system has been made yet")


@app.command()
def show(
    backup: Id = None,
    *,
    session: SessionDay = None,
    location: Location = None,
    data: Data = None,
    systemd: Systemd = False,
    file: File = None,
    declaration: Annotated[bool, typer.Option("--declaration", help="Only the TradingSystem, for `run`.")] = False,
    output: Format = Output.text,
) -> None:
    """Show what a backup holds, and what it leaves out; the newest without an ID."""
    with _words():
        from bellwether.backups.manifest import MANIFEST, decode
        from bellwether.local.restoring import declared

        place, system = _chosen(data, systemd, file)
        repository, snapshot, _ = _found(place, system, location, backup, session)
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
        _show(output, _plain(manifest), "\n".join(lines))


@app.command()
def verify(
    backup: Id = None,
    *,
    session: SessionDay = None,
    location: Location = None,
    data: Data = None,
    systemd: Systemd = False,
    file: File = None,
) -> None:
    """Read every byte of the repository, and compare every piece of a backup with its manifest."""
    with _words():
        import shutil

        from bellwether.local.unpacking import fetched, scratch

        place, system = _chosen(data, systemd, file)
        with place.records.held():
            for repository, name in _opened(place, system, location):
                say(f"reading all of {name}")
                repository.check(read_data=True)
            repository, _, key = _found(place, system, location, backup, session)
            folder = scratch(place.machine(), "verify")
            try:
                fetched(repository, system.metadata.name, key, folder, say)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.write(f"{key} is whole\n")


@app.command()
def prune(*, location: Location = None, data: Data = None, systemd: Systemd = False) -> None:
    """Remove what has outlived spec.backup.retention; the newest verified backup stays."""
    with _words():
        from bellwether.backups import making

        place, system = _chosen(data, systemd)
        gone: list[str] = []
        with place.records.held():
            for repository, _ in _opened(place, system, location):
                assert system.spec.backup is not None  # noqa: S101 (it has locations)
                gone += making.prune(repository, system.metadata.name, system.spec.backup.retention, say)
        sys.stdout.write(f"{len(gone)} removed\n")


@app.command()
def drill(
    backup: Id = None,
    *,
    session: SessionDay = None,
    location: Location = None,
    data: Data = None,
    systemd: Systemd = False,
    file: File = None,
    output: Format = Output.text,
) -> None:
    """Restore a backup into a scratch folder, compare all of it, decide the last session again, and take it away."""
    with _words():
        from bellwether.local import drill as drills

        place, system = _chosen(data, systemd, file)
        with place.records.held():
            repository, _, key = _found(place, system, location, backup, session)
            record = asyncio.run(
                drills.drill(place, repository, key, say, system=system.metadata.name, release=_release())
            )
        figures = ", ".join(f"{value} {name}" for name, value in record.figures.items())
        _show(output, _plain(record), f"RestoreVerified: {key}: {figures}")


def restore(
    backup: Id = None,
    *,
    session: SessionDay = None,
    location: Location = None,
    data: Data = None,
    file: File = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="In a cluster: print what restores TradingBackup ID under this name."
        ),
    ] = None,
    handles: Annotated[
        bool, typer.Option("--handles", help="With --as: by handles, for when the namespace of the backup is gone.")
    ] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="With --as: the backup's.")] = None,
) -> None:
    """Put a backup in the place of a local run's state: checked first, then trading stops; it starts halted.

    What was there is kept aside. Where the state is gone, name the TradingSystem
    with -f, which says where its backups are, and an empty folder with --data.

        bellwether restore 20261129T231500Z
        bellwether restore --session 2026-11-27
        bellwether restore --session 2026-11-27 -f system.yaml --data .bellwether/again

    In a cluster a backup is restored by a new system, which is declared:

        bellwether restore friday --as again | kubectl apply -f -
    """
    if name is not None:
        _print_restoring(backup, name, namespace, handles=handles)
        return
    with _words():
        from bellwether.local import restoring

        place, system = _chosen(data, False, file)
        with place.records.held():
            repository, _, key = _found(place, system, location, backup, session)
            found = asyncio.run(restoring.restore(place, repository, system.metadata.name, key, say))
        lines = [f"restored {key} of {found.manifest.cut:%Y-%m-%d %H:%M} UTC to {found.root}; it starts halted"]
        if found.aside is not None:
            lines.append(f"what was there is in {found.aside}: delete it when all is as it should be")
        lines.append(f"go on with: bellwether run {found.file} --data {found.root}; then: bellwether resume")
        sys.stdout.write("\n".join(lines) + "\n")


def profile(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="The TradingSystem, of a cluster.")],
    to: Annotated[Profile, typer.Option("--to", help="The profile of the new system.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The new system's name.")],
    context: Annotated[str | None, typer.Option("--context", help="The cluster, of those in KUBECONFIG.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="The system's.")] = None,
) -> None:
    """Print what makes a system of another profile from a backup of this one: the backup, and the new system.

    The operator makes the backup, then the new system's volumes from it, and
    starts it halted. The former one is left as it is: halt it before, since
    what it trades after the backup is not in the new one; delete it once the
    new one is as it should be.

        bellwether profile demo --to standard --as demo-2 | kubectl apply -f -
    """
    import yaml

    from bellwether.cli.kubectl import Kubectl
    from bellwether.cli.restored import documents_with_profile

    kubectl = Kubectl(context, namespace)
    found = kubectl.get("tradingsystems.bellwether.dev", system)
    if found is None:
        raise CommandError(f"there is no TradingSystem {system} in namespace {kubectl.namespace}")
    documents = documents_with_profile(found, to.value, name)
    for one in documents:
        kind, wanted = one["kind"], one["metadata"]["name"]
        if kubectl.get(f"{kind.lower()}s.bellwether.dev", wanted) is not None:
            raise CommandError(f"there is a {kind} {wanted} already: delete it, or name another system with --as")
    sys.stdout.write(yaml.safe_dump_all(documents, sort_keys=False))
    say(f"{name} starts halted: compare it with {system}, then bellwether resume, and delete {system}")


def _print_restoring(backup: str | None, name: str, namespace: str | None, *, handles: bool) -> None:
    import yaml

    from bellwether.cli.kubectl import Kubectl
    from bellwether.cli.restored import contents_of, documents_by_handles, restoring_documents

    if backup is None:
        raise typer.BadParameter("name the TradingBackup: kubectl get tbackup lists them")
    kubectl = Kubectl(None, namespace)
    found = kubectl.get("tradingbackups.bellwether.dev", backup)
    if found is None:
        raise CommandError(f"there is no TradingBackup {backup} in namespace {kubectl.namespace}")
    if handles:
        kind = "volumesnapshotcontents.snapshot.storage.k8s.io"
        contents = {one: content for one in contents_of(found) if (content := kubectl.get(kind, one)) is not None}
        documents = documents_by_handles(found, contents, name)
    else:
        documents = restoring_documents(found, name)
    sys.stdout.write(yaml.safe_dump_all(documents, sort_keys=False))
    say("it starts halted: compare, then bellwether resume")


def _chosen(
    data: Path | None, systemd: bool, file: Path | None = None, *, from_services: bool = False
) -> tuple[Place, TradingSystem]:
    from bellwether.local.backup_places import chosen, of_run, of_services

    if from_services:
        from bellwether.runtime.config import ProcessConfig

        place = of_services(ProcessConfig.from_environment())
        return place, place.system()

    if file is not None:
        from bellwether.local.files import load_system

        system = load_system(file)
        return of_run(data or Path(".bellwether") / system.metadata.name), system
    place = chosen(data, systemd=systemd)
    return place, place.system()


def _opened(place: Place, system: TradingSystem, only: str | None) -> list[tuple[Repository, str]]:
    from bellwether.backups.locations import opened, repositories

    machine = place.machine()
    return [(opened(one, machine, make=False), one.name) for one in repositories(system.spec.backup, only)]


def _found(
    place: Place, system: TradingSystem, only: str | None, backup: str | None, session: str | None
) -> tuple[Repository, Any, str]:
    """Return the backup that is meant, its snapshot and its id: by id, by session, else the newest that is verified."""
    from bellwether.backups.locations import opened, repositories
    from bellwether.backups.making import BEFORE, VERIFIED, ours
    from bellwether.backups.restic import RepositoryError
    from bellwether.backups.secrets import SecretError

    if backup is not None and session is not None:
        raise typer.BadParameter("give an ID or --session, not both")
    errors: list[str] = []
    for location in repositories(system.spec.backup, only):
        try:
            repository = opened(location, place.machine(), make=False)
            known = ours(repository, system.metadata.name)
        except (RepositoryError, SecretError) as error:
            errors.append(str(error))
            continue
        fitting = [
            key
            for key, one in known.items()
            if (key == backup if backup else VERIFIED in one.tags and session in (None, one.tag("session")))
            and (backup or one.tag(BEFORE) is None)
        ]
        if fitting:
            return repository, known[fitting[-1]], fitting[-1]
        errors.append(f"{repository.where} has no {_meant(backup, session)} of {system.metadata.name}")
    raise CommandError("; ".join(errors))


def _meant(backup: str | None, session: str | None) -> str:
    return f"backup {backup}" if backup else f"verified backup of session {session}" if session else "verified backup"


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


def _show(output: Output, answer: Any, text: str) -> None:
    if output is Output.json:
        write_json(answer)
    else:
        sys.stdout.write(visible(text, keep="\n") + "\n")
