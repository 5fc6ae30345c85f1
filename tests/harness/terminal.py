"""The command line as a person has it: in a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from environments.machine import ROOT

LINES, COLUMNS = 50, 160
CTRL_C = "\x03"
_STEERING = re.compile(r"\x1b(\[[0-9;?<>=]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>])")


@dataclass(frozen=True)
class Screen:
    """What was shown until a command ended, without what steers the terminal, and its exit code."""

    text: str
    code: int

    def ended(self, code: int, *words: str) -> Screen:
        """Return itself; fail where it ended with another code, showed a traceback, or lacks one of the words."""
        assert self.code == code, self.text
        assert "Traceback" not in self.text, self.text
        for one in words:
            assert one in self.text, self.text
        return self

    @property
    def lines(self) -> list[str]:
        """The lines that are not empty."""
        return [line.strip() for line in self.text.splitlines() if line.strip()]


@dataclass(frozen=True)
class Terminal:
    """Runs `bellwether`, in a folder where one is given."""

    seconds: float
    """The longest that one command may take."""
    hints: Sequence[str] = ()
    """The shell lines that lead a person to the cluster."""
    program: Sequence[str] = (sys.executable, "-m", "bellwether")
    folder: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def run(self, *arguments: str, keys: str = "", when: str = "") -> Screen:
        """Run a command to its end; `keys` are typed once it has shown `when`.

        Raises:
            AssertionError: when it does not end in time; with what it showed.
        """
        pid, terminal = pty.fork()
        if pid == 0:
            try:
                # A shell that starts tests in the background has them ignore Ctrl-C, which a person's does not.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                # Here, not beside it: a command that is quick would have seen no size.
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
                os.chdir(self.folder)
                command = [*self.program, *arguments]
                os.execvpe(command[0], command, self._variables())  # noqa: S606 (no shell is wanted)
            finally:
                os._exit(127)
        shown, typed, deadline = b"", not keys, time.monotonic() + self.seconds
        try:
            while chunk := _read(terminal, deadline):
                shown += chunk
                if not typed and when in _plain(shown):
                    os.write(terminal, keys.encode())
                    typed = True
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            words = f"bellwether {' '.join(arguments)}: no end within {self.seconds:g} s"
            words += "" if not keys else f", {keys!r} was typed" if typed else f", never showed {when!r}"
            plain = _plain(shown)
            # A summary has the first line only: what was shown last tells more there than what was shown first.
            raise AssertionError(f"{words}; last: {' '.join(plain.split())[-600:]}\n{plain}") from None
        finally:
            os.close(terminal)
        _, status = os.waitpid(pid, 0)
        return Screen(_plain(shown), os.waitstatus_to_exitcode(status))

    def _variables(self) -> dict[str, str]:
        found = {**self.environment, "PYTHONPATH": str(ROOT / "services"), "TERM": "xterm-256color"}
        for hint in self.hints:
            name, _, value = hint.removeprefix("export ").partition("=")
            found[name] = value.replace("$PATH", found["PATH"])
        return found


def _read(terminal: int, deadline: float) -> bytes:
    """Return what was shown next; nothing at the end.

    Raises:
        TimeoutError: when the deadline is over.
    """
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                return os.read(terminal, 65536)
            except OSError:  # Linux says so when nobody has the other side open any more.
                return b""
    raise TimeoutError


def _plain(shown: bytes) -> str:
    return _STEERING.sub("", shown.decode(errors="replace")).replace("\r\n", "\n")
