"""Whether the declaration is accepted, its pods run, and it has come to be: what Ready is summed up from."""

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


def accepted(seen: Observation, misfits: Sequence[str]) -> Finding:
    """Return whether the declaration can be put in force; misfits are what does not fit the exchange's calendar."""
    if misfits:
        return Finding("Accepted", "False", Reason.DOES_NOT_FIT, "; ".join(misfits))
    if seen.taken:
        return Finding("Accepted", "False", Reason.NAME_TAKEN, "; ".join(seen.taken))
    if seen.otherwise:
        return Finding("Accepted", "False", Reason.BEGUN_OTHERWISE, "; ".join(seen.otherwise))
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
