from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bellwether.local.files import RunError
from bellwether.local.replay import ReplayOptions, time_left
from bellwether.local.replay_vary import summed, table, vary_file

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "replay.yaml"


def report(folder: Path, step: float) -> None:
    """Leave a report of 60 sessions that gain and lose in turn."""
    values = [1000.0]
    for number in range(59):
        values.append(values[-1] * (1.0 + step + (0.01 if number % 2 else -0.01)))
    performance: dict[str, Any] = {
        "total_return": {"value": values[-1] / 1000.0 - 1.0},
        "sharpe": {"value": 15.87 * step / 0.01},
        "max_drawdown": {"value": -0.012},
    }
    found = {
        "initial_cash": "1000",
        "curves": [{"values": values, "performance": performance}],
        "orders": {"filled": 12},
        "judgement": {"hit_rate": {"value": 0.5, "low": 0.4, "high": 0.6}},
    }
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "report.json").write_text(json.dumps(found))


def test_the_table_says_what_each_came_to_and_that_the_best_is_luck(tmp_path: Path) -> None:
    for number, step in enumerate((0.0, 0.001)):
        report(tmp_path / f"{number:02d}", step)
    names = ("as declared", "predictions.margin=0.02", "predictions.margin=0.03")
    found = summed([(name, tmp_path / f"{number:02d}") for number, name in enumerate(names)])
    assert [one.filled for one in found] == [12, 12, 0]
    assert (found[0].deflated_sharpe or 0.0) < (found[1].deflated_sharpe or 0.0) < 1.0
    lines = table(found)
    assert lines[2].startswith("predictions.margin=0.02")
    assert "50.0% (40.0% to 60.0%)" in lines[2]
    # The one that left no report has no figures, and the others are compared all the same.
    assert lines[3].split() == ["predictions.margin=0.03", "-", "-", "-", "0", "-", "-"]
    assert "The best of 2 is chosen by luck" in "\n".join(lines)


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ("trading.exit.horizonsessions=3", "has no field horizonsessions"),
        ("trading.exit.horizonSessions", "is written path=value,value"),
        ("trading.exit.horizonSessions=soon", "must be a whole number"),
        ("predictions.margin=-1", "predictions.margin=-1: "),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_replayed(tmp_path: Path, vary: str, words: str) -> None:
    with pytest.raises(RunError, match=words):
        vary_file(SAMPLE, ReplayOptions(data=tmp_path), [vary])
    assert not list(tmp_path.glob("*/data"))


def test_the_time_that_is_left_follows_from_the_sessions_that_are_done() -> None:
    assert time_left(5.0, 0, 100) == ""
    assert time_left(5.0, 50, 100) == "10 s left"
    assert time_left(50.0, 50, 100) == "1 min 40 s left"
