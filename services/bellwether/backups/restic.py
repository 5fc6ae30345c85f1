"""restic, the program that keeps backups encrypted and without repetition, in a folder or a bucket.

Password and credentials are handed to it in its environment: they are in no command line and in no file of ours.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bellwether.backups.errors import BackupError
from bellwether.backups.failures import FINAL, Failure, failure_of, is_futile, telling_line

PROGRAM = "restic"
SECONDS = 3600.0
"""How long one command may take."""
Report = Callable[[dict[str, Any]], None]


class ResticMissing(BackupError):
    """There is no restic on this machine; the message says how to get it."""


class RepositoryError(BackupError):
    """A repository cannot be used; the message names the location, what restic says, and what to do."""

    def __init__(self, where: str, failure: Failure, words: str) -> None:
        super().__init__(f"{where}: {failure.value} ({words})")
        self.failure = failure
        self.final = failure in FINAL


@dataclass(frozen=True)
class Snapshot:
    """One snapshot of a repository."""

    id: str
    time: datetime
    host: str
    tags: tuple[str, ...]

    def tag(self, name: str) -> str | None:
        """Return the value of the tag `name=value`, None without one."""
        return next((one.partition("=")[2] for one in self.tags if one.startswith(f"{name}=")), None)


@dataclass(frozen=True)
class Repository:
    """A repository: where it is, and what opens it."""

    where: str
    """For people: the location's name."""
    url: str
    """As restic writes it: a folder, or s3:https://server/bucket/prefix."""
    secrets: Mapping[str, str] = field(repr=False)
    """Variables of restic's environment."""
    work: Path
    """A folder for its cache and its temporary files."""
    ca_bundle: Path | None = None

    def identity(self) -> str:
        """Return the repository's own id."""
        return str(json.loads(self.run("cat", "config"))["id"])

    def make(self) -> None:
        """Make the repository."""
        self.run("init")

    def snapshots(self, *tags: str) -> list[Snapshot]:
        """Return the snapshots that have all of these tags, oldest first."""
        chosen = ["--tag", ",".join(tags)] if tags else []
        found = json.loads(self.run("snapshots", "--json", "--no-lock", *chosen) or "[]") or []
        snapshots = [
            Snapshot(one["id"], _instant(one["time"]), one["hostname"], tuple(one.get("tags") or ())) for one in found
        ]
        return sorted(snapshots, key=lambda one: one.time)

    def save(
        self, folder: Path, *, host: str, tags: Sequence[str], everything: bool, report: Report | None = None
    ) -> dict[str, Any]:
        """Keep all that is in a folder; return restic's summary. `everything`: read every file, whatever it looks like.

        The folder's own path is not kept: its content lies at the top.
        """
        options = [*(word for tag in tags for word in ("--tag", tag)), *(["--force"] if everything else [])]
        summary: dict[str, Any] = {}

        def hear(line: str) -> None:
            message = _json(line)
            if message.get("message_type") == "summary":
                summary.update(message)
            elif report is not None and message.get("message_type") == "status":
                report(message)

        self.run("backup", "--json", "--host", host, *options, ".", folder=folder, report=hear)
        return summary

    def fetch(self, snapshot: str, target: Path) -> None:
        """Write a snapshot's files to a folder; each is compared with its hash on the way."""
        self.run("restore", snapshot, "--target", str(target), "--no-lock", "--verify")

    def read(self, snapshot: str, path: str) -> bytes:
        """Return the content of one small file of a snapshot."""
        return self.run("dump", snapshot, f"/{path}", "--no-lock").encode("utf-8", "surrogateescape")

    def check(self, *, read_data: bool) -> None:
        """Check index and structure, and with `read_data` every byte that is kept."""
        self.run("check", *(["--read-data"] if read_data else []))

    def add_tag(self, snapshot: str, tag: str) -> None:
        """Add a tag to a snapshot; it gets another id by that."""
        self.run("tag", "--add", tag, snapshot)

    def forget(self, snapshots: Sequence[str]) -> None:
        """Remove snapshots, and what no other one uses."""
        self.run("forget", "--prune", *snapshots)

    def unlock(self) -> None:
        """Remove the locks of restic processes that were killed; those of running ones stay."""
        self.run("unlock")

    def run(
        self,
        *arguments: str,
        folder: Path | None = None,
        report: Callable[[str], None] | None = None,
        seconds: float = SECONDS,
    ) -> str:
        """Run one command of restic and return what it wrote.

        Raises:
            ResticMissing: without the program.
            RepositoryError: if it fails; its `failure` says why.
        """
        self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.work / "tmp"
        temporary.mkdir(exist_ok=True)
        trust = [] if self.ca_bundle is None else ["--cacert", str(self.ca_bundle)]
        command = [restic_path(), "--cache-dir", str(self.work / "cache"), *trust, *arguments]
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.work),
            "TMPDIR": str(temporary),
            "RESTIC_REPOSITORY": self.url,
            # For status messages, not for a terminal.
            "RESTIC_PROGRESS_FPS": "1",
            **self.secrets,
        }
        with subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        ) as process:
            return self._heard(process, report, seconds)

    def _heard(self, process: subprocess.Popen[str], report: Callable[[str], None] | None, seconds: float) -> str:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - they were asked for
        complaints: list[str] = []
        late = threading.Event()

        def listen() -> None:
            assert process.stderr is not None  # noqa: S101 - as above
            for line in process.stderr:
                complaints.append(line)
                if is_futile(line):
                    _end(process)

        def expire() -> None:
            late.set()
            _end(process)

        listener = threading.Thread(target=listen, daemon=True)
        timer = threading.Timer(seconds, expire)
        listener.start()
        timer.start()
        written: list[str] = []
        try:
            for line in process.stdout:
                written.append(line)
                if report is not None:
                    report(line)
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            timer.cancel()
            listener.join(5)
        if late.is_set():
            raise RepositoryError(self.where, Failure.TOO_LONG, f"{seconds:g} s")
        if code != 0:
            words = "".join(complaints) + ("" if report else "".join(written))
            raise RepositoryError(self.where, failure_of(words), telling_line(words))
        return "".join(written)


def restic_path() -> str:
    """Return the program: what BELLWETHER_RESTIC names, else the one on PATH.

    Raises:
        ResticMissing: if there is none.
    """
    found = shutil.which(os.environ.get("BELLWETHER_RESTIC", PROGRAM))
    if found is None:
        raise ResticMissing(
            "backups need restic 0.14 or newer: install the package restic (apt-get install restic, dnf install "
            "restic, brew install restic), or set BELLWETHER_RESTIC to the program"
        )
    return found


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def _json(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _instant(text: str) -> datetime:
    """Return restic's time, whose nanoseconds Python does not read."""
    head, _, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return datetime.fromisoformat(f"{head}.{digits[:6]:0<6}{rest[len(digits) :]}".replace("Z", "+00:00"))
