"""The order of test files: first those that take long, so that no worker is left alone with one at the end."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
DEVCLUSTER = "../tools/devcluster/tests/integration"
LONG = (
    "e2e/test_training.py",
    "e2e/test_asx_banks.py",
    "e2e/test_open_session.py",
    "e2e/test_compact.py",
    "e2e/test_operator_killed.py",
    "e2e/test_backups.py",
    "e2e/test_repositories.py",
    "e2e/test_in_place.py",
    "integration/models/test_training_under_load.py",
    "integration/local/test_yahoo.py",
    "integration/backups/test_backup.py",
    "integration/backups/test_handed_over.py",
    "integration/operator/test_bench.py",
    "integration/replay/test_equal_bytes.py",
    "integration/local/test_run.py",
    f"{DEVCLUSTER}/test_node.py",
    f"{DEVCLUSTER}/test_csi.py",
    "integration/scheduling/test_scenarios.py",
    "integration/models/test_training.py",
    "integration/models/test_training_job.py",
    "integration/local/test_detached.py",
    "integration/replay/test_replay_variant.py",
    "integration/operator/test_killed.py",
    "integration/operator/test_sessions.py",
    "integration/operator/test_halts.py",
    "integration/local/test_profile.py",
    "integration/market_data/test_yahoo.py",
    "integration/local/test_memory.py",
    "integration/lineage/test_lookahead.py",
    "integration/lineage/test_plan_replay.py",
    "integration/market_data/test_pod.py",
    "integration/scheduling/test_failing.py",
)
"""Files that take more than half a minute each on a quiet machine; of those that mostly wait, the longest first."""
_RANKS = {(TESTS / name).resolve(): rank for rank, name in enumerate(LONG)}


def rank(file: Path) -> int:
    """Return a test file's place: that of a long one, or the one behind them all."""
    return _RANKS.get(file.resolve(), len(LONG))
