"""The status of a system: a pure function of what was observed, the previous status and the time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bellwether.change.hold import WITH_SCHEDULER
from bellwether.render.kubernetes.context import Period
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from bellwether_operator.halting import UNANSWERED
from bellwether_operator.report import backup, market, progress, safety
from bellwether_operator.report.finding import CONDITIONS, Finding, Reason, conditions, instant, previous_finding
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
    parts = conditions((by_type[kind] for kind in CONDITIONS), generation, previous.get("conditions", ()), now)
    found: dict[str, Any] = {"observedGeneration": generation, "conditions": parts}
    return {**found, **(_rest(case) if case is not None else _kept(previous))}


def _unreadable(why: str) -> list[Finding]:
    parts = {
        "Ready": Finding("Ready", "False", Reason.INVALID, why),
        "Accepted": Finding("Accepted", "False", Reason.INVALID, why),
        "Reconciling": Finding("Reconciling", "False", Reason.INVALID, "nothing is applied"),
        "Stalled": Finding("Stalled", "True", Reason.INVALID, why),
    }
    return [parts.get(kind, Finding(kind, "Unknown", Reason.INVALID, _UNSEEN)) for kind in CONDITIONS]


def _findings(case: Case) -> list[Finding]:
    seen = case.seen
    unfit = market.calendar_problems(case.system.spec)
    before = previous_finding(case.previous, "Ready")
    speaks_of = progress.in_force(seen, case.generation, before)
    delivered = progress.delivery(case)
    accepted = progress.accepted(seen, [str(problem) for problem in unfit])
    available, messaging = progress.available(seen), progress.messaging(case)
    if unfit and not seen.workloads:
        available = Finding("Available", "Unknown", Reason.DOES_NOT_FIT, _UNSEEN)
        messaging = Finding("MessagingReady", "Unknown", Reason.DOES_NOT_FIT, _UNSEEN)
    stalled = progress.stalled(accepted, seen)
    heard = progress.heard(speaks_of, before)
    reconciling = progress.reconciling(case, stalled, delivered, heard=heard)
    summary = progress.ready(
        seen, stalled, [messaging, available], delivered=delivered, speaks_of=speaks_of, before=before
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
        progress.rollout_pending(seen),
        progress.contested(seen),
    ]


def _kept(previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes on as it was last seen, though nobody looks."""
    return {
        name: previous[name]
        for name in ("services", "halts", "gateway", "release", "volumeSize", "backups", "upgrade", "restore")
        if name in previous
    }


def _rest(case: Case) -> dict[str, Any]:
    """Return services, halts, session and tasks, leaving out what there is none of."""
    found: dict[str, Any] = {"services": services(case)}
    parts = {"halts": halts(case), "session": session(case.seen.period), "tasks": tasks(case)}
    found |= {name: value for name, value in parts.items() if value}
    if case.seen.volume_size is not None:
        found["volumeSize"] = case.seen.volume_size
    if case.seen.backups.row is not None:
        found["backups"] = dict(case.seen.backups.row)
    if case.seen.restore is not None:
        found["restore"] = dict(case.seen.restore)
    if case.seen.upgrade is not None:
        found["upgrade"] = dict(case.seen.upgrade)
    gateway = case.seen.gateway or case.previous.get("gateway", "")
    return {**found, "gateway": gateway, "release": _release(case)}


def _release(case: Case) -> str:
    """Return the release that runs: the one to be once its pods are ready, until then the one before."""
    runs = any(each.ready for each in case.seen.workloads if each.component in WITH_SCHEDULER)
    return case.seen.release if runs else str(case.previous.get("release", ""))


MOST_HALTS = 20
MOST_TASKS = 16
HALT_LIMIT = 300
_DECLARED = "spec.trading.halted is true"


def services(case: Case) -> list[dict[str, Any]]:
    """Return, of each service, whether it is ready and the generation that it acknowledged."""
    seen, known = case.seen, case.previous.get("services", ())
    if known and not seen.workloads:  # nobody looked
        return [dict(row) for row in known]
    # What was acknowledged stays so, also while nobody says anything newer.
    said = {str(row["name"]): int(row.get("generation", 0)) for row in known}
    if seen.view is not None:
        said = dict(seen.view.acknowledged)
    compact = case.system.spec.profile == "compact"
    by_component = {each.component: each for each in seen.workloads}
    rows = []
    for name in SERVICES:
        workload = by_component.get("system" if compact else name)
        ready = workload is not None and workload.ready and workload.wanted > 0
        if seen.view is not None:
            ready = ready and seen.view.ready.get(name, True)
        rows.append({"name": name, "ready": ready, "generation": said.get(name, 0)})
    return rows


def halts(case: Case) -> list[str]:
    """Return what stops orders, one line per source; the latches of the ledger as they were last heard of."""
    seen, declared = case.seen, case.system.spec.trading.halted
    heard = None if seen.view is None else seen.view.halts
    if heard is None:
        lines = case.previous.get("halts", ())
        # What the declaration and the operator say, each status says again.
        heard = tuple(line for line in lines if not _declared(line) and not line.startswith(UNANSWERED))
    reported = list(heard)
    if seen.forced is not None:
        reported.insert(0, seen.forced)
    if declared and not any(map(_declared, reported)):
        reported.insert(0, _DECLARED)
    return list(dict.fromkeys(line[:HALT_LIMIT] for line in reported))[:MOST_HALTS]


def _declared(line: str) -> bool:
    """Whether a line tells the declaration's own halt; a person's reason may name the field as well."""
    return line.removeprefix("declaration: ") == _DECLARED


def session(period: Period | None) -> dict[str, Any] | None:
    """Return the session under way or, when closed, the next one; None in a replay."""
    found = None if period is None else period.session or period.upcoming
    if period is None or found is None:
        return None
    return {
        "state": "Open" if period.session is not None else "Closed",
        "date": found.day.isoformat(),
        "opens": instant(found.open),
        "closes": instant(found.close),
        "irregular": found.irregular,
    }


def tasks(case: Case) -> list[dict[str, Any]]:
    """Return the tasks; what was done or missed stays known while nobody says anything newer."""
    seen = case.seen
    known: Mapping[str, Any] = {str(row["name"]): row for row in case.previous.get("tasks", ())}
    heard = seen.view is not None and seen.view.slots is not None
    rows = []
    for name, due_next, last, missed in seen.tasks[:MOST_TASKS]:
        found = {} if heard else {key: known.get(name, {}).get(key) for key in ("last", "missed")}
        said = {"next": due_next, "last": last, "missed": missed}
        found |= {key: instant(when) for key, when in said.items() if when is not None}
        order = ("next", "last", "missed")
        rows.append({"name": name, **{key: found[key] for key in order if found.get(key) is not None}})
    return rows
