"""Which backup `bellwether restore --system` means, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether.cli import restoring_in_place
from bellwether.cli.client import CommandError
from bellwether.cli.restoring_in_place import newest

ROWS = [
    {"backup_id": "", "status": "running", "session": ""},
    {"backup_id": "20261127T213000Z", "status": "failed", "session": "2026-11-27"},
    {"backup_id": "20261126T213000Z", "status": "complete", "session": "2026-11-26"},
    {"backup_id": "20261125T213000Z", "status": "complete", "session": "2026-11-25"},
]


def test_the_newest_complete_one_is_meant_or_that_of_a_session() -> None:
    assert newest(ROWS, None) == "20261126T213000Z"
    assert newest(ROWS, "2026-11-25") == "20261125T213000Z"
    with pytest.raises(CommandError, match="among the 4 newest there is no complete backup of session 2026-11-27"):
        newest(ROWS, "2026-11-27")


class Statuses:
    """A cluster whose TradingSystem has one status after the other."""

    def __init__(self, *rows: dict[str, Any] | None) -> None:
        self._rows = list(rows)

    def get(self, kind: str, name: str) -> Any:
        row = self._rows.pop(0)
        return None if row is None else {"status": {"restore": row}}


AT = "2026-11-27T22:00:00Z"


def row(step: str, message: str, requested: str = AT, outcome: str = "") -> dict[str, Any]:
    return {"requested": requested, "step": step, "message": message, "outcome": outcome}


def test_it_is_watched_to_the_end_of_this_very_restore(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restoring_in_place, "_PAUSE_SECONDS", 0.0)
    former = row("Ended", "restored", "2026-11-20T22:00:00Z", "Restored")
    cluster = Statuses(
        former, former, row("Stopping", "waiting"), row("Stopping", "waiting"), row("Ended", "no room", AT, "Refused")
    )
    found = restoring_in_place._watched(cluster, "demo", AT)  # type: ignore[arg-type]
    assert (found["outcome"], found["message"]) == ("Refused", "no room")
    said = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert said == ["the operator has not taken it up yet", "Stopping: waiting", "Ended: no room"]


def test_one_that_another_came_before_is_not_watched_for_ever() -> None:
    other = row("Stopping", "waiting", "2026-11-27T22:00:05Z") | {"backup": "20261125T213000Z"}
    with pytest.raises(CommandError, match="another restore was asked for since, of backup 20261125T213000Z: waiting"):
        restoring_in_place._watched(Statuses(other), "demo", AT)  # type: ignore[arg-type]


def test_a_system_that_was_deleted_meanwhile_ends_it() -> None:
    with pytest.raises(CommandError, match="TradingSystem demo is gone"):
        restoring_in_place._watched(Statuses(None), "demo", AT)  # type: ignore[arg-type]
