"""What backups by restic take, as what they keep grows ten times; and what a drill and a restore take."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellwether.local.backup_places import nats_over
from bellwether.local.files import load_system
from bellwether.local.state import RunDirectory
from bellwether.render.nats import BOOTSTRAP
from bellwether.runtime.bootstrap import bootstrap
from bellwether.runtime.declaration import encode_declaration
from bench.report import Figure, Section
from bench.trained import SAMPLE, copy_model

TITLE = "Backups on one machine"
BEGINNING = (("2009-01-30", "2009-02-02"), ("2009-10-19", "2009-10-20"))
"""The last day of a full backup, and of the incremental one of a session more: after 20 sessions, then after 200."""
SESSIONS = (20, 200)
LONGEST = 1800.0

_HOW = (
    f"The sample is replayed for {SESSIONS[0]} sessions, a full backup made into a new repository, one session more "
    f"replayed and an incremental one made; the same after {SESSIONS[1]} sessions. Seconds are of the whole command "
    "`bellwether backup create`, with its check of what was stored; bytes are what the repository grew by, after "
    "encryption and compression. Then `bellwether backup drill`, and `bellwether restore` of the newest. "
    "Bytes are 10^6."
)


@dataclass(frozen=True)
class Made:
    """A backup that was made."""

    seconds: float
    stored: float
    """MB that the repository grew by."""
    kept: float
    """MB of its pieces."""


def measure() -> Section:
    """Back a growing run up, test the last backup, and restore it."""
    if shutil.which("restic") is None:
        return Section(TITLE, "", [], failure="restic is not installed: python -m devcluster needs --install")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(Path(folder))
        for sessions, (full, more) in zip(SESSIONS, BEGINNING, strict=True):
            run.forget()
            run.replay_to(full)
            whole = run.back_up("--full")
            run.replay_to(more)
            part = run.back_up()
            figures += [
                Figure(f"{sessions} sessions: full", whole.seconds, "s", note=f"{whole.kept:.1f} MB of pieces"),
                Figure(f"{sessions} sessions: full, stored", whole.stored, "MB"),
                Figure(f"{sessions} sessions: incremental after one session more", part.seconds, "s"),
                Figure(f"{sessions} sessions: incremental, stored", part.stored, "MB"),
            ]
        figures.append(
            Figure(f"{SESSIONS[-1]} sessions: drill, decisions computed again", run.timed("backup", "drill"), "s")
        )
        figures.append(Figure(f"{SESSIONS[-1]} sessions: restore, verified", run.timed("restore", "--yes"), "s"))
    return Section(TITLE, _HOW, figures)


class _Run:
    """A local run that is not running, with one repository."""

    def __init__(self, folder: Path) -> None:
        self._state = RunDirectory(folder / "state")
        self._repository = folder / "repository"
        secrets = folder / "secrets"
        secrets.mkdir()
        (secrets / "bench").write_text("password=only-of-a-measurement\n")
        (secrets / "bench").chmod(0o600)
        self._environment = {
            **os.environ,
            "BELLWETHER_SECRETS": str(secrets),
            "BELLWETHER_STATE": str(folder / "state"),
        }
        place = {"name": "disk", "kind": "folder", "path": str(self._repository), "secretRef": {"name": "bench"}}
        document: dict[str, Any] = json.loads(encode_declaration(load_system(SAMPLE)))
        document["spec"]["backup"] = {"locations": [place]}
        self._file = folder / "system.json"
        self._file.write_text(json.dumps(document))
        copy_model(self._state.data)
        self._state.declaration.write_bytes(encode_declaration(load_system(self._file)))
        asyncio.run(_make_streams(self._state))

    def replay_to(self, day: str) -> None:
        self._bellwether("replay", str(self._file), "--to", day, "--data", str(self._state.data))

    def forget(self) -> None:
        """Begin a new repository."""
        shutil.rmtree(self._repository, ignore_errors=True)
        shutil.rmtree(self._state.root / "backup", ignore_errors=True)

    def back_up(self, *options: str) -> Made:
        before, began = _megabytes(self._repository), time.monotonic()
        said = json.loads(self._bellwether("backup", "create", "-o", "json", *options))
        seconds = time.monotonic() - began
        return Made(seconds, _megabytes(self._repository) - before, int(said["size"]) / 1e6)

    def timed(self, *command: str) -> float:
        began = time.monotonic()
        self._bellwether(*command)
        return time.monotonic() - began

    def _bellwether(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "bellwether", *arguments]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=LONGEST, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"bellwether {' '.join(arguments[:2])}: {done.stderr.strip()[-500:]}")
        return done.stdout


async def _make_streams(state: RunDirectory) -> None:
    """Make the streams that a run has from its first start on; a replay needs none."""
    async with nats_over(state) as url:
        await bootstrap(url, state.keys / f"{BOOTSTRAP}.nk")


def _megabytes(folder: Path) -> float:
    """Return what the files of a folder take, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
