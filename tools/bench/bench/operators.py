"""Our operator beside a no-op one, at 1, 100 and 1,000 systems: how soon edits and repairs show, and what it costs."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from operator import eq, ne
from pathlib import Path
from typing import TypeVar

from bench import operator_floor
from bench.operator_api import Api, Raw, Watched, connected
from bench.operator_figures import GAP_SECONDS, WRITERS, Plan, Round, both, figures, how, percentile
from bench.operator_sides import (
    Gateways,
    Ours,
    Running,
    Side,
    floor,
    ours,
    ready_status,
    start_floor,
)
from bench.report import Section
from devcluster.cluster import Cluster
from environments.machine import CLUSTERS, ROOT

TITLE = "Operator"
DEFINITION = ROOT / "crds" / "tradingsystems.bellwether.dev.yaml"
KINDS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
}
REPAIRED = ("NetworkPolicy", "Service")
LONGEST = 900.0
"""Seconds for 1,000 systems on a machine that others use too."""
Item = TypeVar("Item")


def measure(plan: Plan | None = None) -> Section:
    """Measure both operators on one control plane, in turn."""
    chosen = plan or Plan()
    with tempfile.TemporaryDirectory(prefix="bellwether-bench-") as folder:
        cluster = Cluster("bench-operators", "control-plane", Path(folder) / "state", settings=CLUSTERS)
        try:
            cluster.up(_say)
            rounds = asyncio.run(_Bench(cluster, Path(folder), chosen).run())
        finally:
            cluster.down(purge=True)
    return Section(TITLE, how(chosen, rounds), figures(rounds))


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


# ---- pure: figures out of measurements --------------------------------------------------------------------


# ---- the measuring ----------------------------------------------------------------------------------------


class _Bench:
    """One run over all sizes."""

    def __init__(self, cluster: Cluster, folder: Path, plan: Plan) -> None:
        self._cluster = cluster
        self._folder = folder
        self._plan = plan
        self._ours, self._floor = ours(), floor()
        self._value = 100
        self._random = random.Random(20261122)  # noqa: S311 (nothing secret)
        self._made = 0

    async def run(self) -> list[Round]:
        async with AsyncExitStack() as stack:
            session, server = await stack.enter_async_context(connected(self._cluster.kubeconfig))
            self._api = Api(session, server)
            await self._prepare()
            gateways = Gateways(self._folder)
            stack.push_async_callback(gateways.stop)
            await gateways.listening()
            self._gateway_port = gateways.port
            return [await self._round(systems) for systems in self._plan.sizes]

    async def _prepare(self) -> None:
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await asyncio.to_thread(self._cluster.kubectl, "apply", "--server-side", "-f", str(DEFINITION))
        await self._api.call("POST", definitions, operator_floor.DEFINITION)
        for side in (self._ours, self._floor):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": side.namespace}}
            await self._api.call("POST", "/api/v1/namespaces", body)
            await self._api.served(side.path, LONGEST)

    async def _round(self, systems: int) -> Round:
        found = Round(systems)
        names = [f"s{number:04}" for number in range(systems)]
        await self._create(names, found)
        found.children = await self._children_each(systems)
        _say(f"{systems} systems of {found.children} objects are ready, {found.created:.1f} s after they were started")
        async with AsyncExitStack() as stack:
            seen = {
                side.name: await stack.enter_async_context(self._api.watch(side.children, side.carried))
                for side in (self._ours, self._floor)
            }
            operator, no_op = await self._starts(names, seen, found, stack)
            await self._edits(names, seen, operator, no_op, found)
            self._look(operator, no_op, found)
            await self._repairs(systems, operator, found)
            await self._touches(names, operator, found)
            await self._storms(names, seen, operator, found)
            self._look(operator, no_op, found)
        return found

    async def _create(self, names: Sequence[str], found: Round) -> None:
        """Make the resources that this size has more than the one before, and let both operators finish with them."""
        new = names[self._made :]
        self._made = len(names)
        operator = Ours(self._cluster.kubeconfig, self._folder, self._gateway_port)
        no_op = start_floor(self._cluster.kubeconfig, self._folder)
        try:
            began = time.monotonic()
            async with (
                self._api.watch(KINDS["StatefulSet"].format(self._ours.namespace), _generation) as workloads,
                self._api.watch(self._ours.path, _ready) as systems,
                self._api.watch(self._floor.children, self._floor.carried) as children,
            ):
                for side in (self._floor, self._ours):
                    await each(new, partial(self._make, side))
                await children.until("the floor's children", dict.fromkeys(names, _any), LONGEST)
                wanted = dict.fromkeys(names, _any)
                await workloads.until("StatefulSets", wanted, LONGEST)
                path = KINDS["StatefulSet"].format(self._ours.namespace)
                made = [raw for raw in await self._api.list(path) if "readyReplicas" not in raw.get("status", {})]
                await each(
                    made, lambda raw: self._api.patch(f"{path}/{raw['metadata']['name']}/status", ready_status(raw))
                )
                found.created = await systems.until("Ready", dict.fromkeys(names, bool), LONGEST) - began
            await operator.calm(LONGEST)
        finally:
            await operator.stop()
            await no_op.stop()

    async def _make(self, side: Side, name: str) -> None:
        await self._api.call("POST", side.path, side.make(name))

    async def _children_each(self, systems: int) -> int:
        counts = [await self._api.count(path.format(self._ours.namespace)) for path in KINDS.values()]
        return round(sum(counts) / systems)

    async def _starts(
        self, names: Sequence[str], seen: dict[str, Watched[int]], found: Round, stack: AsyncExitStack
    ) -> tuple[Ours, Running]:
        """Start each operator after everything was edited behind its back."""
        value = await self._edit_all(names, self._floor)
        began = time.monotonic()
        no_op = start_floor(self._cluster.kubeconfig, self._folder)
        stack.push_async_callback(no_op.stop)
        found.floor.started = await self._until_all(names, self._floor, seen, value) - began
        value = await self._edit_all(names, self._ours)
        began = time.monotonic()
        operator = Ours(self._cluster.kubeconfig, self._folder, self._gateway_port)
        stack.push_async_callback(operator.stop)
        found.ours.started = await self._until_all(names, self._ours, seen, value) - began
        await operator.calm(LONGEST)
        self._look(operator, no_op, found)
        _say(f"all reconciled {found.ours.started:.2f} s after the start, the floor {found.floor.started:.2f} s")
        return operator, no_op

    async def _edits(
        self, names: Sequence[str], seen: dict[str, Watched[int]], operator: Ours, no_op: Running, found: Round
    ) -> None:
        """Edit one resource after the other, in blocks that take turns."""
        await self._rest(operator, no_op, found)
        before, began_all = await operator.counters(), time.monotonic()
        cpu = operator.cpu(), no_op.cpu()
        while len(found.ours.edits) < self._plan.edits:
            for side, measured in ((self._ours, found.ours), (self._floor, found.floor)):
                for _ in range(min(self._plan.block, self._plan.edits - len(measured.edits))):
                    name = self._random.choice(names)
                    self._value += 1
                    began = time.monotonic()
                    await self._api.patch(f"{side.path}/{name}", side.change(self._value))
                    measured.edits.append(await self._until_all([name], side, seen, self._value) - began)
                    await asyncio.sleep(GAP_SECONDS)
                if side is self._ours:
                    await operator.calm(LONGEST)
        found.edited = (await operator.counters()).since(before)
        seconds = time.monotonic() - began_all
        for process, measured, used in ((operator, found.ours, cpu[0]), (no_op, found.floor, cpu[1])):
            measured.cpu = max(0.0, process.cpu() - used - seconds * measured.rest)
        mine, theirs = both(found.ours.edits, found.floor.edits, 0.99)
        _say(f"edit to child patched: p99 {mine:.1f} ms, the floor {theirs:.1f} ms")

    async def _rest(self, operator: Ours, no_op: Running, found: Round) -> None:
        """See how much CPU each takes while nobody does anything."""
        before, began = (operator.cpu(), no_op.cpu()), time.monotonic()
        await asyncio.sleep(self._plan.rest)
        seconds = time.monotonic() - began
        found.ours.rest = (operator.cpu() - before[0]) / seconds
        found.floor.rest = (no_op.cpu() - before[1]) / seconds

    async def _repairs(self, systems: int, operator: Ours, found: Round) -> None:
        """Delete children and see them made again."""
        async with AsyncExitStack() as stack:
            candidates: list[tuple[str, str, Watched[str]]] = []
            for kind in REPAIRED:
                path = KINDS[kind].format(self._ours.namespace)
                watched = await stack.enter_async_context(self._api.watch(path, _uid))
                listed = [raw["metadata"]["name"] for raw in await self._api.list(path)]
                await watched.until(kind, dict.fromkeys(listed, _any), LONGEST)
                candidates += [(path, name, watched) for name in listed]
            for _ in range(self._plan.repairs):
                path, name, watched = self._random.choice(candidates)
                uid = watched.value(name)
                began = time.monotonic()
                await self._api.call("DELETE", f"{path}/{name}")
                restored = await watched.until(f"{name} restored", {name: partial(ne, uid)}, LONGEST)
                found.repairs.append(restored - began)
                await asyncio.sleep(GAP_SECONDS)
        await operator.calm(LONGEST)
        _say(f"deleted child restored: p99 {1000 * percentile(found.repairs, 0.99):.1f} ms")

    async def _touches(self, names: Sequence[str], operator: Ours, found: Round) -> None:
        """Give systems an annotation: a pass for each, with nothing to do."""
        before = await operator.counters()
        chosen = [names[number % len(names)] for number in range(self._plan.touches)]
        for number, name in enumerate(chosen):
            change = {"metadata": {"annotations": {"bench.bellwether.dev/touched": str(number)}}}
            await self._api.patch(f"{self._ours.path}/{name}", change)
            await asyncio.sleep(GAP_SECONDS)
        await operator.calm(LONGEST, passes=before.passes + len(set(chosen)))
        found.idle = (await operator.counters()).since(before)

    async def _storms(self, names: Sequence[str], seen: dict[str, Watched[int]], operator: Ours, found: Round) -> None:
        """Edit all at once, the sides in turn."""
        for _ in range(self._plan.storms):
            for side, measured in ((self._ours, found.ours), (self._floor, found.floor)):
                began = time.monotonic()
                value = await self._edit_all(names, side)
                measured.taken.append(time.monotonic() - began)
                measured.storms.append(await self._until_all(names, side, seen, value) - began)
                await operator.calm(LONGEST)
        _say(f"all at once: {min(found.ours.storms):.2f} s, the floor {min(found.floor.storms):.2f} s")

    async def _edit_all(self, names: Sequence[str], side: Side) -> int:
        self._value += 1
        change = side.change(self._value)
        await each(names, lambda name: self._api.patch(f"{side.path}/{name}", change))
        return self._value

    async def _until_all(self, names: Sequence[str], side: Side, seen: dict[str, Watched[int]], value: int) -> float:
        wanted = dict.fromkeys(map(side.child, names), partial(eq, value))
        return await seen[side.name].until(f"children of {side.name} with {value}", wanted, LONGEST)

    @staticmethod
    def _look(operator: Ours, no_op: Running, found: Round) -> None:
        found.ours.sizes.append(operator.size())
        found.floor.sizes.append(no_op.size())
        now = found.ours.sizes[-1], found.floor.sizes[-1]
        _say(f"memory: {now[0].rss:.0f} MiB, the floor {now[1].rss:.0f} MiB")


async def each(items: Sequence[Item], do: Callable[[Item], Awaitable[object]]) -> None:
    """Do something for every item, so many at once."""
    waiting = list(reversed(items))

    async def work() -> None:
        while waiting:
            await do(waiting.pop())

    async with asyncio.TaskGroup() as group:
        for _ in range(min(WRITERS, len(waiting))):
            group.create_task(work())


def _any(_: object) -> bool:
    return True


def _uid(raw: Raw) -> str:
    return str(raw["metadata"]["uid"])


def _generation(raw: Raw) -> int:
    return int(raw["metadata"]["generation"])


def _ready(raw: Raw) -> bool:
    conditions = raw.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


if __name__ == "__main__":
    given = tuple(int(word) for word in sys.argv[1:])
    for figure in measure(Plan(sizes=given) if given else Plan()).figures:
        note = f" ({figure.note})" if figure.note else ""
        print(f"{figure.what}{note}: target {figure.aim}, value {figure.shown}, {figure.verdict}", flush=True)
