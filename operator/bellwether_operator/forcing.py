"""The halt stage of a pass: the trader has no pods while a halt that it did not acknowledge is being forced.

No I/O; the halt's own state (halting.py) is kept in the memory of the pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bellwether.change.release import on_released_template, standing
from bellwether.change.world import Key
from bellwether.render.kubernetes.context import LABEL_COMPONENT, SYSTEM
from bellwether_operator.apply.actions import Desired, desired_from, unmarked
from bellwether_operator.gateway_view import GatewayView
from bellwether_operator.halting import HALTED, TRADER, HaltStep, stopped_for_halt, trader_component
from bellwether_operator.observe.kinds import BY_NAME, ChildKey, Observed
from bellwether_operator.passes import Due, Halted, Memory, Pass, Released


def force_halt(
    this: Pass, released: Released, desired: Sequence[Desired], children: Mapping[ChildKey, Observed], now: float
) -> Halted:
    """Return what is to be there with a halt taken into account, and note in the memory whether one is being forced.

    Args:
        this: the pass.
        released: what the release stage gave.
        desired: what is to be there but for the halt.
        children: what is there.
        now: monotonic seconds.
    """
    start_value = this.start_value(desired)
    trader = trader_of(this, desired)
    verdict = this.memory.halting.step(
        halted=this.system.spec.trading.halted,
        generation=this.system.metadata.generation,
        acknowledged=_acknowledged(this),
        pods_gone=_pods_gone(start_value, children.get(start_value.key), children.get(trader.key)),
        now=now,
    )
    this.memory.forcing = verdict.words is not None
    due = Due(within=() if verdict.due_at is None else (verdict.due_at - now,))
    observed = children.get(trader.key)
    if not verdict.stop and (observed is None or HALTED not in observed.annotations):
        return Halted(tuple(desired), frozenset({start_value.key}), verdict.words, due)
    # Stopped now, or stopped before and to start again: neither waits for the end of a pause.
    manifest = unmarked(trader.manifest)
    if this.paused_until is not None:
        there = standing(Key(trader.key.kind, trader.key.name), released.there)
        manifest = on_released_template(manifest, there, stopped=True).manifest
    now_wanted = desired_from(stopped_for_halt(manifest) if verdict.stop else manifest)
    return Halted(
        tuple(now_wanted if each is trader else each for each in desired),
        frozenset({start_value.key, trader.key}),
        verdict.words,
        due,
    )


def trader_of(this: Pass, desired: Sequence[Desired]) -> Desired:
    """Return the workload whose pod runs the trader."""
    component = trader_component(this.system.spec.profile)
    return next(
        each
        for each in desired
        if BY_NAME[each.key.kind].workload and each.manifest["metadata"]["labels"][LABEL_COMPONENT] == component
    )


def halt_of_unusable(
    raw: Mapping[str, Any], memory: Memory, children: Sequence[Observed], now: float
) -> tuple[HaltStep, list[Observed]]:
    """Return what is to be done about the halt of a declaration that cannot be used, and the workloads to stop for it.

    Such a declaration is not delivered, so the trader is stopped until it can be used, unless the halt is in force with
    it already.
    """
    generation = int(raw["metadata"].get("generation", 0))
    known = memory.view is not None and any("spec.trading.halted" in line for line in memory.view.halts or ())
    verdict = memory.halting.step(
        halted=(raw.get("spec") or {}).get("trading", {}).get("halted") is True,
        generation=generation,
        acknowledged=generation if known else None,
        pods_gone=False,
        now=now,
    )
    traders = [
        child
        for child in children
        if child.belongs_to(memory.uid)
        and BY_NAME[child.key.kind].workload
        and child.labels.get(LABEL_COMPONENT) in {SYSTEM, TRADER}
        and child.replicas != 0
    ]
    return verdict, traders if verdict.stop else []


def _pods_gone(start_value: Desired, written: Observed | None, trader: Observed | None) -> bool:
    """Whether the trader has no pod, and the next one will start from the newest declaration."""
    if written is None or written.applied != start_value.digest:
        return False
    if trader is None:
        return True
    current = int(trader.status.get("observedGeneration", 0)) >= trader.generation
    return current and not int(trader.status.get("replicas", 0))


def _acknowledged(this: Pass) -> int | None:
    """Return the generation that the trader acknowledged: by its gateway's word or, before one, by the status."""
    view: GatewayView | None = this.memory.view
    if view is not None:
        return view.acknowledged.get(TRADER)
    rows = (this.raw.get("status") or {}).get("services", ())
    return next((int(row.get("generation", 0)) for row in rows if row["name"] == TRADER), None)
