"""Conditions that repeat what the services say: how old such a word is, and what holds when there is none."""

from __future__ import annotations

from bellwether_operator.gateway_view import GatewayView
from bellwether_operator.report.finding import Finding, Reason, previous_finding
from bellwether_operator.report.observation import Case


def unheard(case: Case, kind: str) -> Finding:
    """Return a condition that only the gateway could tell, while it does not answer.

    What was said before counts for a while after the operator's own restart, if the pods are up.
    """
    before = previous_finding(case.previous, kind)
    if before is not None and case.seen.view_pending and case.seen.up and before.reason != Reason.INVALID:
        return before
    return Finding(kind, "Unknown", Reason.GATEWAY_UNREACHABLE, "the gateway does not answer, so nobody can say")


def spoken_of(case: Case, view: GatewayView, service: str) -> int:
    """Return the generation that a service had when it said what it says."""
    return min(case.generation, view.generation, view.acknowledged.get(service, view.generation))
