"""A machine that systemd has booted, in namespaces of its own, with the program installed as docs/operations.md says.

Its root is a minimal Debian that is made once and kept; what a test writes there lies in memory and goes with it. It
has no network but its own loopback. Memory and task limits are not enforced where the host has cgroup v1.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devcluster import needs
from environments.machine import CLUSTERS
from harness.terminal import Terminal

ROOT = Path(__file__).parents[2]
_SUITE = "bookworm"
_PACKAGES = ("dbus", "dbus-user-session", "libpam-systemd", "python3", "systemd", "systemd-sysv")
_PROGRAMS = {
    "debootstrap": needs.PACKAGES_OF_IMAGES["debootstrap"],
    **{program: CLUSTERS.packages[program] for program in ("systemd-nspawn", "systemd-analyze")},
}
_PYTHON = (3, 11)
"""Of that Debian: the packages of the virtual environment have to be for the same."""
HOME = "/opt/bellwether"
BOOT_SECONDS = 300.0
LONGEST = 300.0
"""What a command may take: to start all units takes half a minute where nothing else runs."""
_BELLWETHER = ["env", f"PYTHONPATH={HOME}/services", f"{HOME}/venv/bin/python", "-m", "bellwether"]


def obstacle() -> str | None:
    """Return why no machine can be booted here, or None."""
    if os.geteuid() != 0:
        return "only root can boot a machine in namespaces"
    if sys.version_info[:2] != _PYTHON:
        return (
            f"the machine has Python 3.11, and the environment of the tests {sys.version_info[0]}.{sys.version_info[1]}"
        )
    lacking = [package for program, package in _PROGRAMS.items() if not needs.there(program)]
    return f"the Debian packages {' '.join(lacking)} are not installed" if lacking else None


def _tree() -> Path:
    """Return the folder of the minimal Debian; the first time it is made, in about a minute."""
    kind = hashlib.sha256(repr((_SUITE, _PACKAGES)).encode()).hexdigest()[:12]
    home = CLUSTERS.cache_home / "booted"
    tree = home / kind
    if not tree.exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as folder:
            made = Path(folder) / "tree"
            command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(made)]
            subprocess.run(command, check=True, capture_output=True, timeout=900)
            (made / HOME.removeprefix("/")).mkdir(parents=True)
            with contextlib.suppress(OSError):  # another run has made it meanwhile
                made.rename(tree)
    return tree


def _install(folder: Path, *, nats: bool = True) -> None:
    """Lay out what the program is installed as; its sources and packages are mounted into it."""
    programs = folder / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to("/usr/bin/python3")
    (folder / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11\n")
    if nats:
        shutil.copy2(Path(sys.prefix) / "bin" / "nats-server", programs)
    for name in ("services", "models", "venv/lib"):
        (folder / name).mkdir(parents=True)


@dataclass(frozen=True)
class Machine:
    """One that runs."""

    pid: int
    """Of its first process, as the host counts."""
    files: Path
    """A folder that it sees as /srv."""

    def run(self, *command: str, seconds: float = LONGEST) -> subprocess.CompletedProcess[str]:
        """Run a command as its root; the caller looks at the exit code."""
        return subprocess.run(
            [*self._within("COLUMNS=200"), *command], capture_output=True, text=True, timeout=seconds, check=False
        )

    def bellwether(self, *arguments: str, seconds: float = LONGEST) -> subprocess.CompletedProcess[str]:
        """Run the installed program."""
        return self.run(*_BELLWETHER, *arguments, seconds=seconds)

    @property
    def terminal(self) -> Terminal:
        """A terminal of its root."""
        return Terminal(150.0, program=[*self._within("TERM=xterm-256color"), *_BELLWETHER])

    def _within(self, *variables: str) -> list[str]:
        environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root", *variables]
        return ["nsenter", "-t", str(self.pid), "-a", "env", "-i", *environment]

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").stdout.strip()


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a machine and end it; `folder` is for its files."""
    program, files = folder / "program", folder / "srv"
    _install(program)
    files.mkdir()
    site = Path(sys.prefix) / "lib"
    mounts = {
        program: HOME,
        ROOT / "services": f"{HOME}/services",
        ROOT / "models": f"{HOME}/models",
        site: f"{HOME}/venv/lib",
    }
    command = ["setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", "-D", str(_tree()), "--volatile=overlay"]
    command += ["--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
    command += [f"--machine=bellwether-{os.getpid()}", f"--bind={files}:/srv"]
    command += [f"--bind-ro={here}:{there}" for here, there in mounts.items()]
    # The tree is only read: several may boot from it.
    environment = os.environ | {"SYSTEMD_NSPAWN_LOCK": "0"}
    said = (folder / "boot.log").open("w")
    with said, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment) as boot:
        try:
            yield Machine(_first_process(boot, folder / "boot.log"), files)
        finally:
            boot.send_signal(signal.SIGTERM)
            try:
                boot.wait(20)
            except subprocess.TimeoutExpired:
                boot.kill()


def _first_process(boot: subprocess.Popen[bytes], log: Path) -> int:
    """Return the first process of the machine, once it says that it has come up."""
    end = time.monotonic() + BOOT_SECONDS
    state = ""
    while boot.poll() is None and time.monotonic() < end:
        children = Path(f"/proc/{boot.pid}/task/{boot.pid}/children").read_text().split()
        for child in children:
            state = Machine(int(child), log.parent).run("systemctl", "is-system-running").stdout.strip()
            if state in ("running", "degraded"):
                return int(child)
        time.sleep(0.1)
    raise AssertionError(f"the machine did not come up ({state or 'no state'}): {log.read_text()[-2000:]}")
