"""The bench's own way through a small size: the figures are there, and the operator leaves alone what is in order."""

from pathlib import Path

import pytest

from bench.operator_figures import Plan
from bench.operator_sides import Gateways
from bench.operators import measure


def test_a_small_size_is_measured_from_creation_to_the_last_edit() -> None:
    section = measure(Plan(sizes=(1, 3), edits=4, block=2, repairs=2, storms=1, touches=3, rest=0.5))
    rows = {figure.what: figure for figure in section.figures}
    assert rows["3 systems: writes per pass that has nothing to do"].value == 0
    assert rows["3 systems: API calls per pass that has nothing to do"].value == 0
    for what in ("edit to child patched, p99", "deleted child restored, p99", "operator start to all reconciled"):
        assert rows[f"1 system: {what}"].value > 0
        assert rows[f"3 systems: {what}"].value > 0


async def test_a_stub_of_the_gateways_that_cannot_start_is_reported_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    gateways = Gateways(tmp_path)
    with pytest.raises(RuntimeError, match=r"operator_gateway ended with 1; its log ends: .*No module named 'bench'"):
        await gateways.listening()


async def test_a_stub_of_the_gateways_that_does_not_listen_in_time_is_named_with_its_port(tmp_path: Path) -> None:
    gateways = Gateways(tmp_path)
    try:
        with pytest.raises(RuntimeError, match=f"does not listen on port {gateways.port} in 0 s"):
            await gateways.listening(0)
        await gateways.listening()
    finally:
        await gateways.stop()
