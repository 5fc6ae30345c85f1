"""Calling the programs that a place is managed with: systemctl, docker, kubectl."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from bellwether.cli.client import CommandError
from bellwether.cli.kubectl_words import failure

SECONDS = 120.0


def run(command: Sequence[str], *, seconds: float = SECONDS, stdin: str | None = None) -> str:
    """Return what a program wrote.

    Raises:
        CommandError: with the program's own last line, if it failed, is missing or takes too long.
    """
    try:
        done = subprocess.run(
            list(command), input=stdin, capture_output=True, text=True, timeout=seconds, check=False, errors="replace"
        )
    except FileNotFoundError as error:
        raise CommandError(f"{command[0]} is not on PATH") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(command)}: no end within {seconds:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(_why(command, done.stderr.strip() or done.stdout, done.returncode))
    return done.stdout


def lines_of(command: Sequence[str]) -> Iterator[str]:
    """Yield the lines that a program writes, as they come; the program ends with the reader.

    Raises:
        CommandError: if it is missing, or failed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        try:
            process = subprocess.Popen(
                list(command), stdout=subprocess.PIPE, stderr=complaints, text=True, errors="replace"
            )
        except FileNotFoundError as error:
            raise CommandError(f"{command[0]} is not on PATH") from error
        try:
            for line in process.stdout or ():
                yield line.rstrip("\n")
            if process.wait() != 0:
                complaints.seek(0)
                raise CommandError(_why(command, complaints.read(), process.returncode))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(10)


def _why(command: Sequence[str], text: str, code: int) -> str:
    """Return why a program failed, from what it wrote and its exit code."""
    if command[0] == "kubectl":
        return failure(text, code)
    return f"{' '.join(command[:3])}: {text.strip() or f'ended with {code}'}"
