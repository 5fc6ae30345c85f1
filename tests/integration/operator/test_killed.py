"""The operator's process killed again and again while systems come, change and go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from bellwether_operator.settings import Settings
from devcluster.cluster import Cluster
from harness.churn import Churn, Step
from harness.declared import CHILDREN, OURS, Installation, faults

from .conftest import IMAGE, Kube, eventually

pytestmark = [pytest.mark.integration, pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[3]
ROUNDS = int(os.environ.get("BELLWETHER_KILL_ROUNDS", "8"))
"""So many at least; `make soak` asks for more."""
MOST_ROUNDS = 5 * ROUNDS
"""Rounds beyond the first ones are only made until a kill left something to do."""
LATEST_SECONDS = 1.0
"""So long after its first write of a round the operator is killed at the latest; by then all is applied."""
CONVERGED_SECONDS = 120.0


@pytest.fixture(scope="module")
def control_plane(control_plane_with_controllers: tuple[Cluster, Path]) -> tuple[Cluster, Path]:
    """An API server with the real garbage collector; no kubelet."""
    return control_plane_with_controllers


@contextlib.asynccontextmanager
async def operator_process(kube: Kube, settings: Settings, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the operator as a process of its own, and kill it without a word at the end of the block."""
    seed = folder / "seed"
    seed.write_bytes(settings.installation_seed)
    environment = {
        **os.environ,
        "KUBECONFIG": str(kube.cluster.kubeconfig),
        "INSTALLATION_SEED_FILE": str(seed),
        "SERVICES_IMAGE": IMAGE,
        "WATCH_NAMESPACES": kube.namespace,
        "HTTP_PORT": "0",
        "TMPDIR": str(folder),
        "PYTHONPATH": f"{ROOT / 'services'}:{ROOT / 'operator'}",
    }
    with (folder / "operator.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bellwether_operator", env=environment, stderr=log
        )
    try:
        yield process
    finally:
        assert process.returncode is None, f"the operator ended by itself: {(folder / 'operator.log').read_text()}"
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def wrong(kube: Kube, installation: Installation) -> list[str]:
    """Return in which way what is there is not exactly what is declared."""
    return faults(await kube.items("tsys"), await kube.items(CHILDREN, OURS, managed=True), installation)


async def converged(kube: Kube, installation: Installation) -> None:
    """Wait until there is exactly what is declared."""
    deadline = time.monotonic() + CONVERGED_SECONDS
    while found := await wrong(kube, installation):
        assert time.monotonic() < deadline, f"not as declared after {CONVERGED_SECONDS:g} s: {found}"
        await asyncio.sleep(0.1)


async def take(kube: Kube, step: Step) -> None:
    """Do what a step says."""
    if step.delete:
        await kube.delete("tsys", *step.delete, wait=False)
    await kube.apply(*step.apply)


async def test_whenever_the_operator_is_killed_the_next_one_makes_exactly_what_is_declared(
    kube: Kube, settings: Settings, tmp_path: Path
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    churn = Churn(kube.namespace, rng)
    installation = Installation(IMAGE, settings.installation_seed)
    number = in_the_middle = 0
    while number < ROUNDS or (not in_the_middle and number < MOST_ROUNDS):
        number += 1
        async with operator_process(kube, settings, tmp_path):
            await converged(kube, installation)
            before = kube.audit_log.stat().st_size
            for _ in range(rng.randint(1, 3)):
                await take(kube, churn.step())

            async def started(before: int = before) -> bool:
                return bool(kube.operator_writes(before))

            await eventually(f"a write of round {number}", started)
            await asyncio.sleep(rng.uniform(0, LATEST_SECONDS))  # the instant of the kill is what is tried
        in_the_middle += bool(await wrong(kube, installation))
    print(f"{in_the_middle} of {number} kills left something to do")
    assert in_the_middle
    async with operator_process(kube, settings, tmp_path):
        await converged(kube, installation)
    assert {each["metadata"]["name"] for each in await kube.items("tsys")} == set(churn.present)
    lost = (await kube.items("services", OURS))[0]["metadata"]["name"]
    await kube.delete("service", lost)
    assert await wrong(kube, installation) == [f"Service {lost} is missing"], "the comparison sees nothing"
