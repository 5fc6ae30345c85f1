"""Changes that wait: for the session's close, for a backup, or for others to leave our fields alone."""

from __future__ import annotations

from bellwether_operator.report.finding import Finding, Reason
from bellwether_operator.report.observation import Observation
from bellwether_operator.report.progress import held_reason, held_words


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
