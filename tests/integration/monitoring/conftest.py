"""What monitoring's tests have in common."""

from __future__ import annotations

import pytest

from bellwether.runtime.machine import Machine, MachineFigures

ROOMY = MachineFigures("host", 1.0, 10.0, 10.0)


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a machine with room: how full the memory is of the one that the tests run on is no alarm of theirs."""
    monkeypatch.setattr(Machine, "figures", lambda _: ROOMY)
