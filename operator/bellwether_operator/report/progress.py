"""Whether the declaration is accepted, its pods run, it has come to be, what of it waits, and Ready, the summary.

Ready never says of a generation that it is in force before it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bellwether.topology import SERVICES
from bellwether_operator.report.finding import Finding, Reason, instant, listed
from bellwether_operator.report.observation import Case, Observation


@dataclass(frozen=True)
class Delivery:
    """How far the declaration in force has come: whether the gateway said, and who does not have it yet."""

    generation: int
    known: bool
    missing: Sequence[str] = ()

    @property
    def words(self) -> str:
        """Who does not have it, for a person."""
        return f"generation {self.generation} is not yet in force at: {', '.join(self.missing)}"


def delivery(case: Case) -> Delivery:
    """Return how far the newest generation has come among the services."""
    view = case.seen.view
    if view is None:
        return Delivery(case.generation, known=False)
    acknowledged = view.acknowledged
    missing = [name for name in SERVICES if name in acknowledged and acknowledged[name] < case.generation]
    if view.generation < case.generation and not missing:
        missing = ["gateway"]
    return Delivery(case.generation, known=True, missing=missing)


def accepted(seen: Observation, calendar_problems: Sequence[str]) -> Finding:
    """Return whether the declaration can be put in force; `calendar_problems` are what its calendar cannot serve."""
    if calendar_problems:
        return Finding("Accepted", "False", Reason.DOES_NOT_FIT, "; ".join(calendar_problems))
    if seen.taken:
        return Finding("Accepted", "False", Reason.NAME_TAKEN, "; ".join(seen.taken))
    if seen.other_declaration:
        return Finding("Accepted", "False", Reason.CREATED_DIFFERENTLY, "; ".join(seen.other_declaration))
    if seen.unrestorable is not None:
        return Finding("Accepted", "False", Reason.RESTORE_REFUSED, seen.unrestorable)
    words = "; ".join(seen.notes) or "nothing speaks against the declaration"
    return Finding("Accepted", "True", Reason.ACCEPTED, words)


def available(seen: Observation) -> Finding:
    """Return whether all pods that are declared are ready."""
    if not seen.up:
        words = f"not ready: {', '.join(seen.late) or 'nothing runs yet'}"
        return Finding("Available", "False", Reason.WAITING_FOR_PODS, words)
    return Finding("Available", "True", Reason.PODS_READY, "all pods are ready")


def messaging(case: Case) -> Finding:
    """Return whether NATS runs."""
    component = "system" if case.system.spec.profile == "compact" else "nats"
    found = next((each for each in case.seen.workloads if each.component == component), None)
    if found is None or not found.ready:
        return Finding("MessagingReady", "False", Reason.WAITING_FOR_NATS, "NATS is not ready")
    if not found.wanted:
        return Finding("MessagingReady", "False", Reason.SWITCHED_OFF, "spec.services.nats.enabled is false")
    return Finding("MessagingReady", "True", Reason.NATS_READY, "NATS is ready")


def stalled(accepted: Finding, seen: Observation) -> Finding:
    """Return whether something stands in the way that does not go by itself."""
    if accepted.status == "False":
        return Finding("Stalled", "True", accepted.reason, accepted.message)
    if seen.refused:
        return Finding("Stalled", "True", Reason.APPLY_REFUSED, "; ".join(seen.refused))
    if seen.gone_back:
        words = [*seen.gone_back, *(each.words for each in seen.causes)]
        return Finding("Stalled", "True", Reason.ROLLOUT_FAILED, "; ".join(words))
    if seen.causes:
        words = list(dict.fromkeys(each.words for each in seen.causes))
        return Finding("Stalled", "True", seen.causes[0].reason, listed(words, 3))
    return Finding("Stalled", "False", Reason.PROGRESSING, "nothing stands in the way")


def reconciling(case: Case, stalled: Finding, delivered: Delivery, *, heard: bool) -> Finding:
    """Return whether what is there is on its way to what is declared; never together with Stalled.

    `heard`: the gateway's word on an earlier pass still tells that the declaration is in force.
    """
    if stalled.status == "True":
        words = f"nothing goes on until what stands in the way is gone: {stalled.reason}"
        return Finding("Reconciling", "False", Reason.STALLED, words)
    reason, words = _under_way(case, delivered, heard=heard)
    still = reason in {Reason.PAUSED, Reason.SETTLED}
    return Finding("Reconciling", "False" if still else "True", reason, words)


def _under_way(case: Case, delivered: Delivery, *, heard: bool) -> tuple[Reason, str]:
    seen = case.seen
    if seen.forced is not None:
        return Reason.HALT_FORCED, seen.forced
    if seen.restoring is not None:
        return Reason.RESTORING, seen.restoring
    if seen.paused_until is not None and not delivered.missing:  # live fields are delivered all the same
        return Reason.PAUSED, paused_words(seen)
    if seen.waiting:
        return Reason.WAITING_FOR_PREDECESSOR, "; ".join(seen.waiting)
    if seen.failed:
        return Reason.RETRYING, "; ".join(seen.failed)
    if seen.late:
        return Reason.ROLLING_OUT, f"pods are being made or replaced: {', '.join(seen.late)}"
    if delivered.missing:
        return Reason.DELIVERING, delivered.words
    if not delivered.known and not heard:
        return Reason.WAITING_FOR_GATEWAY, f"the gateway has not said yet that generation {case.generation} is in force"
    if seen.contested:
        return Reason.CONTESTED, "; ".join(seen.contested)
    if seen.held:
        return held_reason(seen), held_words(seen)
    return Reason.SETTLED, "what is there is what is declared"


def paused_words(seen: Observation) -> str:
    """Return until when the system is left as it is, why, and what would be changed."""
    until = "" if seen.paused_until is None else f"until {instant(seen.paused_until)}: "
    why = f" ({seen.paused_reason})" if seen.paused_reason else ""
    pending = f"; what waits: {'; '.join(seen.pending)}" if seen.pending else ""
    return f"{until}nothing is changed but schedules and disruption budgets{why}{pending}"


def held_reason(seen: Observation) -> Reason:
    """Return what new pod templates wait for."""
    return Reason.SESSION_OPEN if seen.held_for_backup is None else Reason.BACKUP_PENDING


def held_words(seen: Observation) -> str:
    """Return what waits, for what, and until when."""
    if seen.held_for_backup is not None:
        return f"{seen.held_for_backup}; {'; '.join(seen.held)}"
    until = "the session's close" if seen.held_until is None else f"the session's close at {instant(seen.held_until)}"
    return f"waits for {until}: {'; '.join(seen.held)}"


def rollout_pending(seen: Observation) -> Finding:
    """Return whether something waits for the session's close, or for a backup."""
    if seen.held:
        return Finding("RolloutPending", "True", held_reason(seen), held_words(seen))
    return Finding("RolloutPending", "False", Reason.NOTHING_HELD, "nothing waits for the session's close")


def contested(seen: Observation) -> Finding:
    """Return whether somebody else keeps changing fields of ours."""
    if seen.contested:
        return Finding("Contested", "True", Reason.CONTESTED, "; ".join(seen.contested))
    return Finding("Contested", "False", Reason.NOT_CONTESTED, "nobody else changes what this operator made")


_APPLIED = frozenset(
    {
        Reason.WAITING_FOR_PODS,
        Reason.WAITING_FOR_NATS,
        Reason.SWITCHED_OFF,
        Reason.WAITING_FOR_GATEWAY,
        Reason.DELIVERING,
        Reason.SERVICES_NOT_READY,
    }
)
"""Reasons for not being ready of a generation that was applied."""


def in_force(seen: Observation, generation: int, before: Finding | None) -> int | None:
    """Return the generation that Ready speaks of; None when none is known to have been applied.

    That is the newest one once everything of it was applied, and stays the one before while something waits.
    """
    if seen.applied:
        return generation
    if before is None or (before.status == "False" and before.reason not in _APPLIED):
        return None
    return min(before.generation or 0, generation) or None


def heard(speaks_of: int | None, before: Finding | None) -> bool:
    """Return whether the gateway was heard of this generation before, though it does not answer now."""
    return before is not None and before.status != "False" and before.generation == speaks_of


def ready(
    seen: Observation,
    stalled: Finding,
    running: Sequence[Finding],
    *,
    delivered: Delivery,
    speaks_of: int | None,
    before: Finding | None,
) -> Finding:
    """Return Ready from what it needs (nothing in the way, `running` all True), the first that is missing said."""
    if stalled.status == "True":
        return Finding("Ready", "False", stalled.reason, stalled.message)
    hindrance = _hindrance(seen)
    if hindrance is not None:
        return hindrance
    if speaks_of is None:
        return _not_applied(seen)
    bad = next((part for part in running if part.status != "True"), None)
    if bad is not None:
        return Finding("Ready", "False", bad.reason, bad.message, speaks_of)
    if not delivered.known:
        return _unheard(seen, speaks_of, before)
    if delivered.missing:
        return Finding("Ready", "False", Reason.DELIVERING, delivered.words, speaks_of)
    away = sorted(name for name, well in (seen.view.ready if seen.view else {}).items() if not well)
    if away:
        words = f"the gateway finds not ready: {', '.join(away)}"
        return Finding("Ready", "False", Reason.SERVICES_NOT_READY, words, speaks_of)
    return Finding("Ready", "True", Reason.READY, "all services run and have the declaration", speaks_of)


def _hindrance(seen: Observation) -> Finding | None:
    """Return what keeps the declared from being there, whatever runs."""
    if seen.forced is not None:
        return Finding("Ready", "False", Reason.HALT_FORCED, seen.forced)
    if seen.restoring is not None:
        return Finding("Ready", "False", Reason.RESTORING, seen.restoring)
    if seen.contested:
        return Finding("Ready", "False", Reason.CONTESTED, "; ".join(seen.contested))
    if seen.paused_until is not None and seen.pending:
        return Finding("Ready", "False", Reason.PAUSED, paused_words(seen))
    return None


def _not_applied(seen: Observation) -> Finding:
    """Return why nothing that was declared is known to be in force; never with a reason of what was applied."""
    if seen.waiting:
        return Finding("Ready", "False", Reason.WAITING_FOR_PREDECESSOR, "; ".join(seen.waiting))
    if seen.failed:
        return Finding("Ready", "False", Reason.RETRYING, "; ".join(seen.failed))
    return Finding("Ready", "False", held_reason(seen), held_words(seen))


def _unheard(seen: Observation, speaks_of: int, before: Finding | None) -> Finding:
    """Return Ready without a word from the gateway: what was ready becomes unknown, and that not at once."""
    if before is not None and heard(speaks_of, before):
        if before.status == "True" and seen.view_pending:
            return before
        words = "the gateway has not answered for some time"
        return Finding("Ready", "Unknown", Reason.GATEWAY_UNREACHABLE, words, speaks_of)
    words = "the gateway has not answered yet"
    return Finding("Ready", "False", Reason.WAITING_FOR_GATEWAY, words, speaks_of)
