"""What a status says, read as people and programs read it: kubectl wait, describe and watch, kstatus, Argo CD's map."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.report.finding import CONDITIONS
from bellwether_operator.settings import Settings
from devcluster import build
from environments.machine import CLUSTERS, ROOT
from harness.statuses import READY, SCENES
from harness.until import DEADLINE

from .conftest import FakeGateway, Kube, eventually, running, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

EDITS = 20
LATCH = "latch: somebody pressed the button"
REFUSAL = {"code": "HALTED", "value": LATCH, "limit": "no halt", "message": f"Orders are stopped by a halt: {LATCH}"}
MODELS = [{"model_name": "direction-lr", "symbol": None, "gated": True}]
STALE = [{"symbol": "CBA.AX", "fresh": False, "last_session": "2026-11-19", "problem": "the source does not answer"}]
FRESH = [{"symbol": "CBA.AX", "fresh": True, "last_session": "2026-11-20", "problem": ""}]


@pytest.fixture(scope="session")
def programs() -> Path:
    return build.ensure(CLUSTERS, lambda text: print(text, file=sys.stderr))


async def waited(kube: Kube, name: str, *conditions: str) -> None:
    """Wait for conditions, each with a kubectl of its own, as a person would."""
    await asyncio.gather(
        *(kube("wait", f"tsys/{name}", f"--for=condition={each}", "--timeout=120s") for each in conditions)
    )


async def made(kube: Kube, name: str = "demo") -> None:
    """Wait for the pods' object and say what a kubelet would say of it."""

    async def there() -> bool:
        return name in await kube.names("statefulset")

    await eventually(f"StatefulSet {name}", there)
    await kube.make_ready(name)


async def test_kubectl_waits_for_each_condition(kube: Kube, settings: Settings, gateway: FakeGateway) -> None:
    gateway.more = {"safety": {"safe": True, "refusals": []}, "models": MODELS}
    good = {"Reconciling": "False", "Stalled": "False", "RolloutPending": "False", "Contested": "False"}
    unknown = dict.fromkeys(("BackupHealthy", "RestoreVerified"), "Unknown")
    wanted = [f"{kind}={({**good, **unknown}).get(kind, 'True')}" for kind in CONDITIONS]
    assert len(wanted) == 14
    await kube.apply(system(kube))
    async with running(settings):
        await waited(kube, "demo", "Ready=False", "Available=False", "MessagingReady=False", "Reconciling=True")
        await waited(kube, "demo", "SafeToTrade=Unknown", "ModelsCurrent=Unknown")
        await made(kube)
        await waited(kube, "demo", *wanted)
        gateway.more["models"], gateway.halts = [], [LATCH]
        gateway.more["safety"] = {"safe": False, "refusals": [REFUSAL]}
        await waited(kube, "demo", "SafeToTrade=False", "ModelsCurrent=False", "Ready=True")
        overrides = {"spec": {"market": {"overrides": [{"date": "2009-07-04", "close": "13:00"}]}}}
        await kube.patch("tsys", "demo", overrides)
        await waited(kube, "demo", "Accepted=False", "Stalled=True", "CalendarCurrent=False", "Ready=False")


async def test_a_live_system_says_whether_its_bars_are_fresh(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    gateway.more, gateway.halts = {"data": STALE}, [LATCH]
    live: dict[str, Any] = {"market": {"calendar": "XASX"}, "symbols": ["CBA.AX"], "data": {"provider": "yahoo"}}
    await kube.apply(system(kube, **live, clock={"mode": "live"}))
    async with running(settings):
        await made(kube)
        await waited(kube, "demo", "DataFresh=False")
        stale = await kube.condition("demo", "DataFresh")
        gateway.more, gateway.halts = {"data": FRESH}, []
        await waited(kube, "demo", "DataFresh=True")
    assert stale is not None
    words = "CBA.AX: the newest bar is of session 2026-11-19 (the source does not answer)"
    assert (stale["reason"], stale["message"]) == ("Stale", words)


async def test_describe_tells_a_person_why_it_is_not_safe_to_trade(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    gateway.more, gateway.halts = {"safety": {"safe": False, "refusals": [REFUSAL]}}, [LATCH]
    await kube.apply(system(kube))
    async with running(settings):
        await made(kube)
        await waited(kube, "demo", "Ready=True", "SafeToTrade=False")
        reported = await eventually("the event", lambda: kube.items("events", fields="reason=Halted"))
        text = await kube("describe", "tsys", "demo")
    assert len(reported) == 1
    described = " ".join(text.split())
    sentence = (
        f"Message: Orders are stopped by a halt: {LATCH}. To trade again, take back spec.trading.halted if it is true"
    )
    assert sentence in described
    assert '`bellwether resume --reason "..."`' in described
    assert f"Halts: {LATCH}" in described
    assert f"SafeToTrade is False: Orders are stopped by a halt: {LATCH}." in described


async def test_one_share_of_several_that_is_refused_leaves_it_safe_and_is_named(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    words = "IBM: the symbol's newest bar is older than the one that can be expected"
    gateway.more = {"safety": {"safe": True, "refusals": [{"code": "DATA_STALE", "symbol": "IBM", "message": words}]}}
    await kube.apply(system(kube))
    async with running(settings):
        await made(kube)
        await waited(kube, "demo", "SafeToTrade=True")
        found = await kube.condition("demo", "SafeToTrade")
    assert found is not None
    assert found["reason"] == "SomeRefused"
    assert f"but not in every symbol. {words}. Condition DataFresh" in found["message"]


@contextlib.asynccontextmanager
async def versions(kube: Kube, name: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Collect every version of a system that the API server ever had while the block lasts."""
    found: list[dict[str, Any]] = []
    at = (await kube.get("tsys", name) or {})["metadata"]["resourceVersion"]
    path = f"/apis/bellwether.dev/v1alpha1/namespaces/{kube.namespace}/tradingsystems?watch=1&resourceVersion={at}"
    command = (str(kube.cluster.config.devcluster), "kubectl", f"--kubeconfig={kube.cluster.kubeconfig}")
    process = await asyncio.create_subprocess_exec(
        *command, "get", "--raw", path, stdout=asyncio.subprocess.PIPE, limit=1 << 24
    )
    assert process.stdout is not None
    stream = process.stdout

    async def read() -> None:
        while line := await stream.readline():
            found.append(json.loads(line)["object"])

    reader = asyncio.create_task(read())
    try:
        yield found
    finally:
        process.terminate()
        await process.wait()
        await reader


def version(resource: dict[str, Any]) -> int:
    return int(resource["metadata"]["resourceVersion"])


def says_ready(resource: dict[str, Any]) -> int:
    """Return the generation of which a version says that it is ready; 0 for none."""
    conditions = resource.get("status", {}).get("conditions", [])
    ready = [each for each in conditions if each["type"] == "Ready" and each["status"] == "True"]
    return int(ready[0]["observedGeneration"]) if ready else 0


async def test_no_version_ever_says_ready_of_an_edit_before_it_is_in_force(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    in_force: dict[int, int] = {}
    """By generation, the resource version at which it was not in force yet."""

    async def current() -> dict[str, Any]:
        found = await kube.get("tsys", "demo")
        assert found is not None
        return found

    async def pod_of(image: str) -> None:
        async def look() -> bool:
            found = await kube.get("statefulset", "demo") or {}
            tag: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
            return tag.endswith(f":{image}")

        await eventually(f"a pod of {image}", look)

    async def handed_over(generation: int) -> None:
        async def look() -> bool:
            return gateway.generation == generation

        await eventually(f"generation {generation} at the gateway", look)

    async def ready_of(generation: int) -> None:
        async def look() -> bool:
            return says_ready(await current()) == generation

        await eventually(f"ready of generation {generation}", look)

    settings = replace(settings, gateway_period=5.0)
    await kube.apply(system(kube))
    async with running(settings):
        await made(kube)
        await waited(kube, "demo", "Ready=True")
        async with versions(kube, "demo") as seen:
            for number in range(EDITS):
                generation = number + 2
                if number % 2:
                    await kube.patch("tsys", "demo", {"spec": {"version": f"v{number}"}})
                    await pod_of(f"v{number}")
                    in_force[generation] = version(await current())
                    await kube.make_ready("demo")
                else:
                    gateway.acknowledge = False
                    await kube.patch("tsys", "demo", {"spec": {"predictions": {"cacheTTL": f"{31 + number}m"}}})
                    await handed_over(generation)
                    in_force[generation] = version(await current())
                    gateway.acknowledge = True
                await ready_of(generation)
            last = version(await current())

            async def all_seen() -> bool:
                return bool(seen) and version(seen[-1]) >= last

            await eventually("the watch to catch up", all_seen)
    assert len(seen) >= 2 * EDITS  # the edit and the status of it, at the least
    early = [
        (version(each), generation)
        for each in seen
        for generation in [says_ready(each)]
        if generation in in_force and version(each) <= in_force[generation]
    ]
    assert early == []
    assert {says_ready(each) for each in seen} >= set(in_force)
    for each in seen:
        observed = each["status"]["observedGeneration"]
        assert observed <= each["metadata"]["generation"]
        assert all(condition["observedGeneration"] <= observed for condition in each["status"]["conditions"])


def kstatus(programs: Path, *resources: dict[str, Any]) -> list[tuple[str, str]]:
    """Return kstatus' word and message for each object."""
    text = "\n".join(json.dumps(each) for each in resources)
    found = subprocess.run(
        [str(programs / "kstatus")], input=text, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    return [(status, message) for status, message in rows]


def test_kstatus_reads_every_state(programs: Path) -> None:
    found = kstatus(programs, *(scene.resource() for scene in SCENES.values()))
    assert dict(zip(SCENES, [status for status, _ in found], strict=True)) == {
        name: scene.kstatus for name, scene in SCENES.items()
    }


def test_kstatus_sees_an_edit_that_nobody_looked_at(programs: Path) -> None:
    edited, deleted = READY.resource(), READY.resource()
    edited["metadata"]["generation"] += 1
    deleted["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    (status, message), (ending, _) = kstatus(programs, edited, deleted)
    assert status == "InProgress"
    assert message == "TradingSystem generation is 3, but latest observed generation is 2"
    assert ending == "Terminating"


def test_kstatus_refuses_what_is_no_object(programs: Path) -> None:
    found = subprocess.run(
        [str(programs / "kstatus")], input="[1]", capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert found.returncode == 1
    assert found.stderr.startswith("kstatus: object 1: ")


async def test_kstatus_reads_a_real_system(
    kube: Kube, settings: Settings, gateway: FakeGateway, programs: Path
) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await kube.until_condition("demo", "Ready", "False")
        before = await kube.get("tsys", "demo")
        await made(kube)
        await waited(kube, "demo", "Ready=True")
        after = await kube.get("tsys", "demo")
    assert before is not None
    assert after is not None
    assert [status for status, _ in kstatus(programs, before, after)] == ["InProgress", "Current"]


def test_the_documented_commands_give_argocd_the_script(kube: Kube, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "conditions.md").read_text()
    (commands,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {kube.cluster.config.devcluster} kubectl "$@"\n')
    kubectl.chmod(0o755)
    kube.cluster.kubectl("-n", kube.namespace, "create", "configmap", "argocd-cm", "--from-literal=url=https://argo")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(kube.cluster.kubeconfig)}
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("-n argocd", f"-n {kube.namespace}")],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=DEADLINE,
    )
    found = json.loads(kube.cluster.kubectl("-n", kube.namespace, "get", "configmap", "argocd-cm", "-o", "json"))
    script = (ROOT / "manifests" / "argocd" / "health.lua").read_text()
    assert found["data"] == {
        "url": "https://argo",
        "resource.customizations.health.bellwether.dev_TradingSystem": script,
    }


async def test_what_an_older_definition_does_not_declare_is_left_out_of_a_status(kube: Kube) -> None:
    await kube.apply(system(kube))
    client = await Client.connect(str(kube.cluster.kubeconfig))
    try:
        newer = {"observedGeneration": 7, "newer": {"a": 1}, "release": "1", "newest": "b"}
        reply = await client.apply_status(kube.namespace, "demo", newer)
        with pytest.raises(ApiError, match="observedGeneration"):
            await client.apply_status(kube.namespace, "demo", {"observedGeneration": "x"})
    finally:
        await client.close()
    assert (reply["status"]["release"], {"newer", "newest"} & set(reply["status"])) == ("1", set())
