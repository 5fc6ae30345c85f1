"""The same recorded days give the same bytes: over either bus, and after kills of the process or of NATS."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bellwether.prediction import service as prediction
from bellwether.prediction.gather import Question, gather_inputs
from bellwether.runtime.errors import RpcError
from bellwether.scheduling.conductor import COMMIT_SESSIONS, Conductor
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store
from soak import hashes
from soak.evidence import Evidence, differences, violations
from soak.replays import struck, undisturbed, undisturbed_over_nats

pytestmark = pytest.mark.integration


async def test_the_days_hold_enough_to_compare(expected: Evidence) -> None:
    assert len(expected.decisions) == 39 * 2 * 4
    assert len(expected.equity) == 39
    assert sum(event.startswith("filled:") for event in expected.ledger.values()) > 15
    assert sum("ORDERS_PER_SESSION" in event for event in expected.ledger.values()) > 10
    assert len(expected.outcomes) > 200


async def test_the_first_year_of_the_sample_gives_the_recorded_hashes(tmp_path: Path, trained: Path) -> None:
    model = hashes.model_hash(trained)
    if not hashes.comparable(model):
        pytest.skip(f"a {hashes.processor_kind()} fits another model than the recorded one")
    assert model == hashes.recorded()["model"]
    found = await undisturbed(tmp_path, trained, hashes.sample(hashes.FIRST_YEAR), group_commit=True)
    assert hashes.hashes(found) == hashes.recorded()["until"][hashes.FIRST_YEAR]


async def test_a_memory_bus_with_each_commit_gives_the_same(
    tmp_path: Path, trained: Path, winter: TradingSystem, expected: Evidence
) -> None:
    assert differences(expected, await undisturbed(tmp_path, trained, winter)) == []
    assert violations(tmp_path / "data") == []


async def test_nats_gives_the_same(tmp_path: Path, trained: Path, winter: TradingSystem, expected: Evidence) -> None:
    assert differences(expected, await undisturbed_over_nats(tmp_path, trained, winter)) == []
    assert violations(tmp_path / "data") == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_process_killed_again_and_again_gives_the_same(
    tmp_path: Path, trained: Path, winter: TradingSystem, expected: Evidence, seed: int
) -> None:
    trial = await struck(tmp_path / "struck", trained, winter, expected, kind="process", seed=seed, strikes=6)
    assert trial.violations == []
    assert len(trial.strikes) == 6


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_nats_server_killed_again_and_again_gives_the_same(
    tmp_path: Path, trained: Path, winter: TradingSystem, expected: Evidence, seed: int
) -> None:
    trial = await struck(tmp_path / "struck", trained, winter, expected, kind="nats", seed=seed, strikes=5)
    assert trial.violations == []
    assert len(trial.strikes) == 5


async def test_a_service_that_is_unreachable_for_one_symbol_changes_nothing(
    tmp_path: Path, trained: Path, winter: TradingSystem, expected: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"AAPL": 3, "IBM": 1}
    batch_that_trades = datetime(2009, 1, 6, tzinfo=UTC).date()

    async def gather(question: Question, *rest: Any) -> Any:
        found = await gather_inputs(question, *rest)
        for symbol in question.symbols:
            if question.as_of.date() >= batch_that_trades and question.trade_asked and away.get(symbol, 0):
                away[symbol] -= 1
                found[symbol] = RpcError("UNAVAILABLE", "market-data is unreachable on purpose")
        return found

    monkeypatch.setattr(prediction, "gather_inputs", gather)
    found = await undisturbed(tmp_path, trained, winter)
    assert set(away.values()) == {0}
    assert differences(expected, found) == []
    assert violations(tmp_path / "data") == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_command_killed_again_and_again_gives_the_same(
    tmp_path: Path, trained: Path, winter: TradingSystem, expected: Evidence, seed: int
) -> None:
    trial = await struck(tmp_path / "struck", trained, winter, expected, kind="command", seed=seed, strikes=4)
    assert trial.violations == []
    assert len(trial.strikes) >= 3


async def test_a_kill_between_the_databases_of_a_group_of_sessions_gives_the_same(
    tmp_path: Path, trained: Path, winter: TradingSystem, expected: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, make_durable = Store.flush, Conductor.make_durable
    copies: list[Path] = []
    at_work = False

    async def flushing(self: Store) -> None:
        await flush(self)
        if at_work:
            # What is on disk now is what a kill would leave.
            copies.append(tmp_path / f"killed-{len(copies)}")
            shutil.copytree(self.path.parent, copies[-1] / "data")

    async def making(self: Conductor) -> None:
        nonlocal at_work
        at_work = not copies
        await make_durable(self)
        at_work = False

    monkeypatch.setattr(Store, "flush", flushing)
    monkeypatch.setattr(Conductor, "make_durable", making)
    assert differences(expected, await undisturbed(tmp_path, trained, winter, group_commit=True)) == []
    monkeypatch.undo()
    assert len(copies) >= 4
    assert len(expected.equity) > COMMIT_SESSIONS
    for folder in copies:
        assert differences(expected, await undisturbed(folder, None, winter, group_commit=True)) == []
        assert violations(folder / "data") == []
