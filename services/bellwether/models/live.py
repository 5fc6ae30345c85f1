"""What live outcomes say of the models: summaries, and who is worse than the base rate. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from bellwether.messages.alarms import alarm
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.registry import LiveDay, LiveRecord, LiveSummary
from bellwether.spec.training import Demotion
from bellwether.training.gate import Look, newest_look, sessions_needed
from bellwether.training.ledger import Entry, ModelLedger

_LONGEST = 500


class Worse(NamedTuple):
    """A model in service whose live outcomes are worse than the base rate by more than luck explains."""

    entry: Entry
    look: Look


def summary(record: LiveRecord, rule: Demotion, since: date | None) -> LiveSummary:
    """Return a record in figures; the verdict counts sessions from `since` on."""
    days, rows = record.days, sum(day.rows for day in record.days)

    def mean(name: str) -> float:
        return round(math.fsum(getattr(day, name) for day in days) / rows, 6)

    return LiveSummary(
        role=record.role,
        decisions=rows,
        sessions=len(days),
        first=days[0].session,
        last=days[-1].session,
        brier=mean("brier"),
        base_brier=mean("base_brier"),
        log_loss=mean("model"),
        base_log_loss=mean("base"),
        verdict=verdict(record, rule, since),
    )


def verdict(record: LiveRecord, rule: Demotion, since: date | None) -> str:
    """Return what the declared rule says of a record, in words."""
    days = _counted(record.days, since)
    look = _look(days, record.horizon_sessions, rule)
    if look is None:
        needed = sessions_needed(rule.minimum_sessions, record.horizon_sessions)
        return f"{len(days)} of {needed} sessions with outcomes: too few to say anything"
    return f"{'worse than the base rate' if look.worse else 'not worse than luck explains'}: {look.words}"


def worse(ledger: ModelLedger, name: str, records: Sequence[LiveRecord], rule: Demotion) -> list[Worse]:
    """Return which models of a recipe, in service and not demoted yet, the rule finds worse than the base rate."""
    found = []
    for record in records:
        entry = next((one for one in ledger.entries if one.version == record.version), None)
        if record.role == "serving" and entry is not None and _judged(entry, name):
            look = _look(_counted(record.days, entry.since.date()), record.horizon_sessions, rule)
            if look is not None and look.worse:
                found.append(Worse(entry, look))
    return found


def live_alarms(ledger: ModelLedger, name: str, found: Sequence[Worse]) -> list[AlarmReading]:
    """Return the alarm of models of a recipe that were demoted, or are to be looked at; critical where one holds."""
    demoted = ledger.demotions(name)
    silent = [one for one in demoted if one.stage == "serving"]
    words = [f"{_whose(one)} was demoted and answers nothing: {one.demoted}" for one in silent]
    words += [
        f"{_whose(one)} was demoted, the version before serves: {one.demoted}" for one in demoted if one not in silent
    ]
    words += [f"{_whose(one.entry)}: {one.look.words}" for one in found]
    if not words:
        return []
    severity = "critical" if silent else None
    return [alarm("model_worse_live", "; ".join(words)[:_LONGEST], severity=severity)]  # type: ignore[arg-type]


def _judged(entry: Entry, name: str) -> bool:
    return (entry.name, entry.stage, entry.demoted) == (name, "serving", "")


def _counted(days: Sequence[LiveDay], since: date | None) -> list[LiveDay]:
    return [day for day in days if since is None or day.session >= since]


def _look(days: Sequence[LiveDay], horizon: int, rule: Demotion) -> Look | None:
    return newest_look(days, horizon, minimum=rule.minimum_sessions, level=float(rule.level), margin=float(rule.margin))


def _whose(entry: Entry) -> str:
    return f"model {entry.name} {entry.version[:12]}" + (f" of {entry.symbol}" if entry.symbol else "")
