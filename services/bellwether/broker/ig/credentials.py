"""The account at IG: key, login and account, from a file or a mounted Secret. None of it is ever shown."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ENTRIES = ("apiKey", "identifier", "password", "accountId")
VARIABLE = "BELLWETHER_IG_CREDENTIALS"
_LONGEST = 4096


class CredentialsError(Exception):
    """The credentials cannot be used; the message names the place and the entry, never a value."""


@dataclass(frozen=True, repr=False)
class Credentials:
    """What a session is opened with. Its text in logs and traces is the account's last two characters."""

    api_key: str
    identifier: str
    password: str
    account_id: str

    def __repr__(self) -> str:
        return f"Credentials(account ...{self.account_id[-2:]})"


def read_credentials(place: Path | None) -> Credentials:
    """Return the credentials of a JSON file, or of a folder with one file for each entry.

    Raises:
        CredentialsError: saying what is missing, and where.
    """
    if place is None:
        raise CredentialsError(f"{VARIABLE} names no file: it holds the JSON entries {', '.join(ENTRIES)}")
    try:
        found = _folder(place) if place.is_dir() else _file(place)
    except OSError as error:
        raise CredentialsError(f"{place}: {error.strerror}") from error
    return credentials_of(found, str(place))


def credentials_of(entries: Mapping[str, object], place: str) -> Credentials:
    """Return the credentials that these entries say.

    Raises:
        CredentialsError: naming the entry that is missing.
    """
    values = []
    for name in ENTRIES:
        value = entries.get(name)
        if not isinstance(value, str) or not value.strip():
            raise CredentialsError(f"{place}: the entry {name} is missing or empty; there must be {', '.join(ENTRIES)}")
        values.append(value.strip())
    return Credentials(*values)


def _file(place: Path) -> Mapping[str, object]:
    mode = place.stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO) & ~(stat.S_IRGRP):
        raise CredentialsError(f"{place}: others on this machine may read it: chmod 600 {place}")
    try:
        found = json.loads(place.read_bytes()[:_LONGEST])
    except ValueError:
        # Not the parser's words: they may quote what it read.
        raise CredentialsError(f"{place}: it is no JSON object with {', '.join(ENTRIES)}") from None
    if not isinstance(found, dict):
        raise CredentialsError(f"{place}: it is no JSON object with {', '.join(ENTRIES)}")
    return found


def _folder(place: Path) -> Mapping[str, object]:
    return {name: (place / name).read_text("utf-8")[:_LONGEST] for name in ENTRIES if (place / name).is_file()}
