from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.ig.trials import Trial
from soak import ig
from soak.finished import Finished, fingerprint


def test_half_a_line_that_a_kill_left_counts_for_nothing(tmp_path: Path) -> None:
    finished = Finished(tmp_path / "state" / "ig.jsonl")
    assert finished.records() == []
    finished.add({"seed": 1})
    with finished.file.open("a") as stream:
        stream.write('{"seed": 2')
    assert finished.records() == [{"seed": 1}]
    finished.add({"seed": 3})
    assert finished.records() == [{"seed": 1}, {"seed": 3}]
    finished.forget()
    finished.forget()
    assert finished.records() == []


def test_any_change_of_a_source_is_another_fingerprint(tmp_path: Path) -> None:
    source = tmp_path / "services" / "deep" / "one.py"
    source.parent.mkdir(parents=True)
    source.write_text("1")
    before = fingerprint(tmp_path, ["services"])
    (tmp_path / "services" / "notes.txt").write_text("no source")
    assert fingerprint(tmp_path, ["services"]) == before
    source.write_text("2")
    assert fingerprint(tmp_path, ["services"]) != before


async def test_an_interrupted_soak_goes_on_with_the_trials_that_an_uninterrupted_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, tuple[str, ...]]] = []
    interrupted_at = -1

    async def one(broker: str, seed: int, aims: Sequence[str]) -> Trial:
        if len(asked) == interrupted_at:
            raise asyncio.CancelledError
        asked.append((broker, seed, tuple(aims)))
        return Trial(broker, seed, [*aims[:4]], 9, 9, 0, 0, [])

    async def soak(name: str) -> list[Trial]:
        return await ig._all({"ig-demo": 12, "simulated": 8}, 1, float("inf"), Finished(tmp_path / name))

    monkeypatch.setattr(ig, "_one", one)
    whole = await soak("whole")
    expected, asked = asked, []
    interrupted_at = 3
    with pytest.raises(asyncio.CancelledError):
        await soak("interrupted")
    interrupted_at = -1
    assert await soak("interrupted") == whole
    assert asked == expected
    # Nothing is left to do.
    assert await soak("interrupted") == whole
    assert asked == expected
