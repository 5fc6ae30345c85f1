from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import msgspec
import pytest

from bellwether.messages.models import LoadModel, ModelInfo
from bellwether.messages.monitoring import AlarmReading
from bellwether.models.child import TrainingFailed, train_in_child
from bellwether.runtime.errors import RpcError
from bellwether.training.recipe import find_recipe
from harness.replayed import BUILDS, declared, model_serves, train_once
from harness.replayed import until as answered
from harness.system import System, running

pytestmark = pytest.mark.integration


async def test_a_restart_serves_the_model_that_was_chosen_without_training(tmp_path: Path) -> None:
    await train_once(tmp_path)
    only = {"ml-model": BUILDS["ml-model"]}
    async with running(only, data_dir=tmp_path, declaration=declared()) as system:
        # market-data is unreachable: nothing could be trained.
        found = await system.call("ml-model", "load_model", LoadModel("direction-lr", "IBM"), ModelInfo)
        assert found.trained_through.isoformat() == "2008-12-31"
        health = await system.call("ml-model", "health")
        assert health["model_state"].startswith("model direction-lr serves, trained through 2008-12-31, Brier 0.25")


async def test_that_no_model_serves_is_an_alarm_which_a_model_ends(tmp_path: Path) -> None:
    """Without market-data there are no bars to train on."""

    async def alarms(system: System) -> list[AlarmReading]:
        health = await system.call("ml-model", "health")
        found = msgspec.convert(health.get("alarms", []), list[AlarmReading])
        return [one for one in found if one.type == "model_missing" and not one.unknown]

    async with running({"ml-model": BUILDS["ml-model"]}, data_dir=tmp_path, declaration=declared()) as system:
        (found,) = await answered(lambda: alarms(system))
        assert found.severity == "warning"
        assert found.message.startswith("model direction-lr does not serve: ")
    async with running(BUILDS, data_dir=tmp_path, declaration=declared()) as system:
        await model_serves(system)
        assert await alarms(system) == []


async def test_a_replay_from_another_day_has_a_model_of_its_own(tmp_path: Path) -> None:
    first = await train_once(tmp_path)
    before = {path.name for path in (first / "registry").iterdir() if path.is_dir()}
    declaration = declared(clock={"mode": "replay", "from": "2008-01-02"})
    async with running(BUILDS, data_dir=tmp_path, declaration=declaration) as system:
        found = await model_serves(system)
        assert found.trained_through.isoformat() == "2007-12-31"
        assert found.version not in before


async def test_a_replay_with_too_little_history_says_which_first_day_would_do(tmp_path: Path) -> None:
    declaration = declared(clock={"mode": "replay", "from": "2000-06-01"})
    only = {name: BUILDS[name] for name in ("market-data", "ml-model")}
    async with running(only, data_dir=tmp_path, declaration=declaration) as system, asyncio.timeout(120):
        while True:
            with pytest.raises(RpcError) as refused:
                await system.call("ml-model", "load_model", LoadModel("direction-lr"), ModelInfo)
            if refused.value.code != "MODEL_NOT_READY":
                break
            await asyncio.sleep(0.05)
    assert refused.value.code == "HISTORY_TOO_SHORT"
    assert re.search(r"clock.from 2000-06-01 is too early: 2001-\d\d-\d\d is the first day", refused.value.message)


async def test_training_on_nothing_fails_in_words(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"training failed: .*\.bars-\d+\.json holds no bars"):
        await train_in_child(find_recipe("direction-lr"), {}, tmp_path)


async def test_the_services_do_not_import_what_only_training_needs() -> None:
    program = (
        "import sys; import bellwether.market_data.service, bellwether.models.service, bellwether.prediction.service; "
        "bad = {'pandas', 'sklearn', 'skops', 'skl2onnx', 'yfinance', 'exchange_calendars', 'requests', 'rich'};"
        "print(sorted(bad & set(sys.modules)))"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    assert output.decode().strip() == "[]"
