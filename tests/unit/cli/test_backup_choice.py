"""Which backup a command means, and what it says where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bellwether.cli import backup_choice
from bellwether.cli.client import CommandError


def test_a_location_that_could_not_be_opened_gets_no_hint_to_list_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unusable(place: Any, system: Any, only: Any, lost: list[str]) -> Iterator[Any]:
        lost.append("the secret has fewer than 12 characters")
        return iter(())

    monkeypatch.setattr(backup_choice, "opened_repositories", unusable)
    system: Any = SimpleNamespace(metadata=SimpleNamespace(name="demo"))
    place: Any = None
    with pytest.raises(CommandError) as refused:
        backup_choice.found_backup(place, system, None, "20261127T213005Z", None)
    assert str(refused.value) == "the secret has fewer than 12 characters"
