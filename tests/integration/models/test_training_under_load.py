"""Models by a Job's processes while predictions go on: one killed and resumed, judged under `enforce`, taken back.

Closes fall back to their mean of twenty sessions, so the gate accepts most models. A second share is declared after the
first models serve: as features look at all shares, every model is made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.market.sessions import load_calendar
from bellwether.messages.models import TrainingState, TrainModel
from bellwether.messages.prediction import GenerateSinglePrediction, Prediction
from bellwether.messages.registry import ListRegistry, RegisteredModel, RegisteredModels, RollbackModel
from bellwether.models.job_client import DONE
from bellwether.models.training import create as ml_training
from bellwether.runtime.clock import ReplayClock
from bellwether.runtime.errors import RpcError
from bellwether.spec.models import TradingSystem
from harness.csv_bars import HEADER
from harness.nats import nats_server
from harness.replayed import BUILDS, declared, until
from harness.system import System, running
from harness.yahoo.shares import Share
from integration.models.test_training_job import ended, killed_midway, order_of, program

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

RECIPE = "direction-full"
FIRST, SECOND = "MADEUP1", "MADEUP2"
FROM = "2017-06-01"
NOW = datetime(2017, 6, 1, 14, 30, tzinfo=UTC)
PARTS = {**BUILDS, "ml-training": ml_training}
PACE = 0.05
PATIENCE = 600.0
_INSTANTS = itertools.count()
"""Seconds after `NOW`, each for one prediction: what was decided as of an instant would be answered again."""


def write_bars(folder: Path, symbol: str) -> None:
    """Write what was traded of a share whose closes fall back to their mean, up to `NOW`."""
    rows = Share(symbol, load_calendar("XNYS"), signal=0.5).rows(NOW)[:-1]
    lines = [
        f"{row.session.day},{row.open:.4f},{row.high:.4f},{row.low:.4f},{row.close:.4f},{row.close:.4f},{row.volume}"
        for row in rows
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"{symbol}.csv").write_text("\n".join([HEADER, *lines]) + "\n")


def system_of(folder: Path, *symbols: str) -> TradingSystem:
    return declared(
        symbols=list(symbols),
        data={"provider": "csv", "csv": {"directory": str(folder)}},
        clock={"mode": "replay", "from": FROM},
        predictions={"model": RECIPE},
        training={"gate": {"mode": "enforce"}, "job": {"parallelism": 2}},
    )


async def serving(system: System) -> dict[str | None, str]:
    """Return the versions in service by symbol; each passed the gate."""
    found: RegisteredModels = await system.call("ml-training", "list_registry", ListRegistry(), RegisteredModels)
    models = [one for one in found.models if one.stage == "serving"]
    assert all(one.passed for one in models), models
    return {one.symbol: one.version for one in models}


async def training(system: System) -> TrainingState:
    reported: TrainingState = await system.call("ml-training", "get_training", None, TrainingState)
    assert reported.error == ""
    return reported


class Load:
    """Predictions one after the other, and what came of them."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.versions: Counter[str] = Counter()
        self.failed: list[str] = []

    @contextlib.asynccontextmanager
    async def going_on(self, *symbols: str) -> AsyncIterator[None]:
        """Ask for each symbol all the time while the block lasts."""
        asking = [asyncio.create_task(self._ask(symbol)) for symbol in symbols]
        try:
            yield
        finally:
            for each in asking:
                each.cancel()

    async def _ask(self, symbol: str) -> None:
        question = GenerateSinglePrediction(symbol, force_refresh=True)
        for number in _INSTANTS:
            at = NOW + timedelta(seconds=number)
            try:
                found: Any = await self._system.call(
                    "prediction", "generate_single_prediction", question, Prediction, as_of=at, budget=60.0
                )
            except RpcError as error:
                self.failed.append(f"{symbol}: {error}")
            else:
                if found.model_available:
                    self.versions[found.model_version] += 1
                else:
                    self.failed.append(f"{symbol}: {found.reasons}")
            await asyncio.sleep(PACE)


async def test_models_are_made_and_change_under_load_with_no_failed_prediction(tmp_path: Path) -> None:
    bars, data = tmp_path / "bars", tmp_path / "data"
    for symbol in (FIRST, SECOND):
        write_bars(bars, symbol)
    async with nats_server(tmp_path / "nats") as server:
        keys = server.write_keys(tmp_path / "keys")
        more: dict[str, Any] = {"data_dir": data, "connect": server.connect}
        async with running(PARTS, declaration=system_of(bars, FIRST), clock=ReplayClock(NOW), **more) as system:

            async def both() -> dict[str | None, str] | None:
                found = await serving(system)
                return found if found.keys() == {None, FIRST} else None

            first: dict[str | None, str] = await until(both, PATIENCE)
        async with running(PARTS, declaration=system_of(bars, FIRST, SECOND), clock=ReplayClock(NOW), **more) as system:
            load = Load(system)
            async with load.going_on(FIRST, SECOND):
                await until(lambda: _both_answer(load, first), PATIENCE)
                await system.call("ml-training", "train_model", TrainModel(), TrainingState)

                async def placed() -> TrainingState | None:
                    reported = await training(system)
                    return reported if reported.order is not None else None

                reported: TrainingState = await until(placed, PATIENCE)
                assert reported.order is not None
                assert reported.order.targets == [None, FIRST, SECOND]

                await killed_midway(await program(server, keys, reported.order.id, "1"))
                for index in ("1", "0", "1", "2"):
                    code, said = await ended(await program(server, keys, reported.order.id, index))
                    assert code == DONE, said
                    if index == "0":
                        assert len((await order_of(system, reported.order.id)).results) == 2

                async def judged() -> bool:
                    return (await training(system)).status == "idle"

                await until(judged, PATIENCE)
                second = await serving(system)
                await until(lambda: _answer(load, {second[FIRST], second[SECOND]}), PATIENCE)
            assert load.failed == []
            # The new general model is too sure of itself for the gate, so the one before goes on.
            assert second[None] == first[None]
            assert second[FIRST] != first[FIRST]
            assert second.keys() == {None, FIRST, SECOND}

            back = Load(system)
            async with back.going_on(FIRST):
                asked = RollbackModel(RECIPE, "a test's own", FIRST)
                shown = await system.call("ml-training", "rollback_model", asked, RegisteredModel)
                assert shown.version == first[FIRST]
                await until(lambda: _answer(back, {first[FIRST]}), PATIENCE)
            assert back.failed == []
            assert await serving(system) == {**second, FIRST: first[FIRST]}


async def _answer(load: Load, versions: set[str]) -> bool:
    return versions <= load.versions.keys()


async def _both_answer(load: Load, first: dict[str | None, str]) -> bool:
    return await _answer(load, {version for version in first.values() if version is not None})
