"""Passwords and credentials of repositories, where a location's `secretRef` says.

In a cluster a Secret is mounted as a folder, a file for each entry. On one machine it is a file of lines `entry=value`
that only its owner can read, in `~/.config/bellwether/secrets`, or in the folder that BELLWETHER_SECRETS names: beside
no system's state, because it has to outlive it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from bellwether.backups.errors import BackupError
from bellwether.spec.backup import PASSWORD, SECRET_ENTRIES

SHORTEST_PASSWORD = 12


class SecretError(BackupError):
    """A secret cannot be used; the message says which, why, and what would be right. It holds nothing of it."""


def secrets_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that secrets are in."""
    named = environ.get("BELLWETHER_SECRETS")
    return Path(named) if named else Path.home() / ".config" / "bellwether" / "secrets"


def read_secret(path: Path, kind: str) -> dict[str, str]:
    """Return the entries that a location of this kind needs.

    Raises:
        SecretError: if one is missing, or others than the owner can read the file.
    """
    if not path.exists():
        raise SecretError(
            f"there is no secret {path.name}: on a machine write {path} with {_lines(kind)} (mode 0600), in a cluster "
            "make a Secret with these entries; keep a copy of it elsewhere: without the password no backup can be read"
        )
    entries = _of_folder(path) if path.is_dir() else _of_file(path)
    for entry in SECRET_ENTRIES[kind]:
        if not entries.get(entry):
            raise SecretError(f"the secret {path} has no entry {entry}: it needs {_lines(kind)}")
    if len(entries[PASSWORD]) < SHORTEST_PASSWORD:
        raise SecretError(f"the secret {path}: password has fewer than {SHORTEST_PASSWORD} characters")
    return {entry: entries[entry] for entry in SECRET_ENTRIES[kind]}


def _of_folder(path: Path) -> dict[str, str]:
    try:
        return {file.name: file.read_text().strip("\r\n") for file in path.iterdir() if file.is_file()}
    except OSError as error:
        raise SecretError(f"the secret {path} cannot be read: {error.strerror}") from error


def _of_file(path: Path) -> dict[str, str]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SecretError(f"the secret {path} has mode {mode:04o}: others can read it; chmod 600 {path}")
        lines = path.read_text().splitlines()
    except OSError as error:
        raise SecretError(f"the secret {path} cannot be read: {error.strerror}") from error
    pairs = (line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _lines(kind: str) -> str:
    return " and ".join(f"a line {entry}=…" for entry in SECRET_ENTRIES[kind])
