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
