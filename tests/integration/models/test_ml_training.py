"""ml-training beside ml-model: a model is made again, judged, promoted without a gap, and rolled back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bellwether.messages.models import Predict, Probability, TrainingState, TrainModel
from bellwether.messages.parts import FileState
from bellwether.messages.registry import (
    ListRegistry,
    PromoteModel,
    PutArtifact,
    RegisteredModel,
    RegisteredModels,
    RollbackModel,
    ShadowCandidate,
)
from bellwether.models.outcomes import Outcomes
from bellwether.models.training import TrainingService
from bellwether.models.training import create as ml_training
from bellwether.runtime.errors import RpcError
from bellwether.training.artifact import ONNX
from bellwether.training.ledger import Entry, ModelLedger, write_ledger
from harness.replayed import BUILDS, MODEL, declared, model_serves, until
from harness.system import System, running

pytestmark = pytest.mark.integration

SYMBOLS = ["IBM", "MSFT"]
SPEC: dict[str, Any] = {"symbols": SYMBOLS, "clock": {"mode": "replay", "from": "2004-01-02"}}
PARTS = {name: BUILDS[name] for name in ("market-data", "ml-model")} | {"ml-training": ml_training}


async def trained(system: System, recipe: str) -> TrainingState:
    await system.call("ml-training", "train_model", TrainModel(recipe), TrainingState)

    async def over() -> TrainingState | None:
        found: TrainingState = await system.call("ml-training", "get_training", None, TrainingState)
        return found if found.status in ("idle", "failed") and found.model_name == recipe else None

    found: TrainingState = await until(over, 240.0)
    assert found.error == ""
    return found


async def listed(system: System) -> RegisteredModels:
    found: RegisteredModels = await system.call("ml-training", "list_registry", ListRegistry(), RegisteredModels)
    return found


async def test_a_model_is_made_again_served_without_a_gap_and_rolled_back(tmp_path: Path) -> None:
    async with running(PARTS, data_dir=tmp_path, declaration=declared(**SPEC)) as system:
        first = await model_serves(system)
        assert (first.gated, first.gate[:7]) == (False, "failed:")
        row, failed = dict.fromkeys(first.features, 0.01), list[str]()

        async def ask() -> None:
            while True:
                try:
                    await system.call("ml-model", "predict", Predict(MODEL, row, "IBM"), Probability)
                except RpcError as error:
                    failed.append(error.code)
                await asyncio.sleep(0.01)

        load = asyncio.create_task(ask())
        # The same recipe and bars give the same version: nothing changes. Another recipe is a candidate.
        assert (await trained(system, MODEL)).versions == [first.version]
        other = (await trained(system, "direction-boost")).versions[0]
        stages = {one.version: one.stage for one in (await listed(system)).models}
        assert stages == {first.version: "serving", other: "candidate"}
        promoted = await system.call(
            "ml-training", "promote_model", PromoteModel(other[:10], "to see it"), RegisteredModel
        )
        assert (promoted.stage, promoted.reason) == ("serving", "by hand: to see it")
        with pytest.raises(RpcError) as refused:
            await system.call("ml-training", "rollback_model", RollbackModel(MODEL, "worse"), RegisteredModel)
        assert refused.value.code == "NOT_ALLOWED"
        assert "is the first that served" in refused.value.message
        load.cancel()
        assert failed == []
        assert (await model_serves(system)).version == first.version


async def test_under_enforce_what_did_not_pass_answers_nothing(tmp_path: Path) -> None:
    declaration = declared(**SPEC, training={"gate": {"mode": "enforce"}})
    async with running(PARTS, data_dir=tmp_path, declaration=declaration) as system:
        found = await model_serves(system)
        row = dict.fromkeys(found.features, 0.01)
        with pytest.raises(RpcError) as refused:
            await system.call("ml-model", "predict", Predict(MODEL, row, "IBM"), Probability)
        assert refused.value.code == "MODEL_NOT_GATED"
        assert "failed: better than the base rate" in refused.value.message
        # A stored decision names its version, and is computed again whatever became of the model.
        again = Predict(MODEL, row, "IBM", found.version)
        assert 0.0 < (await system.call("ml-model", "predict", again, Probability)).probability < 1.0
        with pytest.raises(RpcError) as kept:
            await system.call("ml-training", "promote_model", PromoteModel(found.version, "please"), RegisteredModel)
        assert kept.value.code == "NOT_ALLOWED"
        assert (await system.call("ml-model", "health"))["gate_mode"] == "enforce"


async def test_a_registry_of_more_models_than_a_message_holds_is_listed_and_changed(tmp_path: Path) -> None:
    at = datetime(2003, 6, 2, tzinfo=UTC)
    old = [Entry(f"{n:064x}", MODEL, f"S{n}", "r" * 64, "candidate", at, "x" * 500, None) for n in range(2000)]
    write_ledger(tmp_path / "ml-model" / "registry", ModelLedger(old))
    async with running(PARTS, data_dir=tmp_path, declaration=declared(**SPEC)) as system:
        first = await model_serves(system)
        asked = ShadowCandidate(old[0].version, "the oldest")
        shadow = await system.call("ml-training", "shadow_model", asked, RegisteredModel)
        assert (shadow.version, shadow.stage) == (old[0].version, "shadow")
        found = await listed(system)
        assert found.total == len(old) + 1
        assert {one.version for one in found.models if one.stage != "candidate"} == {old[0].version, first.version}
        assert [one.version for one in found.models if one.stage == "candidate"] == [one.version for one in old[-500:]]
        with pytest.raises(RpcError, match="limit is 501: it must be from 1 to 500"):
            await system.call("ml-training", "list_registry", ListRegistry(limit=501), RegisteredModels)


async def test_training_that_is_asked_for_while_live_outcomes_are_looked_at_is_done_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, goes_on, done = asyncio.Event(), asyncio.Event(), list[TrainModel]()

    async def look(_: Outcomes) -> None:
        looks.set()
        await goes_on.wait()

    async def train(_: TrainingService, wanted: TrainModel) -> None:
        done.append(wanted)

    monkeypatch.setattr(Outcomes, "look", look)
    monkeypatch.setattr(TrainingService, "_train", train)

    async def trained_once() -> bool:
        return bool(done)

    asked = TrainModel(MODEL, "by hand")
    async with running({"ml-training": ml_training}, data_dir=tmp_path, declaration=declared(**SPEC)) as system:
        await looks.wait()
        await system.call("ml-training", "train_model", asked, TrainingState)
        goes_on.set()
        await until(trained_once, 10.0)
    assert done == [asked]


async def test_an_upload_that_is_not_what_its_version_says_is_refused(tmp_path: Path) -> None:
    only = {"ml-model": BUILDS["ml-model"]}
    async with running(only, data_dir=tmp_path, declaration=declared(**SPEC)) as system:

        async def put(version: str, name: str, content: bytes) -> FileState:
            request = PutArtifact(version, name, 0, len(content), content)
            found: FileState = await system.call("ml-model", "put_artifact", request, FileState)
            return found

        for version, name, words in (
            ("../x", ONNX, "is not a version"),
            ("a" * 64, "model.pkl", "is no file of a model"),
        ):
            with pytest.raises(RpcError, match=words) as refused:
                await put(version, name, b"x")
            assert refused.value.code == "MODEL_REFUSED"
        assert await put("a" * 64, "manifest.json", b"{}") == FileState(2, False)
        with pytest.raises(RpcError, match=r"manifest\.json"):
            await put("a" * 64, "evidence.json", b"{}")
        assert not list((tmp_path / "ml-model" / "registry").glob("a*"))
