"""The declared locations as repositories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bellwether.backups.errors import BackupError
from bellwether.backups.failures import Failure
from bellwether.backups.restic import Repository, RepositoryError
from bellwether.backups.secrets import read_secret
from bellwether.spec.backup import ACCESS_KEY, PASSWORD, SECRET_KEY, Backup, BackupLocation
from bellwether.storage.folders import write_durably

_KNOWN = "repositories.json"
OURS = "bellwether"
"""A tag of every snapshot of ours."""


class LocationError(BackupError):
    """A location is not declared, or of a kind that cannot be used here; the message says what would be right."""


@dataclass(frozen=True)
class Machine:
    """Of this machine, what a location does not say."""

    secrets: Path
    work: Path
    """The folder for restic's cache and for what is remembered of repositories."""
    base: Path
    """What a relative path of kind folder is relative to."""
    ca_bundle: Path | None = None
    claims: Path | None = None
    """The folder where the volume of each location of kind folder is, by its name; None: paths are of here."""


def repositories(backup: Backup | None, only: str | None) -> list[BackupLocation]:
    """Return the declared locations that are repositories: all of them, or the one of a name.

    Raises:
        LocationError: if there is none.
    """
    if backup is None:
        raise LocationError("spec.backup is not declared: name at least one of spec.backup.locations")
    named = [one for one in backup.locations if only in (None, one.name)]
    if only is not None and not named:
        known = ", ".join(one.name for one in backup.locations)
        raise LocationError(f"location {only!r} is not declared; declared are {known}")
    found = [one for one in named if one.kind != "volumeSnapshots"]
    if not found:
        raise LocationError(
            "production: volume snapshots are made and restored by the operator of a cluster, with a TradingBackup; "
            "declare a location of kind folder or s3 for backups from here"
        )
    return found


def repository(location: BackupLocation, machine: Machine) -> Repository:
    """Return the repository of a location.

    Raises:
        SecretError: if its secret cannot be used.
    """
    assert location.secret_ref is not None  # noqa: S101 (a rule of the declaration)
    entries = read_secret(machine.secrets / location.secret_ref.name, location.kind)
    variables = {"RESTIC_PASSWORD": entries[PASSWORD]}
    if location.kind == "s3":
        variables |= {"AWS_ACCESS_KEY_ID": entries[ACCESS_KEY], "AWS_SECRET_ACCESS_KEY": entries[SECRET_KEY]}
        url = f"s3:{location.url}"
    elif machine.claims is not None:
        url = str(machine.claims / location.name / str(location.path).lstrip("/"))
    else:
        url = str((machine.base / str(location.path)).absolute())
    where = f"location {location.name}"
    return Repository(where, url, variables, machine.work / "restic" / location.name, machine.ca_bundle)


def opened(location: BackupLocation, machine: Machine, *, make: bool) -> Repository:
    """Return a location's repository, known to be there and to be the one that it was before.

    `make`: a location that has never been used gets a new repository. One that was used and is gone does not: that is
    reported, instead of beginning again as if nothing had been kept.

    Raises:
        SecretError, ResticMissing: if it cannot be opened.
        RepositoryError: if it is gone, another one, or out of reach.
    """
    found = repository(location, machine)
    known = _known(machine.work)
    was = known.get(location.name)
    try:
        identity = found.identity()
    except RepositoryError as error:
        if error.failure not in (Failure.NO_REPOSITORY, Failure.NO_BUCKET):
            raise
        if was is not None or not make:
            raise RepositoryError(found.where, error.failure, found.url) from error
        found.make()
        identity = found.identity()
    if was is not None and was != identity:
        raise RepositoryError(
            found.where,
            Failure.NO_REPOSITORY,
            f"{found.url} holds another repository than before; delete {machine.work / _KNOWN} to use it",
        )
    if was is None:
        machine.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(machine.work / _KNOWN, json.dumps({**known, location.name: identity}, indent=1).encode())
    return found


def _known(work: Path) -> Mapping[str, str]:
    try:
        found = json.loads((work / _KNOWN).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
