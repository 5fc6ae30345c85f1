"""Our operator beside a no-op one, at 1, 100 and 1,000 systems: how soon edits and repairs show, and what it costs."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from operator import eq, ne
from pathlib import Path
from typing import TypeVar

from bench import operator_floor
from bench.operator_api import Api, Raw, Watched, connected
from bench.operator_sides import (
    Counters,
    Gateways,
    Ours,
    Running,
    Side,
    Size,
    floor,
    ours,
    ready_status,
    start_floor,
)
from bench.report import Figure, Section
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
WRITERS = 32
GAP_SECONDS = 0.05
LONGEST = 900.0
"""Seconds for 1,000 systems on a machine that others use too."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: Sequence[int] = (1, 100, 1000)
    edits: int = 200
    """Of each side, one after the other, in blocks that take turns."""
    block: int = 25
    repairs: int = 100
    storms: int = 2
    """How often all are edited at once."""
    touches: int = 100
    """Systems that are touched in a way that needs nothing done."""
    rest: float = 15.0
    """Seconds in which nothing is done; the period in which the operator polls every gateway."""


@dataclass
class Measured:
    """One side at one size; seconds."""

    edits: list[float] = field(default_factory=list)
    storms: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    """How much of each storm the API server needed to take the edits."""
    started: float = 0.0
    cpu: float = 0.0
    """Seconds of CPU that `edits` took, beyond what the operator takes at rest in that time."""
    rest: float = 0.0
    """Seconds of CPU a second at rest."""
    sizes: list[Size] = field(default_factory=list)


@dataclass
class Round:
    """Both operators with so many resources each."""

    systems: int
    children: int = 0
    """Objects that belong to each system."""
    created: float = 0.0
    ours: Measured = field(default_factory=Measured)
    floor: Measured = field(default_factory=Measured)
    repairs: list[float] = field(default_factory=list)
    idle: Counters = field(default_factory=Counters)
    """Counted while systems were touched without need for a change."""
    edited: Counters = field(default_factory=Counters)
    """Counted while `len(ours.edits)` edits were made."""


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


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share (above 0, at most 1) of the values does not exceed.

    Raises:
        ValueError: without values, or with another share.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no {share:g} percentile of {len(values)} values: there must be one, and 0 < share <= 1")
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[int(rank) - 1]


def figures(rounds: Sequence[Round]) -> list[Figure]:
    """Return the rows: per size what ours does, and beside it the ratio to the floor."""
    return [figure for each in rounds for figure in _rows(each)]


def _rows(found: Round) -> list[Figure]:
    size = "1 system" if found.systems == 1 else f"{found.systems:,} systems"
    mine, theirs = found.ours, found.floor
    rows = []

    def row(what: str, value: float, unit: str, target: float | None = None, note: str = "") -> None:
        rows.append(Figure(f"{size}: {what}", value, unit, target, note=note))

    def beside(what: str, value: float, of_floor: float, unit: str, target: float | None = None) -> None:
        shown = Figure("", of_floor, unit).shown
        row(what, value, unit, target, note=f"floor {shown}" + (f", {value / of_floor:.2g} times" if of_floor else ""))

    tail = {100: 100.0, 1000: 250.0}.get(found.systems)
    beside("edit to child patched, p50", *_both(mine.edits, theirs.edits, 0.5), "ms")
    beside("edit to child patched, p99", *_both(mine.edits, theirs.edits, 0.99), "ms", tail)
    cpu = 1000 * mine.cpu / len(mine.edits), 1000 * theirs.cpu / len(theirs.edits)
    beside("CPU of the operator per edit", *cpu, "ms")
    row("CPU of the operator at rest", 100 * mine.rest, "% of a core", note="it polls every gateway")
    row("deleted child restored, p50", 1000 * percentile(found.repairs, 0.5), "ms")
    restored = 500.0 if found.systems == 100 else None
    row("deleted child restored, p99", 1000 * percentile(found.repairs, 0.99), "ms", restored)
    storm = statistics.median(mine.storms), statistics.median(theirs.storms)
    beside("all edited at once to the last child patched", *storm, "s")
    taken = statistics.median(mine.taken), statistics.median(theirs.taken)
    beside("of it: until the API server had taken the edits", *taken, "s")
    beside("operator start to all reconciled", mine.started, theirs.started, "s")
    row("API calls per pass that has nothing to do", found.idle.calls / found.idle.passes, "")
    row("writes per pass that has nothing to do", found.idle.writes / found.idle.passes, "", 0)
    row("API calls per edit", found.edited.calls / len(mine.edits), "")
    sizes, of_floor = mine.sizes, theirs.sizes
    aim = 200.0 if found.systems == 1000 else None
    rss = max(each.rss for each in sizes), max(each.rss for each in of_floor)
    beside("memory (Rss), highest", *rss, "MiB", aim)
    beside("memory (Rss), after its start", sizes[0].rss, of_floor[0].rss, "MiB")
    row("memory (Pss), highest", max(each.pss for each in sizes), "MiB")
    return rows


def _both(mine: Sequence[float], theirs: Sequence[float], share: float) -> tuple[float, float]:
    """Return a percentile of both, in milliseconds."""
    return 1000 * percentile(mine, share), 1000 * percentile(theirs, share)


def how(plan: Plan, rounds: Sequence[Round]) -> str:
    """Return what was measured and how."""
    objects = ", ".join(f"{each.children} at {each.systems:,}" for each in rounds)
    sample = "`manifests/samples/asx-banks.yaml` in the compact profile"
    return (
        "etcd and API server only, no controllers, no kubelet: what those would say of a StatefulSet whose pod runs is "
        "written by the measurement, so every system is Ready before anything is measured. Gateways are stubbed: one "
        "process answers for all, takes every declaration and acknowledges it at once; the operator polls it as it "
        "would the real ones. The operator runs as a process with the chart's settings and the administrator's rights, "
        f"which the API server does not throttle; systems are {sample}, objects per system: {objects}. Beside it in "
        "the same run a no-op kopf operator (the floor): one event handler, one server-side apply of one ConfigMap for "
        "each change, as many resources; both processes are up, the edits take turns. An edit sets a live field "
        "(`trading.risk.maxOrdersPerSession`) of a system drawn by lot: from before the request until a watch shows "
        f"the ConfigMap with the new value, {plan.edits} edits of each side, {1000 * GAP_SECONDS:g} ms between what "
        "was seen and the next. CPU: of the operator's process, user and system, for each of these edits, with what "
        "follows them (delivery to the gateway, status) and without what it takes at rest. Restored: a Service or "
        f"NetworkPolicy deleted, until a watch shows its successor, {plan.repairs} times. At once: all edited by "
        f"{WRITERS} writers, {plan.storms} times, median; the API server's own work on the edits is in it, and shown "
        "below it. Start: all were edited while the operator was down; from the process's start until the last "
        "ConfigMap has the new value. Nothing to do: systems are given an annotation. Memory after the start, after "
        "the edits and at the end. The measuring process shares the cores."
    )


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
        _say(f"{systems} systems of {found.children} objects are ready, {found.created:.1f} s after they were begun")
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
        mine, theirs = _both(found.ours.edits, found.floor.edits, 0.99)
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
