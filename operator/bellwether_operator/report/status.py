"""The status of a system: a pure function of what was observed, the previous status and the time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bellwether.change.hold import WITH_SCHEDULER
from bellwether.spec.models import TradingSystem
from bellwether_operator.report import backup, change, market, progress, ready, rows, safety
from bellwether_operator.report.finding import CONDITIONS, Finding, Reason, conditions, previous_finding
from bellwether_operator.report.observation import Case, Observation, TaskRow, Workload

__all__ = ["Observation", "TaskRow", "Workload", "status"]

_UNSEEN = "not looked at while the declaration is not accepted"


def status(
    system: TradingSystem | None, generation: int, seen: Observation, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the status to be written; equal to the previous one when nothing changed.

    `now` is aware; it tells when a condition changed, and how near the calendar's end is.
    """
    case = None if system is None else Case(system, generation, seen, previous, now)
    findings = _unreadable(seen.invalid or "") if case is None else _findings(case)
    by_type = {finding.type: finding for finding in findings}
    told = conditions((by_type[kind] for kind in CONDITIONS), generation, previous.get("conditions", ()), now)
    found: dict[str, Any] = {"observedGeneration": generation, "conditions": told}
    return {**found, **(_rest(case) if case is not None else _kept(previous))}


def _unreadable(why: str) -> list[Finding]:
    told = {
        "Ready": Finding("Ready", "False", Reason.INVALID, why),
        "Accepted": Finding("Accepted", "False", Reason.INVALID, why),
        "Reconciling": Finding("Reconciling", "False", Reason.INVALID, "nothing is applied"),
        "Stalled": Finding("Stalled", "True", Reason.INVALID, why),
    }
    return [told.get(kind, Finding(kind, "Unknown", Reason.INVALID, _UNSEEN)) for kind in CONDITIONS]


def _findings(case: Case) -> list[Finding]:
    seen = case.seen
    unfit = market.misfits(case.system.spec)
    before = previous_finding(case.previous, "Ready")
    speaks_of = ready.in_force(seen, case.generation, before)
    delivered = progress.delivery(case)
    accepted = progress.accepted(seen, [str(problem) for problem in unfit])
    available, messaging = progress.available(seen), progress.messaging(case)
    if unfit and not seen.workloads:
        available = Finding("Available", "Unknown", Reason.DOES_NOT_FIT, _UNSEEN)
        messaging = Finding("MessagingReady", "Unknown", Reason.DOES_NOT_FIT, _UNSEEN)
    stalled = progress.stalled(accepted, seen)
    heard = ready.heard(speaks_of, before)
    reconciling = progress.reconciling(case, stalled, delivered, heard=heard)
    summary = ready.ready(
        seen,
        stalled,
        [messaging, available],
        delivered=delivered,
        speaks_of=speaks_of,
        before=before,
    )
    return [
        summary,
        reconciling,
        stalled,
        accepted,
        available,
        messaging,
        market.calendar_current(case, unfit),
        market.data_fresh(case),
        market.models_current(case),
        safety.safe_to_trade(case),
        backup.backup_healthy(case),
        backup.restore_verified(seen.backup, seen.tested),
        change.rollout_pending(seen),
        change.contested(seen),
    ]


def _kept(previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes on as it was last seen, though nobody looks."""
    return {
        name: previous[name]
        for name in ("services", "halts", "gateway", "release", "volumeSize", "backups", "upgrade")
        if name in previous
    }


def _rest(case: Case) -> dict[str, Any]:
    """Return services, halts, session and tasks, leaving out what there is none of."""
    found: dict[str, Any] = {"services": rows.services(case)}
    told = {"halts": rows.halts(case), "session": rows.session(case.seen.moment), "tasks": rows.tasks(case)}
    found |= {name: value for name, value in told.items() if value}
    if case.seen.volume_size is not None:
        found["volumeSize"] = case.seen.volume_size
    if case.seen.backups.row is not None:
        found["backups"] = dict(case.seen.backups.row)
    if case.seen.upgrade is not None:
        found["upgrade"] = dict(case.seen.upgrade)
    gateway = case.seen.gateway or case.previous.get("gateway", "")
    return {**found, "gateway": gateway, "release": _release(case)}


def _release(case: Case) -> str:
    """Return the release that runs: the one to be once its pods are ready, until then the one before."""
    runs = any(each.ready for each in case.seen.workloads if each.component in WITH_SCHEDULER)
    return case.seen.release if runs else str(case.previous.get("release", ""))
