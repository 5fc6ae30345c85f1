"""The operator killed again and again in the middle of a backup, beside drivers that are slow, fail, or are stuck."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from bellwether_operator.backups.steps import QUIESCE
from harness.backed_up import FILES, World, backed_up

SEEDS = range(int(os.environ.get("BELLWETHER_BACKUP_SEEDS", "0"))) or (0, 1, 2, 20, 30)
"""`make soak` asks for the first 50; of the usual ones the last two once ended complete with torn volumes."""
RESTARTS = timedelta(seconds=30)
"""How much longer than its deadline a system may be without pods while operators are killed in that very second."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_backup_is_complete_with_every_piece_or_failed_and_the_system_runs_again(
    seed: int, tmp_path: Path
) -> None:
    world = World(tmp_path, Random(f"backups {seed}"))
    await backed_up(world)
    progress = world.progress
    assert world.kills > 0
    assert world.has_pods
    assert timedelta(seconds=world.longest) <= QUIESCE + RESTARTS
    if progress.state == "failed":
        assert progress.reason in {"SnapshotFailed", "QuiesceTimeout"}
        assert world.driver.fault != "none" or world.works_again - world.outage > QUIESCE
        return
    assert world.driver.fault not in {"stuck", "final"}
    assert len(progress.volumes) == len(world.volumes)
    held = [world.held(volume.snapshot) for volume in progress.volumes]
    # Every file of every volume is of the same moment, at which nobody wrote.
    assert all(len(each) == len(FILES) for each in held)
    assert len({said for each in held for said in each}) == 1
