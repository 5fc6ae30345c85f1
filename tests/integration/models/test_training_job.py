"""A training Job's program as a process with its own key against a real NATS server: killed midway, resumed, judged."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.messages.models import TrainingState, TrainModel
from bellwether.messages.registry import (
    ListOrders,
    ListRegistry,
    OrderState,
    PlaceOrder,
    RegisteredModels,
    TrainingOrders,
)
from bellwether.models.job_client import DONE, FUTILE, IDENTITY, WRONG
from bellwether.models.training import create as ml_training
from bellwether.runtime.errors import RpcError
from bellwether.runtime.job_calls import Peers
from harness.nats import NatsServer, nats_server
from harness.replayed import BUILDS, MODEL, declared, model_serves, until
from harness.system import System, running

pytestmark = pytest.mark.integration

SYMBOLS = ["IBM", "MSFT"]
SPEC: dict[str, Any] = {
    "symbols": SYMBOLS,
    "clock": {"mode": "replay", "from": "2004-01-02"},
    "training": {"job": {"parallelism": 1}},
}
PARTS = {name: BUILDS[name] for name in ("market-data", "ml-model")} | {"ml-training": ml_training}


async def program(server: NatsServer, keys: Path, order: str, index: str) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "BELLWETHER_NATS_URL": server.url,
        "BELLWETHER_KEYS_DIR": str(keys),
        "BELLWETHER_ORDER": order,
        "JOB_COMPLETION_INDEX": index,
        "TMPDIR": str(keys.parent),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bellwether",
        "train-target",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def killed_midway(child: asyncio.subprocess.Process) -> None:
    """Kill a Job's program once it has fitted its model, before that is handed in."""
    assert child.stdout is not None
    lines = []
    async for line in child.stdout:
        lines.append(line.decode())
        if "fitted and calibrated" in lines[-1]:
            break
    child.kill()
    assert (await ended(child))[0] == -9, lines


async def ended(child: asyncio.subprocess.Process) -> tuple[int, str]:
    said, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, said.decode()


async def order_of(system: System, identifier: str) -> OrderState:
    found = await system.call("ml-model", "list_orders", ListOrders(), TrainingOrders)
    state: OrderState = next(one for one in found.orders if one.id == identifier)
    return state


async def test_an_order_is_made_by_processes_one_killed_midway_and_judged_by_ml_training(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as server:
        keys = server.write_keys(tmp_path / "keys")
        async with running(
            PARTS, data_dir=tmp_path / "data", declaration=declared(**SPEC), connect=server.connect
        ) as system:
            first = await model_serves(system)
            await system.call("ml-training", "train_model", TrainModel(MODEL), TrainingState)

            async def placed() -> TrainingState | None:
                reported = await system.call("ml-training", "get_training", None, TrainingState)
                assert reported.error == ""
                return reported if reported.order is not None else None

            reported: TrainingState = await until(placed)
            assert reported.order is not None
            # The recipe has no model per symbol; the test orders one besides, of the same bars.
            general = await order_of(system, reported.order.id)
            more = msgspec.structs.replace(general.order, targets=[None, "IBM", "TSLA"])
            state = await system.call("ml-model", "place_order", PlaceOrder(more), OrderState)

            await killed_midway(await program(server, keys, state.id, "1"))
            assert (await order_of(system, state.id)).results == {}

            code, said = await ended(await program(server, keys, state.id, "1"))
            assert code == DONE, said
            made = (await order_of(system, state.id)).results["1"].version
            assert made is not None
            code, said = await ended(await program(server, keys, state.id, "1"))
            assert (code, "index 1 is done" in said) == (DONE, True), said
            code, said = await ended(await program(server, keys, state.id, "2"))
            assert (code, "TSLA has 0 sessions" in said) == (DONE, True), said
            code, said = await ended(await program(server, keys, "f" * 64, "0"))
            assert (code, "is not there: nobody waits" in said) == (FUTILE, True), said
            assert (await ended(await program(server, keys, state.id, "one")))[0] == WRONG

            # A Job's key opens nothing but what it needs.
            async with server.connected(IDENTITY) as bus:
                with pytest.raises(RpcError) as refused:
                    await Peers(bus, IDENTITY, patience=0.0).request("ml-model", "list_models", None, dict)
                assert refused.value.code == "UNAVAILABLE"

            code, said = await ended(await program(server, keys, state.id, "0"))
            assert code == DONE, said

            async def closed() -> bool:
                return (await order_of(system, state.id)).closed

            await until(closed)
            listed = await system.call("ml-training", "list_registry", ListRegistry(MODEL), RegisteredModels)
            stages = {(one.version, one.symbol): one.stage for one in listed.models}
            # The same bars give the same general model; IBM's own is new, judged, and serves under `report`.
            assert stages == {(first.version, None): "serving", (made, "IBM"): "serving"}
            assert all(one.passed is not None for one in listed.models)
