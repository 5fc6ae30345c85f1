"""The operator killed again and again in the middle of a backup, beside drivers that are slow, fail, or are stuck."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bellwether_operator.backups.status import status_of
from bellwether_operator.backups.steps import Progress, Stored
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


URL = "https://s3.example/trade"
FAR = {"name": "far", "kind": "s3", "url": URL, "secretRef": {"name": "far-repository"}}
FIGURES = {"pieces": 9, "rows": 12, "messages": 40, "orders": 3, "fills": 2, "seconds": 1.5, "decisions equal": 2}


def keep_in_a_bucket(world: World, **location: Any) -> None:
    """Make the backup of a world a complete one in a bucket, of a system that is gone, that is to be tested."""
    world.backup["spec"] |= {"location": "far", "drill": True}
    stored = Stored("far", URL, 1, None, "20261127T213005Z", "2026-11-27", 3 << 30, 9)
    progress = Progress(state="complete", reason="Verified", cut_at=world.now, ended_at=world.now, stored=stored)
    spec = {"symbols": ["CBA.AX"], "backup": {"locations": [{**FAR, **location}]}}
    then = json.dumps({"metadata": {"name": "demo"}, "spec": spec})
    world.backup["status"] = status_of(progress, world.backup, world.now, declaration=then)


OUTCOMES = (
    (json.dumps(FIGURES), True, "9 pieces, 12 rows, 40 messages, 3 orders, 2 fills, restored in 1.5 s; decisions"),
    ("error: backup 20261127T213005Z cannot be trusted: ledger.db", False, "backup 20261127T213005Z cannot be"),
)


async def test_whatever_call_was_the_last_one_a_repository_is_restored_for_its_test_and_no_scratch_stays(
    tmp_path: Path,
) -> None:
    kills = 0
    for calls in range(1, 25):
        said, verified, reported = OUTCOMES[calls % 2]
        world = World(tmp_path / str(calls), Random("drills"), "none")
        world.calls_left, world.works_again, world.says = calls, world.outage, said
        keep_in_a_bucket(world)
        await backed_up(world, most_kills=1)
        assert (world.scratch, world.progress.verified) == ({}, verified), calls
        assert world.progress.drill_message.startswith(reported)
        kills += world.kills
    assert kills > 15


async def test_a_repository_that_no_declaration_has_any_more_is_not_tested_and_that_is_reported(tmp_path: Path) -> None:
    world = World(tmp_path, Random("drills"), "none")
    world.calls_left, world.works_again = 10**9, world.outage
    keep_in_a_bucket(world, url="https://elsewhere.example/trade")
    await backed_up(world)
    assert (world.scratch, world.progress.verified, world.progress.drill_reason) == ({}, False, "RestoreFailed")
    assert "has location far at https://s3.example/trade" in world.progress.drill_message
