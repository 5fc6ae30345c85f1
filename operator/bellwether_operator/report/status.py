"""The status of a system: a pure function of what was observed, the previous status and the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from bellwether_operator.gateway import GatewayView

MESSAGE_LIMIT = 2000
Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Workload:
    """One StatefulSet or Deployment as far as it matters here."""

    component: str
    wanted: int
    ready: bool


@dataclass(frozen=True)
class Observation:
    """Everything that a pass found out."""

    invalid: str | None = None
    """Why the declaration cannot be read, though the schema let it through."""
    taken: Sequence[str] = ()
    """Children whose name somebody else's object has."""
    waiting: Sequence[str] = ()
    """Children that wait for a deleted predecessor's to go."""
    refused: Sequence[str] = ()
    """What the API server refused, in its words; asking again will not help by itself."""
    failed: Sequence[str] = ()
    """What did not work this time and is tried again."""
    notes: Sequence[str] = ()
    """What cannot be done as declared and is left as it is."""
    workloads: Sequence[Workload] = ()
    view: GatewayView | None = None
    """What the gateway last said; None when it was never reached, or too long ago."""
    view_pending: bool = False
    """Whether this operator has only just begun to ask the gateway: what was said before still counts."""
    release: str = ""
    gateway: str = ""


class Finding(NamedTuple):
    """One condition without its bookkeeping."""

    type: str
    status: Truth
    reason: str
    message: str


@dataclass(frozen=True)
class _Delivery:
    """How far the declaration in force has come."""

    known: bool
    missing: Sequence[str] = field(default_factory=list)


def status(
    system: TradingSystem | None, generation: int, seen: Observation, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the status to be written; equal to the previous one when nothing changed."""
    if system is None:
        findings = _refused_findings("Invalid", seen.invalid or "")
    else:
        findings = _findings(system, generation, seen, previous)
    found: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": conditions(findings, generation, previous.get("conditions", ()), now),
    }
    if system is not None:
        kept = previous if seen.view_pending else {}
        found["services"] = _services(system, seen, kept.get("services", ()))
        halts = _halts(system, seen, kept.get("halts", ()))
        if halts:
            found["halts"] = halts
        found["gateway"] = seen.gateway
        found["release"] = seen.release
    return found


def conditions(
    findings: Iterable[Finding], generation: int, previous: Iterable[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Return conditions with the time at which each last changed its status (not its words)."""
    before = {each["type"]: each for each in previous}
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    found = []
    for finding in findings:
        known = before.get(finding.type)
        unchanged = known is not None and known.get("status") == finding.status
        found.append(
            {
                "type": finding.type,
                "status": finding.status,
                "reason": finding.reason,
                "message": finding.message[:MESSAGE_LIMIT],
                "lastTransitionTime": known["lastTransitionTime"] if known is not None and unchanged else stamp,
                "observedGeneration": generation,
            }
        )
    return found


def _refused_findings(reason: str, message: str) -> list[Finding]:
    return [
        Finding("Ready", "False", reason, message),
        Finding("Accepted", "False", reason, message),
        Finding("Available", "Unknown", reason, "not looked at while the declaration is not accepted"),
        Finding("MessagingReady", "Unknown", reason, "not looked at while the declaration is not accepted"),
        Finding("Reconciling", "False", reason, "nothing is applied"),
        Finding("Stalled", "True", reason, message),
    ]


def _findings(system: TradingSystem, generation: int, seen: Observation, previous: Mapping[str, Any]) -> list[Finding]:
    delivery = _delivery(generation, seen)
    accepted = _accepted(seen)
    available = _available(seen)
    messaging = _messaging(system, seen)
    stalled = _stalled(accepted, seen)
    reconciling = _reconciling(seen, delivery, generation)
    return [
        _ready(
            [accepted, messaging, available, _settled(stalled)],
            reconciling,
            delivery,
            seen,
            _before(previous, generation),
        ),
        accepted,
        available,
        messaging,
        reconciling,
        stalled,
    ]


def _delivery(generation: int, seen: Observation) -> _Delivery:
    if seen.view is None:
        return _Delivery(known=False)
    acknowledged = seen.view.acknowledged
    missing = [name for name in SERVICES if name in acknowledged and acknowledged[name] < generation]
    if seen.view.generation < generation and not missing:
        missing = ["gateway"]
    return _Delivery(known=True, missing=missing)


def _accepted(seen: Observation) -> Finding:
    if seen.taken:
        return Finding("Accepted", "False", "NameTaken", "; ".join(seen.taken))
    return Finding("Accepted", "True", "Accepted", "; ".join(seen.notes) or "the declaration is in force")


def _waiting_for(workloads: Iterable[Workload]) -> list[str]:
    return [each.component for each in workloads if not each.ready]


def _available(seen: Observation) -> Finding:
    late = _waiting_for(seen.workloads)
    if late or not seen.workloads:
        return Finding("Available", "False", "WaitingForPods", f"not ready: {', '.join(late) or 'nothing runs yet'}")
    return Finding("Available", "True", "PodsReady", "all pods are ready")


def _messaging(system: TradingSystem, seen: Observation) -> Finding:
    component = "system" if system.spec.profile == "compact" else "nats"
    found = next((each for each in seen.workloads if each.component == component), None)
    if found is None or not found.ready:
        return Finding("MessagingReady", "False", "WaitingForNats", "NATS is not ready")
    if not found.wanted:
        return Finding("MessagingReady", "False", "SwitchedOff", "spec.services.nats.enabled is false")
    return Finding("MessagingReady", "True", "NatsReady", "NATS is ready")


def _stalled(accepted: Finding, seen: Observation) -> Finding:
    if accepted.status == "False":
        return Finding("Stalled", "True", accepted.reason, accepted.message)
    if seen.refused:
        return Finding("Stalled", "True", "ApplyRefused", "; ".join(seen.refused))
    return Finding("Stalled", "False", "Progressing", "nothing stands in the way")


def _reconciling(seen: Observation, delivery: _Delivery, generation: int) -> Finding:
    if seen.waiting:
        return Finding("Reconciling", "True", "WaitingForPredecessor", "; ".join(seen.waiting))
    if seen.failed:
        return Finding("Reconciling", "True", "Retrying", "; ".join(seen.failed))
    late = _waiting_for(seen.workloads)
    if late:
        return Finding("Reconciling", "True", "RollingOut", f"pods are being made or replaced: {', '.join(late)}")
    if delivery.missing:
        missing = ", ".join(delivery.missing)
        return Finding(
            "Reconciling", "True", "Delivering", f"generation {generation} is not yet in force at: {missing}"
        )
    return Finding("Reconciling", "False", "Settled", "what is there is what is declared")


def _settled(stalled: Finding) -> Finding:
    """Return Stalled the other way round, as one of the things that Ready needs."""
    return Finding("NotStalled", "False" if stalled.status == "True" else "True", stalled.reason, stalled.message)


def _before(previous: Mapping[str, Any], generation: int) -> Mapping[str, Any]:
    """Return what Ready was; nothing when it was said of another generation."""
    known = next((each for each in previous.get("conditions", ()) if each["type"] == "Ready"), None)
    return known if known is not None and known.get("observedGeneration") == generation else {}


def _ready(
    parts: Sequence[Finding], reconciling: Finding, delivery: _Delivery, seen: Observation, before: Mapping[str, Any]
) -> Finding:
    bad = next((part for part in parts if part.status != "True"), None)
    if bad is not None:
        return Finding("Ready", "False", bad.reason, bad.message)
    if not delivery.known:
        return _ready_unheard(seen, before)
    if delivery.missing:
        return Finding("Ready", "False", reconciling.reason, reconciling.message)
    away = [name for name, ready in (seen.view.ready if seen.view else {}).items() if not ready]
    if away:
        return Finding("Ready", "False", "ServicesNotReady", f"the gateway finds not ready: {', '.join(sorted(away))}")
    return Finding("Ready", "True", "Ready", "all services run and have the declaration")


def _ready_unheard(seen: Observation, before: Mapping[str, Any]) -> Finding:
    """Return Ready without a word from the gateway: what was ready becomes unknown, and that not at once."""
    if before.get("status") == "True" and seen.view_pending:
        return Finding("Ready", "True", before["reason"], before["message"])
    if before.get("status") in {"True", "Unknown"}:
        return Finding("Ready", "Unknown", "GatewayUnreachable", "the gateway has not answered for some time")
    return Finding("Ready", "False", "WaitingForGateway", "the gateway has not answered yet")


def _services(system: TradingSystem, seen: Observation, before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    said = {str(row["name"]): int(row.get("generation", 0)) for row in before}
    if seen.view is not None:
        said = dict(seen.view.acknowledged)
    compact = system.spec.profile == "compact"
    by_component = {each.component: each for each in seen.workloads}
    rows = []
    for name in SERVICES:
        workload = by_component.get("system" if compact else name)
        ready = workload is not None and workload.ready and workload.wanted > 0
        if seen.view is not None:
            ready = ready and seen.view.ready.get(name, True)
        rows.append({"name": name, "ready": ready, "generation": said.get(name, 0)})
    return rows


def _halts(system: TradingSystem, seen: Observation, before: Iterable[str]) -> list[str]:
    reported = list(before) if seen.view is None else list(seen.view.halts)
    if system.spec.trading.halted and not any("spec.trading.halted" in line for line in reported):
        reported.insert(0, "spec.trading.halted is true")
    return reported[:20]
