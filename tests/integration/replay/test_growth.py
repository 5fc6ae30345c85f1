"""What a session costs the databases does not depend on how many were replayed before it."""

from __future__ import annotations

import re
import sqlite3
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bellwether.scheduling.conductor import Conductor
from bellwether.scheduling.timeline import Step
from bellwether.storage import store
from soak.replays import days, undisturbed

pytestmark = pytest.mark.integration

EARLY = (40, 70)
"""Sessions that are looked at first: all that has a horizon has come to it."""
OFTENER = 600
"""Steps a session that a statement may take more because it runs oftener: orders are not spread evenly."""
TICK = 10
"""Steps between two looks."""
LATE = 40
"""So many sessions at the end are compared with them."""


class Work:
    """What SQLite's machine does for each statement: its steps grow with the rows that are looked at."""

    def __init__(self) -> None:
        self.sessions: list[Counter[str]] = []
        self._now: Counter[str] = Counter()
        self._statement = ""

    def watch(self, connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(self._began)
        connection.set_progress_handler(self._step, TICK)

    def session_over(self) -> None:
        self.sessions.append(self._now)
        self._now = Counter()

    def _began(self, text: str) -> None:
        self._statement = re.sub(r"'(?:[^']|'')*'|\b[\d.]+\b", "?", text)

    def _step(self) -> int:
        self._now[self._statement] += TICK
        return 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    found = Work()
    pragmas, moved = store._pragmas, Conductor._moved

    def watched(synchronous: str, *, grouped: bool) -> Callable[[Any, Any], None]:
        connect = pragmas(synchronous, grouped=grouped)

        def connected(connection: Any, record: Any) -> None:
            connect(connection, record)
            found.watch(connection)

        return connected

    def counted(self: Conductor, step: Step) -> None:
        moved(self, step)
        if step.kind == "close":
            found.session_over()

    monkeypatch.setattr(store, "_pragmas", watched)
    monkeypatch.setattr(Conductor, "_moved", counted)
    return found


async def test_the_last_sessions_cost_as_much_as_the_first(work: Work, tmp_path: Path, trained: Path) -> None:
    await undisturbed(tmp_path, trained, days("2009-01-02", "2009-08-31"), group_commit=True)
    assert len(work.sessions) > 160
    early, late = work.sessions[slice(*EARLY)], work.sessions[-LATE:]
    # Each statement is looked at alone: one that reads all of history would hide among the others for long.
    for statement in {text for session in late for text in session}:
        before = statistics.median(session[statement] for session in early)
        after = statistics.median(session[statement] for session in late)
        assert after <= 1.5 * before + OFTENER, f"{before:.0f} steps a session became {after:.0f}: {statement}"
    before, after = (statistics.median(map(Counter.total, some)) for some in (early, late))
    assert after <= 1.3 * before
