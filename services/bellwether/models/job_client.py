"""Makes one model of an order and uploads it as a candidate: the program of a training Job's pod.

Which target is said by the index that Kubernetes gives the pod. A target that has a result is skipped, so that the
program can be ended at any time and started again. It judges nothing and lets nothing serve.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bellwether.messages.market_data import Bar
from bellwether.messages.parts import FilePart
from bellwether.messages.registry import FinishTarget, GetSnapshot, ListOrders, OrderState, TrainingOrders
from bellwether.models.transfer import download, upload
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.errors import RpcError
from bellwether.runtime.job_calls import Peers
from bellwether.runtime.logs import configure_logs
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.parts import fetch_parts

IDENTITY = "training-job"
DONE, GAVE_UP, WRONG, FUTILE, ENDED = 0, 1, 2, 3, 128 + signal.SIGTERM
_log = logging.getLogger(__name__)


class Futile(Exception):
    """Trying again cannot help; the message says why."""


@dataclass(frozen=True)
class Wanted:
    """Which target of which order."""

    order: str
    index: int


def wanted(environ: Mapping[str, str]) -> Wanted:
    """Return what BELLWETHER_ORDER and JOB_COMPLETION_INDEX say.

    Raises:
        ValueError: naming the variable, its value and what would be right.
    """
    order, index = environ.get("BELLWETHER_ORDER", ""), environ.get("JOB_COMPLETION_INDEX", "")
    if not order:
        raise ValueError("BELLWETHER_ORDER is not set: it is the id of an order of models")
    if not index.isdigit():
        raise ValueError(f"JOB_COMPLETION_INDEX={index!r}: it is the index of an Indexed Job, 0 or more")
    return Wanted(order, int(index))


async def make(peers: Peers, asked: Wanted, folder: Path) -> str:
    """Make the model of a target, unless that is done, and return in words what became of it.

    Raises:
        Futile: when there is no such order, or this image has another recipe.
        RpcError: as ml-model says.
    """
    state = await _order(peers, asked)
    if asked.index >= len(state.order.targets):
        return f"index {asked.index} is none of the {len(state.order.targets)} targets"
    done = state.results.get(str(asked.index))
    if done is not None:
        return f"index {asked.index} is done: {done.words}"
    order, target = state.order, state.order.targets[asked.index]
    histories = await _bars(peers, order.snapshot)
    for served in order.serving:
        try:
            await download(folder, served, peers)
        except RpcError as error:
            _log.warning("%s serves and is not compared with: %s", served[:12], error)
    version, words = await asyncio.to_thread(_train, state, target, histories, folder)
    if version is not None:
        await upload(folder, version, peers)
    finished = FinishTarget(asked.order, asked.index, version, words)
    await peers.request("ml-model", "finish_target", finished, OrderState)
    return f"{target or 'all symbols'}: {words}"


async def _order(peers: Peers, asked: Wanted) -> OrderState:
    orders = (await peers.request("ml-model", "list_orders", ListOrders(), TrainingOrders)).orders
    state = next((one for one in orders if one.id == asked.order), None)
    if state is None or state.closed:
        raise Futile(f"order {asked.order[:12]!r} is {'closed' if state else 'not there'}: nobody waits for its models")
    return state


async def _bars(peers: Peers, snapshot: str) -> dict[str, list[Bar]]:
    content = await fetch_parts(
        lambda offset: peers.request("ml-model", "get_snapshot", GetSnapshot(snapshot, offset), FilePart)
    )
    found = hashlib.sha256(content).hexdigest()
    if found != snapshot:
        raise RpcError("INVALID_REPLY", f"the bars have the hash {found[:12]}, the order names {snapshot[:12]}")
    return msgspec.json.decode(content, type=dict[str, list[Bar]])


def _train(
    state: OrderState, target: str | None, histories: dict[str, list[Bar]], folder: Path
) -> tuple[str | None, str]:
    """Return the version of the target's model and its newest line of progress, or None and why there is none."""
    from bellwether.training.artifact import EVIDENCE, read_artifact
    from bellwether.training.export import NotTheSame
    from bellwether.training.fit import TooFewRows
    from bellwether.training.recipe import RecipeError, load_recipe
    from bellwether.training.train import train_target

    lines = [""]

    def say(line: str) -> None:
        lines.append(line)
        _log.info("%s", line)

    try:
        recipe = load_recipe(state.order.recipe)
        rival = None if state.order.rival is None else load_recipe(state.order.rival)
    except RecipeError as error:
        raise Futile(str(error)) from error
    if recipe.hash != state.order.recipe_hash:
        raise Futile(f"recipe {recipe.name} of this image is not the one that was ordered")
    here = [version for version in state.order.serving if (folder / version).is_dir()]
    serving = {read_artifact(folder / version).symbol: version for version in here}
    try:
        version = train_target(recipe, histories, folder, say, target, rival=rival, serving=serving)
    except (TooFewRows, NotTheSame) as error:
        return None, str(error)
    if not (folder / version / EVIDENCE).exists():
        return None, "too little history to judge it by"
    return version, lines[-1].partition(": ")[2] or "made"


def run(environ: Mapping[str, str] = os.environ) -> int:
    """Run the program; return its exit code: 0 done, 1 try again, 2 wrongly called, 3 futile, 143 ended by SIGTERM."""
    try:
        asked = wanted(environ)
        config = ProcessConfig.from_environment(environ)
        configure_logs(IDENTITY, config.log_level)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return WRONG
    # Before numpy is imported: more threads would change nothing but the number of threads.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    seed = None if config.keys_dir is None else config.keys_dir / f"{IDENTITY}.nk"
    with tempfile.TemporaryDirectory(prefix="bellwether-training-") as folder:
        return asyncio.run(_run(config.nats_url, seed, asked, Path(folder)))


async def _run(url: str, seed: Path | None, asked: Wanted, folder: Path) -> int:
    # The first process of a container is not ended by the signal itself; the work is in a thread that cannot be ended.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, ENDED)
    bus = NatsBus(url, IDENTITY, seed)
    await bus.start()
    try:
        _log.info("%s", await make(Peers(bus, IDENTITY), asked, folder))
    except Futile as error:
        _log.error("%s", error)
        return FUTILE
    except RpcError as error:
        _log.error("%s", error)
        return GAVE_UP
    finally:
        await bus.close()
    return DONE
