"""Systems that are made, edited and deleted in quick succession, from a seed. Pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

NAMES = ("ash", "birch", "cedar", "doug")
NOWHERE = {"example.com/nowhere": "true"}
"""A node selector that no node meets: such a system has all its objects, and no pod ever runs."""


def document(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return a trading system."""
    return {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingSystem",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def unscheduled(**spec: Any) -> dict[str, Any]:
    """Return the spec of a live system whose pods never run; its changes are made at once."""
    return {
        "market": {"calendar": "XNYS"},
        "symbols": ["AAPL", "IBM"],
        "data": {"provider": "yahoo"},
        "clock": {"mode": "live"},
        "trading": {"mode": "simulated", "currency": "USD"},
        "storage": {"size": "100Mi"},
        "rollout": {"policy": "Immediate"},
        "deletionPolicy": "Delete",
        "podTemplate": {"nodeSelector": NOWHERE},
        **spec,
    }


@dataclass(frozen=True)
class Step:
    """What is done at once: systems to delete, and then documents to apply."""

    apply: list[dict[str, Any]] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)


class Churn:
    """A sequence of steps over a few systems; the same seed gives the same sequence."""

    def __init__(self, namespace: str, rng: Random, names: Sequence[str] = NAMES) -> None:
        self.namespace = namespace
        self._names = names
        self.present: dict[str, dict[str, Any]] = {}
        self._rng = rng
        self._profiles: dict[str, str] = {}
        """By name, for good: volumes that were retained under the other profile would first have to be moved, and here
        no pod ever runs that could do it."""

    def step(self) -> Step:
        """Return the next step: each of the systems is made, edited, deleted or left alone; one at least is applied."""
        apply: list[dict[str, Any]] = []
        delete: list[str] = []
        while not apply:
            for name in self._names:
                if name not in self.present:
                    if self._rng.random() < 0.6:
                        self.present[name] = self._new(name)
                        apply.append(document(name, self.namespace, self.present[name]))
                elif self._rng.random() < 0.3:
                    del self.present[name]
                    delete.append(name)
                elif self._rng.random() < 0.7:
                    self.present[name] = self._edited(self.present[name])
                    apply.append(document(name, self.namespace, self.present[name]))
        return Step(apply, delete)

    def _new(self, name: str) -> dict[str, Any]:
        profile = self._profiles.setdefault(name, self._rng.choice(("compact", "standard")))
        policy = self._rng.choice(("Delete", "Retain"))
        if self._rng.random() < 0.5:
            return unscheduled(profile=profile, deletionPolicy=policy)
        replay = {"data": {"provider": "replay"}, "clock": {"mode": "replay", "from": "2009-01-02"}}
        return unscheduled(profile=profile, deletionPolicy=policy, **replay)

    def _edited(self, spec: dict[str, Any]) -> dict[str, Any]:
        found = copy.deepcopy(spec)
        what = self._rng.choice(("symbols", "version", "tasks", "labels", "services", "policy"))
        number = self._rng.randrange(1000)
        if what == "symbols":
            found["symbols"] = self._rng.sample(["AAPL", "GOOG", "IBM", "MSFT"], self._rng.randint(1, 4))
        elif what == "version":
            found["version"] = f"v{number}"
        elif what == "tasks":
            time = f"{self._rng.randrange(24):02}:{self._rng.randrange(60):02}"
            found["tasks"] = [{"name": "look_around", "anchor": "time", "time": time}]
        elif what == "labels":
            found["podTemplate"] = {**found["podTemplate"], "labels": {"example.com/number": str(number)}}
        elif what == "services":
            # In the compact profile none can be switched off.
            enabled = self._rng.random() < 0.5 or spec["profile"] == "compact"
            found["services"] = {"prediction": {"enabled": enabled, "memory": f"{300 + number}Mi"}}
        else:
            found["deletionPolicy"] = self._rng.choice(("Delete", "Retain"))
        return found
