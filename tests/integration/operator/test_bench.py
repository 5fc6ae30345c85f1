"""The bench's own way through a small size: the figures are there, and the operator leaves alone what is in order."""

from bench.operators import Plan, measure


def test_a_small_size_is_measured_from_creation_to_the_last_edit() -> None:
    section = measure(Plan(sizes=(1, 3), edits=4, block=2, repairs=2, storms=1, touches=3, rest=0.5))
    rows = {figure.what: figure for figure in section.figures}
    assert rows["3 systems: writes per pass that has nothing to do"].value == 0
    assert rows["3 systems: API calls per pass that has nothing to do"].value == 0
    for what in ("edit to child patched, p99", "deleted child restored, p99", "operator start to all reconciled"):
        assert rows[f"1 system: {what}"].value > 0
        assert rows[f"3 systems: {what}"].value > 0
