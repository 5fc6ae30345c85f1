"""The rest of the status: services, halts, the session and the tasks. Instants, never ages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bellwether.render.kubernetes.moment import Moment
from bellwether.topology import SERVICES
from bellwether_operator.halting import UNANSWERED
from bellwether_operator.report.finding import instant
from bellwether_operator.report.observation import Case

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


def session(moment: Moment | None) -> dict[str, Any] | None:
    """Return the session under way or, when closed, the next one; None in a replay."""
    found = None if moment is None else moment.session or moment.upcoming
    if moment is None or found is None:
        return None
    return {
        "state": "Open" if moment.session is not None else "Closed",
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
