"""The two operators that are measured, each as its own process, and the resources that each looks after."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench import operator_floor
from bench.memory import RSS, stated_bytes
from bench.operator_api import Raw
from environments.machine import ROOT

SAMPLE = ROOT / "manifests" / "samples" / "asx-banks.yaml"
SYSTEMS = "/apis/bellwether.dev/v1alpha1/namespaces/{}/tradingsystems"
FLOORS = f"/apis/{operator_floor.GROUP}/{operator_floor.VERSION}/namespaces/{{}}/{operator_floor.PLURAL}"
START_SECONDS, END_SECONDS = 60.0, 30.0
SEED = b"not secret: a seed for measurements only"
IMAGE = "localhost/bellwether/services:bench"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Side:
    """One operator's resources: how they are made and edited, and how the edit shows in a child."""

    name: str
    namespace: str
    path: str
    """Of the collection of resources."""
    make: Callable[[str], Raw]
    """Return a resource of this name."""
    change: Callable[[int], Raw]
    """Return the merge patch that sets the edited field."""
    child: Callable[[str], str]
    """Return the name of the ConfigMap that carries the field."""
    carried: Callable[[Raw], int | None]
    """Return the field as a ConfigMap carries it; None when this ConfigMap carries none."""

    @property
    def children(self) -> str:
        """The path of the ConfigMaps."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps"


def ours(namespace: str = "bench-systems") -> Side:
    """Return our operator's side: the live sample in the compact profile; the field is a live one."""
    sample = yaml.safe_load(SAMPLE.read_text())

    def make(name: str) -> Raw:
        return {
            **sample,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**sample["spec"], "profile": "compact"},
        }

    def carried(raw: Raw) -> int | None:
        document = json.loads(raw["data"].get("system.json", "{}"))
        found: int | None = document.get("spec", {}).get("trading", {}).get("risk", {}).get("maxOrdersPerSession")
        return found

    return Side(
        "ours",
        namespace,
        SYSTEMS.format(namespace),
        make,
        lambda value: {"spec": {"trading": {"risk": {"maxOrdersPerSession": value}}}},
        lambda name: f"{name}-declaration",
        carried,
    )


def floor(namespace: str = "bench-floor") -> Side:
    """Return the floor's side: a resource with one number, one ConfigMap that carries it."""

    def make(name: str) -> Raw:
        return {
            "apiVersion": f"{operator_floor.GROUP}/{operator_floor.VERSION}",
            "kind": operator_floor.KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"value": 0},
        }

    return Side(
        "floor",
        namespace,
        FLOORS.format(namespace),
        make,
        lambda value: {"spec": {"value": value}},
        lambda name: name,
        lambda raw: int(raw["data"]["value"]),
    )


@dataclass(frozen=True)
class Size:
    """Memory of a process in MiB."""

    rss: float
    pss: float


class Running:
    """A process that this measurement started."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.module = module
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )

    def check(self) -> None:
        """Raise RuntimeError when the process has ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.module} ended with {self.process.returncode}; its log ends: {self._tail()}")

    def size(self) -> Size:
        """Return how much memory it has now."""
        self.check()
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return Size(stated_bytes(text, RSS) / MEBIBYTE, stated_bytes(text, "Pss") / MEBIBYTE)

    def cpu(self) -> float:
        """Return how many seconds of CPU it has used."""
        self.check()
        used = psutil.Process(self.process.pid).cpu_times()
        return float(used.user + used.system)

    async def stop(self) -> None:
        """End it as Kubernetes does: SIGTERM and, when that is not heard, SIGKILL."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self.process.wait, END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                await asyncio.to_thread(self.process.wait)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


@dataclass(frozen=True)
class Counters:
    """What our operator has counted since its start."""

    passes: float = 0.0
    calls: float = 0.0
    writes: float = 0.0

    def since(self, before: Counters) -> Counters:
        """Return what was added."""
        return Counters(self.passes - before.passes, self.calls - before.calls, self.writes - before.writes)


def counters(metrics: str) -> Counters:
    """Return the counts in the text of /metrics: passes, requests to the API server, and those that write."""
    passes = calls = writes = 0.0
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "bellwether_operator_passes_total":
                passes += sample.value
            elif sample.name == "bellwether_operator_api_requests_total":
                calls += sample.value
                writes += sample.value if sample.labels["method"] != "GET" else 0.0
    return Counters(passes, calls, writes)


class Ours(Running):
    """Our operator as it is installed: all namespaces, periods as the chart has them."""

    def __init__(self, kubeconfig: Path, folder: Path, gateway_port: int) -> None:
        seed = folder / "seed"
        seed.write_bytes(SEED)
        self.port = free_port()
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "SERVICES_IMAGE": IMAGE,
            "INSTALLATION_SEED_FILE": str(seed),
            "GATEWAY_URL": f"http://127.0.0.1:{gateway_port}/{{namespace}}/{{name}}",
            "HTTP_PORT": str(self.port),
            "WATCH_NAMESPACES": "",
        }
        super().__init__("bellwether_operator", (), environment, folder / "operator.log")

    async def counters(self) -> Counters:
        """Return its counts now."""
        return counters(await self._ask("/metrics"))

    async def calm(self, seconds: float, quiet: float = 1.0, passes: float = 0.0) -> None:
        """Return when it has counted that many passes and made no request for a while; passes alone never end.

        Raises:
            RuntimeError: when it does not come to rest in time.
        """
        now = asyncio.get_running_loop().time
        before, since = await self.counters(), now()
        try:
            async with asyncio.timeout(seconds):
                while now() - since < quiet or before.passes < passes:
                    await asyncio.sleep(quiet / 4)
                    found = await self.counters()
                    if found.calls != before.calls:
                        since = now()
                    before = found
        except TimeoutError:
            raise RuntimeError(f"the operator does not come to rest in {seconds:.0f} s: {before}") from None

    async def _ask(self, path: str) -> str:
        self.check()
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return await answer.text()


def start_floor(kubeconfig: Path, folder: Path) -> Running:
    """Start the no-op operator."""
    return Running("bench.operator_floor", (), {"KUBECONFIG": str(kubeconfig)}, folder / "floor.log")


class Gateways(Running):
    """What answers for the gateways of all systems, on its port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        super().__init__("bench.operator_gateway", (str(self.port),), {}, folder / "gateway.log")

    async def listening(self, seconds: float = START_SECONDS) -> None:
        """Return when it takes connections.

        Raises:
            RuntimeError: with the end of its log, when it has ended or does not in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not await self._listens():
                    self.check()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            words = f"{self.module} does not listen on port {self.port} in {seconds:g} s"
            raise RuntimeError(f"{words}; its log ends: {self._tail()}") from None

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionError:
            return False
        writer.close()
        return True


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ready_status(workload: Raw) -> dict[str, Any]:
    """Return the status that controllers and a kubelet would give a workload whose pods run."""
    wanted = int(workload["spec"]["replicas"])
    counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "currentReplicas"), wanted)
    return {"status": {"observedGeneration": workload["metadata"]["generation"], **counts}}
