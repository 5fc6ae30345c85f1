"""What moved a probability, asked of the model that serves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bellwether.messages.models import (
    Drift,
    ExplainProbability,
    GetDrift,
    GetServingRecord,
    ModelInfo,
    ProbabilityParts,
    ServingRecord,
)
from bellwether.runtime.errors import RpcError
from bellwether.training.calibration import log_odds
from bellwether.training.recipe import load_recipe
from bellwether.training.reference import REFERENCE
from harness.replayed import MODEL, declared, model_serves, replayed
from harness.system import System
from integration.prediction.test_slice import batch, records

pytestmark = pytest.mark.integration


async def parts_of(system: System, version: str, features: dict[str, float], symbol: str) -> ProbabilityParts:
    question = ExplainProbability(version, features, symbol)
    found: ProbabilityParts = await system.call("ml-model", "explain_probability", question, ProbabilityParts)
    return found


async def test_parts_of_the_model_in_service_add_up_to_what_it_said(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        await batch(system)
        middles = set()
        for one in (await records(system)).values():
            made, model = one.prediction, one.canonical["inputs"]["model"]
            found = await parts_of(system, made.model_version, made.features, made.symbol)
            assert found.kind == "exact"
            assert sorted(part.feature for part in found.parts) == sorted(load_recipe(MODEL).features)
            total = found.at_usual + math.fsum(part.contribution for part in found.parts)
            assert total == pytest.approx(log_odds(model["probability"]), abs=1e-12)
            assert found.novelty is not None
            sizes = [abs(part.contribution) for part in found.parts]
            assert sizes == sorted(sizes, reverse=True)
            # A row at the means gets the model's intercept: the same for all, but for the symbol's base rate.
            middles.add(round(found.at_usual - log_odds(model["base_rate"]), 5))
        assert len(middles) == 1


async def test_a_model_without_a_record_of_its_training_rows_still_serves(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        version = (await model_serves(system)).version
    (tmp_path / "ml-model" / "registry" / version / REFERENCE).unlink()
    async with replayed(tmp_path, trained) as system:
        info: ModelInfo = await model_serves(system)
        assert info.version == version
        one = next(iter((await batch(system)).predictions.values()))
        found = await parts_of(system, version, one.features, one.symbol)
        assert (found.kind, found.parts, found.novelty) == ("unknown", [], None)
        with pytest.raises(RpcError, match="MODEL_NOT_FOUND"):
            await parts_of(system, "ab" * 32, one.features, one.symbol)


async def test_how_unlike_inputs_are_is_reported_where_a_limit_is_declared_and_changes_no_byte(
    tmp_path: Path, trained: Path
) -> None:
    found = {}
    for limit in (None, 150):
        risk = {} if limit is None else {"risk": {"maxNovelty": limit}}
        async with replayed(tmp_path / str(limit), trained, declaration=declared(trading=risk)) as system:
            made = (await batch(system)).predictions
            found[limit] = (
                [one.novelty for one in made.values()],
                [one.sha256 for one in (await records(system)).values()],
            )
    (without, bytes_without), (reported, bytes_with) = found[None], found[150]
    assert without == [None] * 4
    assert all(one is not None and one > 0.0 for one in reported)
    assert bytes_with == bytes_without


async def test_what_models_were_asked_with_is_compared_with_their_training_rows(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        await batch(system)
        question = GetServingRecord(["AAPL", "IBM"])
        found = await system.call("prediction", "get_serving_record", question, ServingRecord, run="run-1")
        (rows,) = found.rows
        assert (found.horizon_sessions, found.outcomes) == (5, {"AAPL": [], "IBM": []})
        assert {len(values) for values in rows.values.values()} == {4}
        drift = await system.call("ml-model", "get_drift", GetDrift(rows.version, rows.values), Drift)
        assert set(drift.index) == set(load_recipe(MODEL).features)
        # January 2009 was as volatile as nothing before it.
        assert drift.index["volatility_20"] > 0.25
        assert drift.problem == ""
