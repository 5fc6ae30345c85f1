"""Which system, and which of its backups, a command means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwether.cli import options
from bellwether.cli.client import CommandError

if TYPE_CHECKING:
    from bellwether.backups.restic import Repository
    from bellwether.local.backup_places import Place
    from bellwether.spec.models import TradingSystem


def _day(text: str | None) -> str | None:
    try:
        return None if text is None else date.fromisoformat(text).isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text!r}: a day is written 2026-11-27") from None


FromServices = Annotated[
    bool,
    typer.Option("--from-services", hidden=True, help="The system of this pod: its services hand over what they keep."),
]
Id = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="The backup, from `bellwether backup list`; else the newest.")
]
SessionDay = Annotated[
    str | None,
    typer.Option("--session", metavar="DAY", callback=_day, help="The newest backup of this session, 2026-11-27."),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Of the system or backup in a cluster; else the context's.")
]
Context = Annotated[str | None, typer.Option("--context", help="The cluster of --system, of those in KUBECONFIG.")]
_LOCATION = typer.Option("--location", help="One of spec.backup.locations; else all, or the first that has the backup.")
_DATA = typer.Option("--data", help="The folder of the run; else BELLWETHER_STATE, else the newest here.")
_SYSTEMD = typer.Option("--systemd", help="The system whose units are installed on this machine.")
_FILE = typer.Option("-f", "--file", help="Where the state is gone: the TradingSystem that says where its backups are.")
_WHICH = {
    "location": options.option("location", Annotated[str | None, _LOCATION]),
    "data": options.option("data", Annotated[Path | None, _DATA]),
    "systemd": options.option("systemd", Annotated[bool, _SYSTEMD], default=False),
    "file": options.option("file", Annotated[Path | None, _FILE]),
}


@dataclass(frozen=True)
class Which:
    """What a person said of the system that is meant, and of its location."""

    location: str | None
    data: Path | None
    systemd: bool
    file: Path | None

    def system(self, *, from_services: bool = False) -> tuple[Place, TradingSystem]:
        """Return the system that is meant: of this pod, of a file, else of a run's folder or the units."""
        from bellwether.local.backup_places import chosen, of_run, of_services

        if from_services:
            from bellwether.runtime.config import ProcessConfig

            place = of_services(ProcessConfig.from_environment())
            return place, place.system()
        if self.file is None:
            place = chosen(self.data, systemd=self.systemd)
            return place, place.system()
        if self.systemd:
            raise typer.BadParameter("the units that are installed have a file: leave out -f, or --systemd")
        from bellwether.local.files import load_system

        system = load_system(self.file)
        return of_run(self.data or Path(".bellwether") / system.metadata.name), system


def of_system(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which system is meant; it gets a `Which` as its first argument."""
    return options.with_options(command, _WHICH, Which)


@contextmanager
def words(futile: int = 1) -> Iterator[None]:
    """Turn the failures that people can do something about into words; `futile` ends what trying again cannot help."""
    from bellwether.backups.errors import BackupError
    from bellwether.local.files import RunError
    from bellwether.local.nats import NatsMissing

    try:
        yield
    except (BackupError, NatsMissing, RunError, OSError) as error:
        raise CommandError(str(error), futile if isinstance(error, BackupError) and error.final else 1) from error


def say(line: str) -> None:
    """Write a line of progress to stderr, beside the answer."""
    options.say(f"  {line}")


def opened_repositories(
    place: Place, system: TradingSystem, only: str | None, lost: list[str] | None = None
) -> Iterator[tuple[Repository, str]]:
    """Yield the repositories of a system's locations, with the locations' names; `only`: this one's alone.

    `lost` gets why one cannot be used; without it, that ends the command.
    """
    from bellwether.backups.locations import opened, repositories
    from bellwether.backups.restic import RepositoryError
    from bellwether.backups.secrets import SecretError

    machine = place.machine()
    for one in repositories(system.spec.backup, only):
        try:
            repository = opened(one, machine, make=False)
        except (RepositoryError, SecretError) as error:
            if lost is None:
                raise
            lost.append(str(error))
        else:
            yield repository, one.name


def found_backup(
    place: Place, system: TradingSystem, only: str | None, backup: str | None, session: str | None
) -> tuple[Repository, Any, str]:
    """Return the backup that is meant, its snapshot and its id: by id, by session, else the newest that is verified."""
    from bellwether.backups.making import chosen, snapshot_of
    from bellwether.backups.restic import RepositoryError

    if backup is not None and session is not None:
        raise typer.BadParameter("give an ID or --session, not both")
    errors: list[str] = []
    looked = False
    for repository, _ in opened_repositories(place, system, only, errors):
        try:
            key = chosen(repository, system.metadata.name, backup, session)
        except RepositoryError as error:
            errors.append(str(error))
            continue
        if key is not None:
            return repository, snapshot_of(repository, system.metadata.name, key), key
        errors.append(f"{repository.where} has no {_meant(backup, session)} of {system.metadata.name}")
        looked = True
    hint = "; `bellwether backup list` names those that there are" if backup and looked else ""
    raise CommandError("; ".join(errors) + hint)


def _meant(backup: str | None, session: str | None) -> str:
    return f"backup {backup}" if backup else f"verified backup of session {session}" if session else "verified backup"
