"""A cluster in miniature: claims, workloads, Jobs and their pods, and an operator that may be killed within a pass.

Every volume set is a list of what was written to it. Whoever writes must find all that was written before: so data
that is lost, or two profiles that run at once, are found by the pods themselves.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bellwether.render.kubernetes import Manifest, RenderContext, derive_keyring
from bellwether.render.kubernetes.moves import PROFILES, Profile, at_profile, profile_of
from bellwether.render.kubernetes.names import LABEL_COMPONENT, LABEL_SYSTEM_UID
from bellwether.render.kubernetes.workloads import components, stateful_components
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.decide import Desired, Verdict, decide, desired_from, to_prune
from bellwether_operator.layout import Layout, layout, render_layout
from bellwether_operator.observe.cache import ChildKey, Observed, observed_from
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, JOB

IMAGE = "registry.example/services:1"
CONTEXT = RenderContext(image=IMAGE, keyring=derive_keyring(b"not secret: a seed for tests only", "uid"))
KINDS = {CLAIM, JOB, "StatefulSet", "Deployment"}
MOVED_IN = "bellwether.dev/moved-in"


@cache
def system(profile: Profile = "compact", uid: str = "uid-1", size: str = "1Gi") -> TradingSystem:
    return TradingSystem.model_validate(
        {
            "metadata": {"name": "demo", "namespace": "trading", "uid": uid, "generation": 1},
            "spec": {
                "profile": profile,
                "symbols": ["AAPL"],
                "data": {"provider": "replay"},
                "clock": {"mode": "replay", "from": "2009-01-02"},
                "storage": {"size": size},
            },
        }
    )


@cache
def desired(uid: str, profile: Profile, size: str, found: Layout) -> list[Desired]:
    """Return what a layout renders, of the kinds that matter here."""
    manifests = render_layout(system(profile, uid, size), CONTEXT, found)
    return [desired_from(each) for each in manifests if each["kind"] in KINDS]


class Killed(Exception):
    """The operator is killed at this write."""


@dataclass
class Pod:
    """A pod of a workload (or of a Job): its object's uid, its profile, and whether it has been told to end."""

    owner: str
    component: str
    ending: bool = False


@dataclass
class World:
    """The cluster; what happens next is the test's to say."""

    profile: Profile = "compact"
    uid: str = "uid-1"
    size: str = "1Gi"
    there: bool = True
    """Whether the resource is there; without it its children are gone and retained claims stay."""
    objects: dict[ChildKey, dict[str, Any]] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    data: dict[Profile, list[int]] = field(default_factory=lambda: {"compact": [], "standard": []})
    written: list[int] = field(default_factory=list)
    copied: dict[str, bool] = field(default_factory=dict)
    """By a Job's uid, whether it has copied."""
    agreed: dict[ChildKey, tuple[str, str, int]] = field(default_factory=dict)
    """What was found to be as desired: not compared again until it changes, as in the operator."""
    version: int = 0
    highest: int = 0
    passes: int = 0

    @property
    def system(self) -> TradingSystem:
        return system(self.profile, self.uid, self.size)

    def children(self) -> list[Observed]:
        return [observed_from(self.objects[key], key.kind) for key in sorted(self.objects)]

    def look(self) -> Layout:
        return layout(self.system, self.children(), image=IMAGE)

    # The operator

    def reconcile(self, writes: int = 10_000) -> Layout:
        """Make one pass as the operator does; it is killed after so many writes."""
        found = self.look()
        if not self.there:
            return found
        self.passes += 1
        left = writes

        def write(act: Callable[[], None]) -> None:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            act()
            self.check()

        with contextlib.suppress(Killed):
            self._pass(found, write)
        return found

    def _pass(self, found: Layout, write: Callable[[Callable[[], None]], None]) -> None:
        for drop in found.drop:
            write(lambda drop=drop: self.delete(drop.key))  # type: ignore[misc]
        wanted = desired(self.uid, self.profile, self.size, found)
        waiting = False
        for workloads in (False, True):
            if waiting:
                return
            for each in wanted:
                if BY_NAME[each.key.kind].workload is not workloads:
                    continue
                verdict = self._verdict(each)
                assert verdict is not Verdict.TAKEN
                if verdict is Verdict.WAIT:
                    waiting = True
                elif verdict is Verdict.APPLY:
                    write(lambda each=each: self.apply(each.manifest))  # type: ignore[misc]
        if waiting:
            return
        for child in to_prune(self.children(), {each.key for each in wanted}, self.uid, settled=True):
            write(lambda child=child: self.delete(child.key))  # type: ignore[misc]

    def _verdict(self, wanted: Desired) -> Verdict:
        raw = self.objects.get(wanted.key)
        if raw is None:
            return decide(wanted, None, self.uid).verdict
        compared = (wanted.digest, raw["metadata"]["uid"], raw["metadata"]["generation"])
        if self.agreed.get(wanted.key) == compared:
            return Verdict.SKIP
        verdict = decide(wanted, observed_from(raw, wanted.key.kind), self.uid).verdict
        if verdict is Verdict.SKIP:
            self.agreed[wanted.key] = compared
        return verdict

    def apply(self, manifest: Manifest) -> None:
        """Store an object as the API server does."""
        meta = manifest["metadata"]
        key = ChildKey(manifest["kind"], meta["namespace"], meta["name"])
        known = self.objects.get(key)
        self.version += 1
        made = copy.deepcopy(manifest)
        if known is None:
            made["metadata"] |= {"uid": f"o{self.version}", "generation": 1}
            made["status"] = {}
        else:
            assert key.kind != JOB, "a Job must not be edited"
            kept = known["metadata"]
            changed = known["spec"] != made["spec"]
            made["metadata"] |= {"uid": kept["uid"], "generation": kept["generation"] + changed}
            made["status"] = known["status"]
        made["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = made

    def delete(self, key: ChildKey) -> None:
        """Delete an object; its pods are told to end, and nothing shows them any more."""
        gone = self.objects.pop(key)
        for pod in self.pods:
            if pod.owner == gone["metadata"]["uid"]:
                pod.ending = True

    # The cluster

    def workloads(self) -> list[tuple[ChildKey, dict[str, Any]]]:
        return [(key, raw) for key, raw in self.objects.items() if BY_NAME[key.kind].workload]

    def control(self, key: ChildKey) -> None:
        """Have the controller look at one workload."""
        raw = self.objects[key]
        uid, component = raw["metadata"]["uid"], raw["metadata"]["labels"][LABEL_COMPONENT]
        mine = [pod for pod in self.pods if pod.owner == uid]
        if raw["spec"]["replicas"] == 0:
            for pod in mine:
                pod.ending = True
        elif not mine:
            self.pods.append(Pod(uid, component))
            self._starts(component)
        self._status(key)

    def _status(self, key: ChildKey) -> None:
        raw = self.objects[key]
        uid = raw["metadata"]["uid"]
        raw["status"] = {
            "observedGeneration": raw["metadata"]["generation"],
            "replicas": sum(pod.owner == uid for pod in self.pods),
        }
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)

    def end_pods(self) -> None:
        """Let the pods end that were told to."""
        self.pods = [pod for pod in self.pods if not pod.ending]
        for key, _ in self.workloads():
            if self.objects[key]["status"]:
                self._status(key)

    def _starts(self, component: str) -> None:
        profile = profile_of(component)
        assert profile is not None
        assert self.data[profile] == self.written, f"{component} of {profile} starts with {self.data[profile]}"
        self.check()

    def write(self, profile: Profile) -> None:
        """Have the pods of a profile write, where there are any."""
        if any(profile_of(pod.component) == profile and not pod.ending for pod in self.pods):
            assert self.data[profile] == self.written
            self.written.append(len(self.written))
            self.data[profile] = list(self.written)

    def jobs(self) -> list[dict[str, Any]]:
        return [raw for key, raw in self.objects.items() if key.kind == JOB and not raw["status"].get("conditions")]

    def run_job(self, raw: dict[str, Any], outcome: str) -> None:
        """Have the pod of a Job copy, complete, or fail for good."""
        arguments = raw["spec"]["template"]["spec"]["containers"][0]["command"]
        source = arguments[arguments.index("--from") + 1]
        target = arguments[arguments.index("--to") + 1]
        uid = raw["metadata"]["uid"]
        if outcome == "copy":  # that it refuses open databases is left out: the operator alone must be right
            self.data[target] = list(self.data[source])
            self.copied[uid] = True
        elif outcome == "complete" and self.copied.get(uid):
            raw["status"] = {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}
        elif outcome == "fail" and not self.copied.get(uid):
            raw["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "backoff limit"}]}

    # People

    def edit(self, profile: Profile) -> None:
        self.profile = profile

    def delete_system(self) -> None:
        """Delete the resource: everything goes but the retained claims."""
        self.there = False
        for key in [key for key in self.objects if key.kind != CLAIM]:
            self.delete(key)

    def apply_system(self, profile: Profile) -> None:
        """Apply the resource again, after its pods are gone: another identity, the same name."""
        self.end_pods()
        self.version += 1
        self.there, self.uid, self.profile = True, f"uid-{self.version}", profile

    # What holds at any time

    def check(self) -> None:
        shown = {profile_of(pod.component) for pod in self.pods if not pod.ending}
        assert len(shown) < 2, f"pods of both profiles: {self.pods}"
        numbers = [
            int(text)
            for key, raw in self.objects.items()
            if key.kind == CLAIM and (text := raw["metadata"].get("annotations", {}).get(MOVED_IN, "0")) != "none"
        ]
        highest = max(numbers, default=0)
        assert highest >= self.highest, f"the highest number fell from {self.highest} to {highest}"
        self.highest = highest

    def round(self) -> None:
        """Let everything take one step that can."""
        self.reconcile()
        for key, _ in self.workloads():
            self.control(key)
        self.end_pods()
        for raw in self.jobs():
            self.run_job(raw, "copy")
            self.run_job(raw, "complete")
        for profile in PROFILES:
            self.write(profile)

    def settle(self, rounds: int = 60) -> None:
        """Let everything go its way until nothing changes any more."""
        for _ in range(rounds):
            before = copy.deepcopy((self.objects, self.pods))
            self.round()
            if _without_versions(before[0]) == _without_versions(self.objects) and before[1] == self.pods:
                return
        raise AssertionError(f"it does not settle: {self.look()}")

    def assert_settled(self) -> None:
        """Check that the declared profile runs, alone, and has everything."""
        assert self.look().profile == self.profile
        assert self.look().move is None
        wanted = set(components(at_profile(self.system, self.profile)))
        assert {pod.component for pod in self.pods} == wanted
        assert {raw["metadata"]["labels"][LABEL_COMPONENT] for _, raw in self.workloads()} == wanted
        assert self.data[self.profile] == self.written
        claims = {key.name for key in self.objects if key.kind == CLAIM}
        stateful = stateful_components(at_profile(self.system, self.profile))
        assert len([name for name in claims if any(name == _claim(each) for each in stateful)]) == len(stateful)
        assert not [key for key in self.objects if key.kind == JOB]
        own = [raw for key, raw in self.objects.items() if key.kind != CLAIM]
        assert {raw["metadata"]["labels"][LABEL_SYSTEM_UID] for raw in own} == {self.uid}


def _claim(component: str) -> str:
    return "data-demo-0" if component == "system" else f"data-demo-{component}-0"


def _without_versions(objects: dict[ChildKey, dict[str, Any]]) -> dict[ChildKey, Any]:
    found = copy.deepcopy(objects)
    for raw in found.values():
        raw["metadata"].pop("resourceVersion")
    return found
