"""Holding the work of a slot in its middle, so that something can be killed there for sure."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from e2e.lab import System

PATIENCE = 60
"""Seconds after a slot was due within which its work is to begin."""
_HOLD = """
import sqlite3, sys, time
from pathlib import Path
slot, due, patience = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
def store(name):
    (file,) = Path("/data").rglob(name)
    return sqlite3.connect(file, isolation_level=None)
slots, decisions = store("slots.db"), store("decisions.db")
def status():
    return (slots.execute("SELECT status FROM slots WHERE name = ?", (slot,)).fetchone() or ("none",))[0]
while time.time() < due:
    time.sleep(0.01)
decisions.execute("BEGIN IMMEDIATE")
while (found := status()) == "none" and time.time() < due + patience:
    time.sleep(0.01)
print(found, flush=True)
sys.stdin.read()
print(status(), flush=True)
"""
"""Runs beside the services, which wait up to 5 s for the store of decisions that it has locked."""


@contextmanager
def held(system: System, slot: str, due: datetime) -> Iterator[None]:
    """Have the work of a slot begin and come no further while the block lasts, which is to be short.

    Between its claim and its decisions the scheduler has it as running. That it still is so at the end of the block is
    checked where the system is still there.
    """
    reported = [slot, str(due.timestamp()), str(PATIENCE)]
    exec_ = ["-n", system.namespace, "exec", "-i", f"{system.name}-0", "-c", "services", "--", "python", "-c", _HOLD]
    command = [*system.lab.env.kubectl(), *exec_, *reported]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            found = holder.stdout.readline().strip()
            assert found == "running", f"{slot} was to be caught in its work; it is {found or 'not to be seen'}"
            yield
            left, _ = holder.communicate(timeout=PATIENCE)
            assert left.strip() in ("running", ""), f"{slot} did not wait; it is {left.strip()}"
        finally:
            holder.kill()
