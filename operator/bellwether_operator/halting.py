"""A halt that the trader does not acknowledge stops its pod. Pure.

A halt goes to the trader as every live field does. One that hangs, or that nothing reaches any more, would go on
trading; so its pod is ended, and the next one begins with the newest declaration, which is halted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bellwether.render.kubernetes import Manifest
from bellwether.render.kubernetes.context import SYSTEM
from bellwether.spec.models import GROUP

PATIENCE_SECONDS = 5.0
"""How long the trader has to acknowledge a halt."""
TRADER = "paper-trading"
UNANSWERED = f"{TRADER} did not acknowledge the halt of generation"
"""How the words begin on a halt that is being forced."""
HALTED = "halted"
"""The annotation, without its domain, on a workload that has no pods because of a halt."""


class HaltStep(NamedTuple):
    """What is to be done about a halt now."""

    stop: bool
    """Whether the trader's workload is to have no pods."""
    due_at: float | None = None
    """When to ask again though nothing happens (monotonic seconds)."""
    words: str | None = None
    """What was or is done by force, for the status; None when nothing is."""


@dataclass
class _Halt:
    """One halt, from the pass that first saw it to the one that sees it withdrawn."""

    generation: int
    since: float
    acknowledged: bool = False
    forced: bool = False
    over: bool = False
    """Whether its pods were gone once: whatever runs now began with the halt."""


class Halting:
    """What is remembered of the halt of one system (one uid) between passes; when lost, it begins again."""

    def __init__(self) -> None:
        self._halt: _Halt | None = None

    def step(self, halted: bool, generation: int, acknowledged: int | None, pods_gone: bool, now: float) -> HaltStep:
        """Return what is to be done, once per pass and before it applies anything.

        A halt is forced at most once, and never after it was acknowledged; editing other fields makes no new halt of
        it. One that a system was created with is not forced: none of its pods ever knew another declaration.

        Args:
            halted: `spec.trading.halted`.
            generation: the generation of the declaration that says so.
            acknowledged: the newest generation that paper-trading is known to have acknowledged, be it from a status
                that was written before; None when nobody knows.
            pods_gone: whether the trader has no pod, not even one that is ending. After the pass that first saw the
                halt this is taken to mean that the next pod begins with it: a pass that could not write the start
                value of the declaration must not say so.
            now: monotonic seconds.
        """
        if not halted:
            self._halt = None
            return HaltStep(stop=False)
        halt = self._halt
        if halt is None or generation < halt.generation:
            halt = self._halt = _Halt(generation, now, over=generation == 1)
        elif pods_gone:
            halt.over = True
        if acknowledged is not None and acknowledged >= halt.generation:
            halt.acknowledged = True
        return _next_step(halt, now)


def _next_step(halt: _Halt, now: float) -> HaltStep:
    if halt.acknowledged:
        return HaltStep(stop=False)
    due_at = halt.since + PATIENCE_SECONDS
    if not halt.over and now < due_at:
        return HaltStep(stop=False, due_at=due_at)
    unanswered = f"{UNANSWERED} {halt.generation} in {PATIENCE_SECONDS:g} s"
    if not halt.over:
        halt.forced = True
        return HaltStep(stop=True, words=f"{unanswered}: its pod is being stopped")
    words = f"{unanswered}: its pod was stopped and starts again halted" if halt.forced else None
    return HaltStep(stop=False, words=words)


def trader_component(profile: str) -> str:
    """Return the component whose pod runs the trader: the whole system in the compact profile."""
    return SYSTEM if profile == "compact" else TRADER


def with_replicas(manifest: Manifest, replicas: int) -> Manifest:
    """Return a workload that is to have so many pods."""
    return {**manifest, "spec": {**manifest["spec"], "replicas": replicas}}


def stopped_for_halt(manifest: Manifest) -> Manifest:
    """Return the trader's workload without pods, marked so that it is known later why it has none."""
    metadata = manifest["metadata"]
    marked = {**metadata.get("annotations", {}), f"{GROUP}/{HALTED}": "true"}
    return with_replicas({**manifest, "metadata": {**metadata, "annotations": marked}}, 0)
