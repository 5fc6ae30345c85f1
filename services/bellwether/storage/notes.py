"""Notes of what a service's files are while its writes are held: a copy of the volume says itself whether it is whole.

A note lies beside the files, is copied with them, and goes before anything is written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bellwether.storage.folders import digest_of, listing, write_durably

PREFIX = ".held-"
_SUFFIX = ".json"


def note_path(data: Path, service: str) -> Path:
    """Return where the note of a service lies."""
    return data / f"{PREFIX}{service}{_SUFFIX}"


def write_note(data: Path, service: str, names: Iterable[str]) -> None:
    """Note the SHA-256 of every file under some names of a folder."""
    found = {path: digest_of(data / path) for path in listing(data, names).files}
    write_durably(note_path(data, service), json.dumps(found, sort_keys=True).encode())


def noted_services(data: Path) -> set[str]:
    """Return the services of which a folder has a note."""
    return {path.name.removeprefix(PREFIX).removesuffix(_SUFFIX) for path in data.glob(f"{PREFIX}*{_SUFFIX}")}


def differences(data: Path) -> list[str]:
    """Return in words where the files of a folder are not what its notes say; empty where there are none."""
    problems = []
    for service in sorted(noted_services(data)):
        try:
            found: dict[str, str] = json.loads(note_path(data, service).read_bytes())
            expected = sorted(found.items())
        except (ValueError, AttributeError) as error:
            problems.append(f"{note_path(data, service).name}: it cannot be read: {error}")
            continue
        for path, digest in expected:
            if not (data / path).is_file():
                problems.append(f"{path}: missing")
            elif digest_of(data / path) != digest:
                problems.append(f"{path}: its content was changed")
    return problems
