"""The folder of a local run: its identity, keys, databases and the lock that keeps a second run out.

A restored state takes the place of a run's so that a kill at any time leaves one of the two whole. What is restored
lies ready in `backup/next`. A small file, the journal, says that it is to be put in place; from then on whoever opens
the folder brings that to its end first, by renaming alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bellwether.local.files import RunError
from bellwether.render.keys import derive_seed, gateway_token, public_key
from bellwether.render.nats import BOOTSTRAP, CLI
from bellwether.storage.folders import sync_folder, write_durably
from bellwether.topology import SERVICES

BACKUP = "backup"
NEXT = "next"
ASIDE = "before-restore-"
"""How the folder's name begins that the former state is kept in."""
SWAPPED = ("data", "nats", "system.json")
_JOURNAL = "swap.json"


def begin_swap(root: Path, aside: str, names: Sequence[str] = SWAPPED) -> None:
    """Decide that what lies by these names in `backup/next` takes the place of what there is, which goes to `aside`."""
    write_durably(root / BACKUP / _JOURNAL, json.dumps({"aside": aside, "names": list(names)}).encode())


def finish_swap(root: Path) -> Path | None:
    """Bring a decided swap to its end; return where the former state is, None where nothing was decided.

    Nobody else may have the folder open. Doing it again goes on where it was.
    """
    journal = root / BACKUP / _JOURNAL
    if not journal.exists():
        return None
    decided = json.loads(journal.read_text())
    aside = root / str(decided["aside"])
    ready = root / BACKUP / NEXT
    aside.mkdir(mode=0o700, exist_ok=True)
    for name in decided.get("names", SWAPPED):
        if not (ready / name).exists():
            continue
        if (root / name).exists() and not (aside / name).exists():
            (root / name).rename(aside / name)
        (ready / name).rename(root / name)
    for folder in (root, aside):
        sync_folder(folder)
    journal.unlink()
    sync_folder(journal.parent)
    return aside


def kept_aside(path: Path) -> bool:
    """Whether a folder is what a restore has set aside."""
    return path.name.startswith(ASIDE)


IDENTITIES = (*SERVICES, BOOTSTRAP, CLI)
_IDENTITY = "identity.json"


class LockTaken(Exception):
    """A lock file is held by another process, `pid`; None where that wrote down no number."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid or 'unknown'}")
        self.pid = pid


@dataclass(frozen=True)
class Identity:
    """What makes this system this one: made once, kept in a file that only its owner can read."""

    uid: str
    seed: bytes

    @property
    def token(self) -> str:
        """The gateway's bearer token."""
        return gateway_token(self.seed, self.uid)


@dataclass(frozen=True)
class RunDirectory:
    """The places inside the folder."""

    root: Path

    @property
    def data(self) -> Path:
        """Databases and models."""
        return self.root / "data"

    @property
    def keys(self) -> Path:
        """NATS keys, one file per identity."""
        return self.root / "keys"

    @property
    def nats(self) -> Path:
        """What NATS keeps."""
        return self.root / "nats"

    @property
    def nats_conf(self) -> Path:
        """The configuration of NATS."""
        return self.root / "nats.conf"

    @property
    def declaration(self) -> Path:
        """The declaration of the last run, as JSON."""
        return self.root / "system.json"

    @property
    def log(self) -> Path:
        """The services' log."""
        return self.root / "bellwether.log"

    @property
    def nats_log(self) -> Path:
        """The log of NATS."""
        return self.root / "nats.log"

    @property
    def run_file(self) -> Path:
        """Where the gateway of the present run is; for the commands that look for it."""
        return self.root / "run.json"

    @property
    def start_file(self) -> Path:
        """What the last run that came up was started with."""
        return self.root / "start.json"

    @property
    def output(self) -> Path:
        """What a run in the background writes, as it would to a terminal."""
        return self.root / "output.log"

    @property
    def lock(self) -> Path:
        """Held by the run."""
        return self.root / "lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the process that restarts the run after a crash."""
        return self.root / "supervisor.lock"


@contextlib.contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Hold a lock file, with this process' number in it.

    Raises:
        LockTaken: if another process holds it.
        OSError: if it cannot be made.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockTaken(_number_in(lock)) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def lock_holder(path: Path) -> int | None:
    """Return the process that holds a lock file; None: nobody."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _number_in(lock)
    finally:
        os.close(lock)
    return None


def _number_in(lock: int) -> int | None:
    stored = os.pread(lock, 32, 0).decode(errors="replace").strip()
    return int(stored) if stored.isdigit() else None


@contextlib.contextmanager
def opened(root: Path, *, fresh: bool) -> Iterator[RunDirectory]:
    """Make or take up a folder and keep others out of it meanwhile.

    Raises:
        RunError: if another run has it, it cannot be written, or `fresh` would delete what no run made.
    """
    directory = RunDirectory(root)
    with contextlib.ExitStack() as held:
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            held.enter_context(lock_held(directory.lock))
        except LockTaken as taken:
            raise RunError(
                f"another run (process {taken.pid or 'unknown'}) has {root}: end it first, or choose another folder "
                "with --data"
            ) from None
        except OSError as error:
            raise RunError(f"{root} cannot hold a run's state: {error.strerror}; choose another with --data") from error
        if fresh:
            _empty(root)
        finish_swap(root)
        yield directory


def _empty(root: Path) -> None:
    # Records of backups, what a restore set aside, and what belongs to a supervisor are no state of a run.
    directory = RunDirectory(root)
    kept = {directory.lock.name, directory.supervisor_lock.name, directory.output.name, BACKUP}
    others = [path for path in root.iterdir() if path.name not in kept and not kept_aside(path)]
    if others and not (root / _IDENTITY).exists():
        raise RunError(f"--fresh: {root} is not the state of a run, so nothing in it is deleted")
    for path in others:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def identity(directory: RunDirectory) -> Identity:
    """Return the folder's identity; make it when it is new.

    Raises:
        RunError: if the file is there and cannot be read.
    """
    path = directory.root / _IDENTITY
    if not path.exists():
        made = {"uid": str(uuid.uuid4()), "seed": secrets.token_hex(32)}
        write_private(path, json.dumps(made))
    try:
        stored = json.loads(path.read_text())
        return Identity(str(stored["uid"]), bytes.fromhex(stored["seed"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}): begin again with --fresh, or choose another --data") from error


def write_keys(directory: RunDirectory, who: Identity) -> dict[str, str]:
    """Write every identity's NATS seed to a file that only its owner can read; return the public keys."""
    directory.keys.mkdir(mode=0o700, exist_ok=True)
    public: dict[str, str] = {}
    for name in IDENTITIES:
        seed = derive_seed(who.seed, who.uid, name)
        write_private(directory.keys / f"{name}.nk", seed)
        public[name] = public_key(seed)
    return public


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step: whoever reads sees the old or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
