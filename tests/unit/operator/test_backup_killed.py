"""The operator killed again and again in the middle of a backup, beside drivers that are slow, fail, or are stuck."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from harness.backed_up import World, backed_up, violations

SEEDS = (0, 1, 2, 20, 30)
"""`make soak` runs the first 50; of these the last two once ended complete with torn volumes."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_backup_is_complete_with_every_piece_or_failed_and_the_system_runs_again(
    seed: int, tmp_path: Path
) -> None:
    world = World(tmp_path, Random(f"backups {seed}"))
    await backed_up(world)
    assert world.kills > 0
    assert violations(world) == []


@pytest.mark.parametrize(("fault", "reason"), [("partial", "NotWhole"), ("none", "Verified")])
async def test_whatever_call_was_the_last_one_a_backup_counts_by_what_was_read_and_no_scratch_stays(
    fault: str, reason: str, tmp_path: Path
) -> None:
    kills = 0
    for calls in range(1, 60):
        world = World(tmp_path / str(calls), Random("backups 4"), fault)
        world.calls_left, world.works_again = calls, world.outage
        await backed_up(world, most_kills=1)
        assert (violations(world), world.progress.reason) == ([], reason), calls
        kills += world.kills
    assert kills > 40
