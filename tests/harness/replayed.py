"""market-data, ml-model and prediction over the recorded bars, with a model that is trained once per test run."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from bellwether.market_data.service import create as market_data
from bellwether.messages.models import LoadModel, ModelInfo
from bellwether.models.service import create as ml_model
from bellwether.prediction.service import create as prediction
from bellwether.quality.service import create as quality
from bellwether.runtime.errors import RpcError
from bellwether.sentiment.service import create as sentiment
from bellwether.spec.models import TradingSystem
from harness.system import System, running
from harness.until import NOT_YET

BUILDS = {
    "market-data": market_data,
    "data-quality": quality,
    "sentiment": sentiment,
    "ml-model": ml_model,
    "prediction": prediction,
}
MODEL = "direction-lr"
PATIENCE = 600.0
"""Seconds without any progress after which a wait ends: a machine that does much else takes minutes for a model."""


def declared(**changes: Any) -> TradingSystem:
    """Return the declaration of a replay over the recorded bars, with some fields of the spec changed."""
    spec = {
        "symbols": ["AAPL", "GOOG", "IBM", "MSFT"],
        "market": {"calendar": "XNYS"},
        "data": {"provider": "replay"},
        "clock": {"mode": "replay", "from": "2009-01-02"},
        **changes,
    }
    return TradingSystem.model_validate({"metadata": {"name": "replay", "generation": 1}, "spec": spec})


async def until(
    what: Callable[[], Awaitable[Any]], seconds: float = PATIENCE, progress: Callable[[], object] = lambda: None
) -> Any:
    """Return the first true result of a question that is asked again and again.

    Raises:
        TimeoutError: when it was not true for `seconds` in which `progress` stayed what it was.
    """
    end = time.monotonic() + seconds
    last: object = None
    seen = progress()
    while True:
        try:
            if last := await what():
                return last
        except NOT_YET as error:
            last = error
        if seen != (seen := progress()):
            end = time.monotonic() + seconds
        if time.monotonic() > end:
            raise TimeoutError(f"{what.__name__} did not come true in {seconds:g} s; last: {last!r}")
        await asyncio.sleep(0.02)


async def model_serves(system: System) -> ModelInfo:
    """Wait until the declared model serves, and return what it is."""

    async def serves() -> ModelInfo | None:
        try:
            found: ModelInfo = await system.call("ml-model", "load_model", LoadModel(MODEL), ModelInfo)
        except RpcError as error:
            if error.code != "MODEL_NOT_READY":
                raise
            return None
        return found

    found: ModelInfo = await until(serves)
    return found


async def train_once(folder: Path) -> Path:
    """Have the model of the replay made in a folder, and return the registry's folder."""
    async with running(BUILDS, data_dir=folder, declaration=declared()) as system:
        await model_serves(system)
    return folder / "ml-model"


@contextlib.asynccontextmanager
async def replayed(data_dir: Path, trained: Path, **settings: Any) -> AsyncIterator[System]:
    """Run the three services with the trained model; `settings` go to `running`."""
    if not (data_dir / "ml-model").exists():
        shutil.copytree(trained, data_dir / "ml-model")
    declaration = settings.pop("declaration", None) or declared()
    async with running(BUILDS, data_dir=data_dir, declaration=declaration, **settings) as system:
        await model_serves(system)
        yield system
