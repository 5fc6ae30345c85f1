"""Ready, the summary: it never says of a generation that it is in force before it is."""

from __future__ import annotations

from collections.abc import Sequence

from bellwether_operator.report.finding import Finding, Reason
from bellwether_operator.report.observation import Observation
from bellwether_operator.report.progress import Delivery, held_reason, held_words, paused_words

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
