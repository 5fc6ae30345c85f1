"""Running one program to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from devcluster.errors import ClusterError


def run(argv: Sequence[str], *, stdin: str | None = None, seconds: float = 120) -> str:
    """Its standard output; ClusterError with what it said when it fails or takes too long."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=seconds, check=False, errors="replace"
        )
    except FileNotFoundError as error:
        raise ClusterError(f"there is no program {argv[0]}; `needs` names the missing packages") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(argv[:4])} ...` took longer than {seconds:.0f} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise ClusterError(f"`{' '.join(argv)}` ended with {done.returncode}: {said}")
    return done.stdout


def succeeds(argv: Sequence[str], *, seconds: float = 30) -> bool:
    """Whether the program ends with 0; its output is dropped."""
    try:
        run(argv, seconds=seconds)
    except ClusterError:
        return False
    return True
