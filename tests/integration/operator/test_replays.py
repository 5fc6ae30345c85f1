"""A TradingReplay from making to end, with a real API server; kubelet and the Job controller are played."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bellwether_operator.settings import Settings

from .backing_up import define, one
from .conftest import FakeGateway, Kube, eventually, running, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

DEFINITION = Path(__file__).resolve().parents[3] / "crds" / "tradingreplays.bellwether.dev.yaml"
FIGURES = {
    "baseHitRate": "0.480832",
    "buyAndHoldReturn": "0.111834",
    "finalEquity": "102116.56",
    "hitRate": "0.395062",
    "maxDrawdown": "-0.017995",
    "sessions": 61,
    "sharpe": "1.692221",
    "signals": 162,
    "totalReturn": "0.021166",
    "trades": 28,
}


def replay(name: str, **spec: Any) -> str:
    body = {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingReplay",
        "metadata": {"name": name},
        "spec": {"system": "demo", "from": "2009-01-02", "to": "2009-03-31", **spec},
    }
    return json.dumps(body)


async def make(kube: Kube, name: str, **spec: Any) -> None:
    await kube("create", "-f", "-", stdin=replay(name, **spec))


async def refused(kube: Kube, *arguments: str, stdin: str | None = None) -> str:
    (answer,) = await asyncio.gather(kube(*arguments, stdin=stdin), return_exceptions=True)
    assert isinstance(answer, Exception), answer
    return str(answer)


async def conditions(kube: Kube, name: str) -> dict[str, tuple[str, str]]:
    found = (await one(kube, "treplay", name)).get("status", {}).get("conditions", [])
    return {each["type"]: (each["status"], each["reason"]) for each in found}


async def until(kube: Kube, name: str, **wanted: tuple[str, str]) -> None:
    async def so() -> bool:
        found = await conditions(kube, name)
        return all(found.get(kind) == value for kind, value in wanted.items())

    await eventually(f"{name}: {wanted}", so)


async def play_pod(kube: Kube, job: dict[str, Any], index: int, said: dict[str, Any], code: int = 0) -> None:
    """Play the controller that makes the pod of an index, and the kubelet that says what it ended with."""
    template = job["spec"]["template"]
    name = f"{job['metadata']['name']}-{index}"
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-completion-index": str(index)}
    metadata = {"name": name, "namespace": kube.namespace, "labels": labels}
    # No controller makes a namespace's own account here, and no pod is taken without it.
    account = {"name": "default", "namespace": kube.namespace}
    await kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    await kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    ended = {"exitCode": code, "message": json.dumps(said)}
    container = {
        "name": "replay-job",
        "image": "x",
        "imageID": "x",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }
    status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
    await kube.patch("pod", name, {"status": status}, "--subresource=status")


async def play_end(kube: Kube, name: str, kind: str) -> None:
    """Play what the Job's controller says of a Job that has ended."""
    at = "2026-11-27T21:30:05Z"
    began = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    reported = [
        {"type": each, "status": "True", "reason": "Ended", "lastTransitionTime": at, "lastProbeTime": at}
        for each in (began, kind)
    ]
    status: dict[str, Any] = {"conditions": reported, "startTime": at}
    status |= {"completionTime": at, "succeeded": 2, "completedIndexes": "0,1"} if kind == "Complete" else {}
    await kube.patch("job", name, {"status": status}, "--subresource=status")


async def test_a_replay_is_frozen_run_reported_in_figures_also_over_a_restart_and_goes_whole(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    vary = [{"path": "trading.sizing.value", "values": ["0.2"]}]
    async with running(settings):
        # A file may hold the replay before its system.
        await make(kube, "sizes", vary=vary, ttl="1h")
        await until(kube, "sizes", Accepted=("False", "SystemNotFound"))
        await kube.apply(system(kube))
        job: dict[str, Any] = await eventually("the Job", lambda: kube.get("job", "sizes-replay"))
        await until(kube, "sizes", Accepted=("True", "Frozen"), Progressing=("True", "Replaying"))
        assert job["spec"]["completions"] == 2
        await kube.patch("tsys", "demo", {"spec": {"symbols": ["IBM"]}})
        plan = await one(kube, "configmap", "sizes-replay")
        assert json.loads(plan["data"]["plan.json"])["declaration"]["spec"]["symbols"] == ["AAPL", "MSFT"]
        owners = [each["metadata"]["ownerReferences"] for each in (plan, job)]
        owners.append((await one(kube, "networkpolicy", "sizes-replay"))["metadata"]["ownerReferences"])
        uid = (await one(kube, "treplay", "sizes"))["metadata"]["uid"]
        assert {(each[0]["kind"], each[0]["uid"]) for each in owners} == {("TradingReplay", uid)}
        await play_pod(kube, job, 0, FIGURES)

        async def first() -> bool:
            rows = (await one(kube, "treplay", "sizes"))["status"]["variants"]
            return bool(rows[0].get("complete"))

        await eventually("the figures of index 0", first)
    # The operator was not running when the rest ended.
    await play_pod(kube, job, 1, {**FIGURES, "totalReturn": "0.044043"})
    await play_end(kube, "sizes-replay", "Complete")
    async with running(settings):
        await kube("wait", "--for=condition=Complete", "treplay/sizes", "--timeout=120s")
        listed = await kube("get", "treplay")
        assert (listed.splitlines()[1].split()[:9]) == [
            "sizes",
            "demo",
            "2009-01-02",
            "True",
            "Replayed",
            "0.021166",
            "0.111834",
            "-0.017995",
            "28",
        ]
        rows = (await one(kube, "treplay", "sizes"))["status"]["variants"]
        reported = [(row["name"], row["totalReturn"], row["report"]) for row in rows]
        assert reported == [
            ("as declared", "0.021166", "/reports/replays/sizes"),
            ("trading.sizing.value=0.2", "0.044043", "/reports/replays/sizes/1"),
        ]
        await make(kube, "other")
        other = (await one(kube, "treplay", "other"))["metadata"]["uid"]
        await eventually("the other one's Job", lambda: kube.get("job", "other-replay"))
        await kube("delete", "treplay", "sizes", "--timeout=120s")

        async def reported_left() -> bool:
            return gateway.replays[-1:] == [[other]]

        await eventually("the gateway to hear which replays are left", reported_left)
    writes = {line.partition("/")[0] for line in kube.operator_writes() if "replay" in line}
    assert writes == {"create configmaps", "create jobs", "create networkpolicies", "patch tradingreplays"}


async def test_a_variant_that_fails_is_reported_in_its_own_words_beside_the_figures_of_the_others(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    async with running(settings):
        await kube.apply(system(kube))
        await make(kube, "sizes", vary=[{"path": "symbols", "values": ["[TSLA]"]}])
        job: dict[str, Any] = await eventually("the Job", lambda: kube.get("job", "sizes-replay"))
        await play_pod(kube, job, 0, FIGURES)
        await play_pod(kube, job, 1, {"error": "no symbol has bars"}, code=3)
        await play_end(kube, "sizes-replay", "Failed")
        await until(kube, "sizes", Failed=("True", "VariantsFailed"), Complete=("False", "VariantsFailed"))
        status = (await one(kube, "treplay", "sizes"))["status"]
        message = next(each["message"] for each in status["conditions"] if each["type"] == "Failed")
        assert message == "1 of 2 have figures; 1 (symbols=[TSLA]): no symbol has bars"
        assert status["variants"][0]["totalReturn"] == "0.021166"


async def test_wrong_input_is_refused_with_field_value_and_what_is_right(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await define(kube, DEFINITION.read_text())
    for spec, words in (
        ({"from": "2009-04-01"}, "from must not be after to"),
        ({"from": "last week"}, "spec.from"),
        ({"job": {"memoryMebibytes": 1}}, "spec.job.memoryMebibytes"),
        ({"vary": [{"path": "symbols", "values": []}]}, "spec.vary[0].values"),
    ):
        assert words in await refused(kube, "create", "-f", "-", stdin=replay("wrong", **spec))
    dotted = await refused(kube, "create", "-f", "-", stdin=replay("a.b"))
    assert "has at most 40 characters and no dot" in dotted
    async with running(settings):
        await kube.apply(system(kube))
        await make(kube, "wrong", vary=[{"path": "trading.sizing.value", "values": ["much"]}])
        await until(kube, "wrong", Accepted=("False", "InvalidSpec"), Failed=("True", "InvalidSpec"))
        status = (await one(kube, "treplay", "wrong"))["status"]
        said = next(each["message"] for each in status["conditions"] if each["type"] == "Accepted")
        assert said.startswith('spec.vary trading.sizing.value=much: spec.trading.sizing.value: "much" is not right')
        assert await kube.get("job", "wrong-replay") is None
    change = await refused(kube, "patch", "treplay", "wrong", "--type=merge", "-p", '{"spec":{"to":"2009-06-30"}}')
    assert "a replay cannot be changed: make another one" in change
