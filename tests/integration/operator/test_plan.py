"""What `bellwether plan` says an edit would do, beside what the operator then does, on a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.change.compare import changes
from bellwether.cli.main import main
from bellwether.market.sessions import load_calendar
from bellwether_operator.settings import Settings

from .conftest import FakeGateway, Kube, eventually, running, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

KINDS = "configmap,cronjob,deployment,networkpolicy,pvc,poddisruptionbudget,service,serviceaccount,statefulset"
OURS = ("bellwether.dev/", "app.kubernetes.io/")
HIDDEN = {
    "bellwether.dev/applied",
    "bellwether.dev/failed-template",
    "bellwether.dev/last-good-template",
    "bellwether.dev/rollout-began",
    "bellwether.dev/template",
}
"""Annotations that follow from the rest of the object, and what is noted of a rollout."""
NOW = "2026-01-01T00:00:00Z"


@dataclass
class Effects:
    """What became of the children of a system between two looks, or what is to become of them."""

    created: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    remade: set[str] = field(default_factory=set)
    changed: dict[str, set[str]] = field(default_factory=dict)


def essence(raw: dict[str, Any]) -> dict[str, Any]:
    """Return of an object what is ours to say, with what the API server filled in."""
    metadata = raw["metadata"]
    annotations = {
        name: value
        for name, value in (metadata.get("annotations") or {}).items()
        if name.startswith(OURS) and name not in HIDDEN
    }
    ours = {
        "labels": metadata.get("labels"),
        "annotations": annotations,
        "ownerReferences": metadata.get("ownerReferences"),
    }
    kept: dict[str, Any] = {"metadata": {name: value for name, value in ours.items() if value}}
    return kept | {name: raw[name] for name in ("spec", "data") if name in raw}


def between(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> Effects:
    found = Effects(set(after) - set(before), set(before) - set(after))
    for name in set(before) & set(after):
        if before[name]["metadata"]["uid"] != after[name]["metadata"]["uid"]:
            found.remade.add(name)
            continue
        paths = {change.path for change in changes(essence(before[name]), essence(after[name]))}
        if paths:
            found.changed[name] = paths
    return found


def predicted(plan: dict[str, Any], *, later: bool = False) -> Effects:
    """Return what a plan says is done at once, or with what waits too."""
    found = Effects()
    for step in plan["steps"]:
        name = f"{step['kind']}/{step['name']}"
        if step["kind"] == "Secret" or (step["when"] is not None and not later):
            continue
        if step["action"] in {"create", "replace"}:
            found.created.add(name)
        if step["action"] == "replace":
            found.deleted.add(f"{step['kind']}/{step['replaces']}")
        if step["action"] == "delete":
            found.deleted.add(name)
        if step["action"] == "remake":
            found.remade.add(name)
        if step["action"] == "change":
            found.changed.setdefault(name, set()).update(change["path"] for change in step["fields"])
    return found


class Desk:
    """Plans and applies edits of one system, with somebody beside who does what a kubelet and controllers would."""

    def __init__(self, kube: Kube, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.kube = kube
        self._folder = folder
        self._capture = capture

    async def plan(self, manifest: dict[str, Any], *words: str, code: int = 0) -> dict[str, Any]:
        """Return what `bellwether plan` says, as programs read it; fail when it ends with another code."""
        ended, out, err = await self.type(manifest, "-o", "json", *words)
        assert ended == code, err
        found: dict[str, Any] = json.loads(out)
        return found

    async def type(self, manifest: dict[str, Any], *words: str) -> tuple[int, str, str]:
        file = self._folder / "system.yaml"
        file.write_text(json.dumps(manifest))
        code = await asyncio.to_thread(main, ["plan", str(file), "-n", self.kube.namespace, *words])
        said = self._capture.readouterr()
        return code, said.out, said.err

    async def children(self) -> dict[str, dict[str, Any]]:
        found = await self.kube.items(KINDS, "app.kubernetes.io/instance=demo")
        return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}

    async def settled(self) -> bool:
        """Play the controllers; return whether the newest declaration was seen, and all pods run or are paused."""
        there = await self.children()
        for each in there.values():
            if each["kind"] in {"StatefulSet", "Deployment"}:
                await self._play_controller(each)
        await self._play_jobs()
        found = await self.kube.get("tsys", "demo") or {}
        status = found.get("status", {})
        conditions = {each["type"]: each for each in status.get("conditions", [])}
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        if not there or not seen or not conditions:
            return False
        return bool(conditions["Available"]["status"] == "True" or conditions["Reconciling"]["reason"] == "Paused")

    async def _play_controller(self, workload: dict[str, Any]) -> None:
        wanted = workload["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), wanted)
        status = {"observedGeneration": workload["metadata"]["generation"], **counts}
        if {name: workload["status"].get(name, 0) for name in status} != status:
            name = workload["metadata"]["name"]
            await self.kube.patch(workload["kind"].lower(), name, {"status": status}, "--subresource=status")

    async def _play_jobs(self) -> None:
        """Complete the Jobs that copy volumes."""
        for each in await self.kube.items("job", "app.kubernetes.io/component=move"):
            if each.get("status", {}).get("completionTime") is None:
                conditions = [
                    {"type": kind, "status": "True", "reason": "Played", "lastTransitionTime": NOW}
                    for kind in ("SuccessCriteriaMet", "Complete")
                ]
                done = {"startTime": NOW, "completionTime": NOW, "succeeded": 1, "conditions": conditions}
                name = each["metadata"]["name"]
                await self.kube.patch("job", name, {"status": done}, "--subresource=status")

    async def rest(self) -> dict[str, dict[str, Any]]:
        """Wait until nothing is under way; return the children."""
        try:
            await eventually("the system at rest", self.settled)
        except pytest.fail.Exception:
            found = await self.kube.get("tsys", "demo") or {}
            pytest.fail(f"the system did not come to rest: {json.dumps(found.get('status'), indent=1)}")
        return await self.children()

    async def becomes(self, before: dict[str, dict[str, Any]], expected: Effects) -> None:
        """Wait until exactly what was expected has happened; fail with what happened instead."""
        seen: Effects | None = None

        async def look() -> bool:
            nonlocal seen
            await self.settled()
            seen = between(before, await self.children())
            return seen == expected

        try:
            await eventually("what the plan said", look)
        except pytest.fail.Exception:
            assert seen == expected
            raise
        await self.rest()
        assert between(before, await self.children()) == expected


@pytest.fixture
def desk(kube: Kube, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    shim = tmp_path / "bin" / "kubectl"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {kube.cluster.config.devcluster} kubectl "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    return Desk(kube, tmp_path, capsys)


def live(kube: Kube, **spec: Any) -> dict[str, Any]:
    """Return a live system at the Australian exchange."""
    document = system(kube)
    document["spec"] = {
        "market": {"calendar": "XASX"},
        "symbols": ["CBA.AX"],
        "trading": {"mode": "simulated"},
        **spec,
    }
    return document


def open_now() -> dict[str, Any]:
    """Return a market with a session under way, of the exchange whose day leaves room for it."""
    now = datetime.now(UTC)
    for name in ("XASX", "XNYS", "XLON"):
        local = now.astimezone(load_calendar(name).timezone)
        begin, end = local - timedelta(hours=1), local + timedelta(hours=3)
        if begin.date() == end.date() and begin.utcoffset() == end.utcoffset():
            hours = {"open": f"{begin:%H:%M}", "close": f"{end:%H:%M}"}
            return {"calendar": name, "overrides": [{"date": f"{local:%Y-%m-%d}", **hours}]}
    raise AssertionError("one of three exchanges around the world has a day with room")


def closed_next(market: dict[str, Any]) -> dict[str, Any]:
    """Return the market with its next session closed."""
    session = load_calendar(market["calendar"]).next_session(datetime.now(UTC) + timedelta(hours=1))
    return {**market, "overrides": [{"date": session.day.isoformat(), "closed": True}]}


Edit = Callable[[dict[str, Any]], None]


def spec(**fields: Any) -> Edit:
    return lambda manifest: manifest["spec"].update(fields)


REPLAY_EDITS = {
    "symbols": spec(symbols=["AAPL", "IBM"]),
    "image version": spec(version="v9"),
    "retention": spec(deletionPolicy="Delete"),
    "memory": spec(services={"gateway": {"memory": "300Mi"}}),
    "labels of pods": spec(podTemplate={"labels": {"team": "desk"}}),
    "several at once": spec(version="v10", symbols=["IBM"], trading={"mode": "off", "currency": "USD"}),
}
LIVE_EDITS = {
    "symbols": spec(symbols=["CBA.AX", "BHP.AX"]),
    "the next session closed": lambda manifest: manifest["spec"].update(market=closed_next(manifest["spec"]["market"])),
    "a task removed": spec(tasks=[{"name": "morning_analysis", "anchor": "open", "offset": "-30m"}]),
    "a task at another time": spec(tasks=[{"name": "morning_analysis", "anchor": "open", "offset": "-20m"}]),
}


async def check(desk: Desk, first: dict[str, Any], edit: Edit) -> dict[str, Any]:
    """Plan an edit, apply it, and hold the plan to what happened; return the plan."""
    before = await desk.rest()
    edited = json.loads(json.dumps(first))
    edit(edited)
    found = await desk.plan(edited, "--exit-code", code=3)
    assert (found["drift"], found["notes"]) == ([], [])
    assert await desk.children() == before, "a plan changes nothing"
    await desk.kube.apply(edited)
    await desk.becomes(before, predicted(found, later=True))
    again = await desk.plan(edited, "--exit-code")
    assert again["changes"] is False
    first.update(edited)
    return found


async def test_edits_of_a_replay_do_what_the_plan_said(desk: Desk, settings: Settings) -> None:
    manifest = system(desk.kube)
    await desk.kube.apply(manifest)
    async with running(settings):
        said = {what: await check(desk, manifest, edit) for what, edit in REPLAY_EDITS.items()}
        paused = json.loads(json.dumps(manifest))
        paused["spec"].update(paused={"until": "2039-01-01T00:00:00Z"}, version="v11", symbols=["GOOG"])
        waiting = await desk.plan(paused)
        before = await desk.children()
        await desk.kube.apply(paused)
        await desk.becomes(before, predicted(waiting))
    assert predicted(waiting).changed.keys() == {"ConfigMap/demo-declaration"}
    assert {one["waitsFor"] for one in waiting["pods"]} == {"paused"}
    restarts = {what for what, found in said.items() if found["pods"]}
    assert restarts == {"image version", "memory", "labels of pods", "several at once"}


async def test_edits_of_a_live_system_do_what_the_plan_said(desk: Desk, settings: Settings) -> None:
    manifest = live(desk.kube)
    await desk.kube.apply(manifest)
    async with running(settings):
        said = {what: await check(desk, manifest, edit) for what, edit in LIVE_EDITS.items()}
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        edited = {
            "paused": {"until": until},
            "version": "v9",
            "tasks": [{"name": "noon", "anchor": "time", "time": "12:00"}],
        }
        paused = {**manifest, "spec": {**manifest["spec"], **edited}}
        waiting = await desk.plan(paused)
        before = await desk.children()
        await desk.kube.apply(paused)
        await desk.becomes(before, predicted(waiting))
    # Schedules come at once, of the release that runs; its pods, and schedules of the new one, when the pause is over.
    assert {name.partition("/")[0] for name in predicted(waiting).created} == {"CronJob"}
    assert {one["waitsFor"] for one in waiting["pods"]} <= {"paused", "session"}
    assert {what for what, found in said.items() if found["pods"]} == set()
    acts = {what: {one["action"] for one in found["steps"] if one["kind"] == "CronJob"} for what, found in said.items()}
    assert acts["symbols"] == set()
    assert acts["the next session closed"] == {"remake"}
    assert acts["a task removed"] == {"delete"}
    assert acts["a task at another time"] == {"create", "delete"}


async def test_a_larger_volume_does_what_the_plan_said(desk: Desk, settings: Settings) -> None:
    kube = desk.kube
    await kube.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": kube.namespace},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": True,
        }
    )
    first = system(kube, storage={"className": kube.namespace, "size": "200Mi"})
    await kube.apply(first)
    async with running(settings):
        await desk.rest()
        await kube.patch("pvc", "data-demo-0", {"status": {"phase": "Bound"}}, "--subresource=status")
        found = await check(desk, first, spec(storage={"className": kube.namespace, "size": "2Gi"}))
    # NATS may keep more, so its configuration is another one, by another name, which only a new pod reads.
    assert [step["kind"] for step in found["steps"] if step["action"] == "replace"] == ["ConfigMap"]
    assert [one["because"] for one in found["pods"]] == [["storage.size"]]
    await kube.delete("storageclass", kube.namespace)


async def test_in_a_session_the_plan_says_what_waits(desk: Desk, settings: Settings) -> None:
    first = live(desk.kube, market=open_now())
    await desk.kube.apply(first)
    async with running(settings):
        before = await desk.rest()
        edited = {**first, "spec": {**first["spec"], "version": "v9"}}
        held = await desk.plan(edited, "--exit-code", code=3)
        assert {one["when"] for one in held["pods"]} == {held["session"]["closes"]}
        await desk.kube.apply(edited)
        await desk.becomes(before, predicted(held))
        waiting = await desk.plan(edited, "--exit-code", code=3)
        assert waiting["drift"] == []
        assert {one["when"] for one in waiting["steps"]} == {held["session"]["closes"]}
        # Schedules wait with the pods: their Jobs talk to the services that run.
        assert {one["kind"] for one in waiting["steps"]} == {"StatefulSet", "CronJob"}
        at_once = {**edited, "spec": {**edited["spec"], "rollout": {"policy": "Immediate"}}}
        now = await desk.plan(at_once, "--exit-code", code=3)
        assert [one["when"] for one in now["pods"]] == [None]
        between_edits = await desk.children()
        await desk.kube.apply(at_once)
        await desk.becomes(between_edits, predicted(now))


async def test_protection_of_a_session_is_a_budget(desk: Desk, settings: Settings) -> None:
    first = live(desk.kube, market=open_now())
    await desk.kube.apply(first)
    async with running(settings):
        found = await check(desk, first, spec(rollout={"protectSession": False}))
    assert predicted(found).changed["PodDisruptionBudget/demo"] == {"spec.maxUnavailable"}


async def test_a_new_system_is_planned_whole_and_its_volumes_are_taken_up_again(desk: Desk, settings: Settings) -> None:
    first = system(desk.kube)
    found = await desk.plan(first, "--image", settings.services_image)
    assert found["created"]
    await desk.kube.apply(first)
    async with running(settings):
        # Only the NATS keys, which nobody knows before, make a name of their own.
        names = {name for name in await desk.rest() if not name.startswith("ConfigMap/demo-nats-")}
        planned = {name for name in predicted(found).created if not name.startswith("ConfigMap/demo-nats-")}
        assert names == planned
        await desk.kube.delete("tsys", "demo", propagation="Foreground", wait=False)
        await desk.kube.patch("tsys", "demo", {"metadata": {"finalizers": None}})
    for kind in KINDS.split(","):
        if kind != "pvc":
            there = await desk.kube.items(kind, "app.kubernetes.io/instance=demo")
            await desk.kube.delete(kind, *(each["metadata"]["name"] for each in there))
    again = await desk.plan(first, "--image", settings.services_image)
    assert [step["name"] for step in again["steps"] if step["action"] == "adopt"] == ["data-demo-0"]


async def test_drift_is_shown_with_both_values(desk: Desk, settings: Settings) -> None:
    first = system(desk.kube)
    await desk.kube.apply(first)
    async with running(settings):
        await desk.rest()
    # The operator is not running, so what is done by hand stays.
    await desk.kube.patch("statefulset", "demo", {"spec": {"replicas": 0}})
    await desk.kube.delete("service", "demo-nats")
    without = {"app.kubernetes.io/managed-by": None, "app.kubernetes.io/instance": None}
    await desk.kube.label("service", "demo-gateway", without)
    found = await desk.plan(first, "--exit-code", code=3)
    drift = {(each["problem"], each["kind"], each["name"]): each["fields"] for each in found["drift"]}
    assert drift.keys() == {
        ("changed", "StatefulSet", "demo"),
        ("missing", "Service", "demo-nats"),
        ("changed", "Service", "demo-gateway"),
    }
    assert drift["changed", "StatefulSet", "demo"] == [{"path": "spec.replicas", "old": 0, "new": 1}]
    assert found["steps"] == []
    code, out, _ = await desk.type(first)
    assert code == 0
    assert "spec.replicas 0 → 1" in out


async def test_a_refusal_has_the_reasons_against_what_is_stored(desk: Desk, settings: Settings) -> None:
    first = system(desk.kube, storage={"size": "2Gi"})
    await desk.kube.apply(first)
    smaller = system(desk.kube, storage={"size": "1Gi"})
    found = await desk.plan(smaller, code=1)
    assert found["refusals"] == [
        {"path": "spec.storage", "message": "storage.size can only grow: a volume cannot shrink"}
    ]
    assert found["steps"] == []


async def test_what_somebody_else_has_by_our_name_is_a_refusal(desk: Desk, settings: Settings) -> None:
    theirs = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "demo"}}
    await desk.kube.apply(theirs)
    _, _, err = await desk.type(system(desk.kube))
    assert "ServiceAccount demo: exists and it was not made by the operator: rename it, or this system" in err


async def test_what_was_set_by_other_means_stays_as_with_kubectl_apply(
    desk: Desk, settings: Settings, gateway: FakeGateway
) -> None:
    first = system(desk.kube, profile="standard")
    await desk.kube.apply(first)
    async with running(settings):
        await desk.rest()
        await desk.kube.patch("tsys", "demo", {"spec": {"services": {"prediction": {"enabled": False}}}})
        await desk.rest()
        found = await desk.plan(first, "--exit-code")
    assert found["changes"] is False


async def test_somebody_who_may_only_look_gets_a_plan_of_the_file(
    desk: Desk, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube = desk.kube
    first = system(kube)
    await kube.apply(first)
    async with running(settings):
        await desk.rest()
    rules = [
        {"apiGroups": [group], "resources": ["*"], "verbs": ["get", "list"]}
        for group in ("apps", "batch", "bellwether.dev", "networking.k8s.io", "policy")
    ]
    core = ["configmaps", "persistentvolumeclaims", "serviceaccounts", "services"]
    rules.append({"apiGroups": [""], "resources": core, "verbs": ["get", "list"]})
    of_rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "looker"}}
    await kube.apply({**of_rbac, "kind": "Role", "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "looker", "namespace": kube.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looker"}
    await kube.apply({**of_rbac, "kind": "RoleBinding", "subjects": [subject], "roleRef": role})
    await kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker"}})
    token = await kube.token("looker")
    server = json.loads(kube.cluster.kubeconfig.read_text())["clusters"]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": server,
        "users": [{"name": "looker", "user": {"token": token}}],
        "contexts": [{"name": "looking", "context": {"cluster": server[0]["name"], "user": "looker"}}],
    }
    file = tmp_path / "looker.json"
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    found = await desk.plan(system(kube, symbols=["IBM"]), "--context", "looking")
    assert [step["name"] for step in found["steps"]] == ["demo-declaration"]
    assert ["you may not apply it" in note for note in found["notes"]] == [True]
