"""What live outcomes say of models in service, and the alarm of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec

from bellwether.messages.registry import LiveDay, LiveRecord
from bellwether.models.live import live_alarms, summary, verdict, worse
from bellwether.spec.training import Demotion
from bellwether.training.gate import Verdict
from bellwether.training.ledger import Entry, ModelLedger, demote, promote

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULE = Demotion()
PASSED = Verdict(True, "new", 1, 0.005, [])


def entry(version: str, stage: str, **more: object) -> Entry:
    plain = Entry(version * 64, "made-up", None, "hash", "candidate", NOW, "trained", PASSED)
    return msgspec.structs.replace(plain, stage=stage, **more)


def bad(version: str, first: date = date(2026, 6, 1), role: str = "serving") -> LiveRecord:
    days = [LiveDay(first + timedelta(number), 2, 1.6, 1.4 + 0.01 * (number % 3), 0.6, 0.5) for number in range(120)]
    return LiveRecord(version * 64, "made-up", role, 1, days)


def test_only_what_serves_is_judged_and_only_by_sessions_since_it_does() -> None:
    book = ModelLedger([entry("a", "serving"), entry("b", "shadow")])
    assert [one.entry.version[0] for one in worse(book, "made-up", [bad("a"), bad("b", role="shadow")], RULE)] == ["a"]
    assert worse(book, "other", [bad("a")], RULE) == []
    assert worse(book, "made-up", [bad("a", first=date(2026, 1, 1))], RULE) == []


def test_a_record_is_reported_in_figures_beside_the_base_rate() -> None:
    found = summary(bad("a"), RULE, None)
    assert (found.decisions, found.sessions, found.first, found.last) == (240, 120, date(2026, 6, 1), date(2026, 9, 28))
    assert (found.log_loss, found.brier, found.base_brier) == (0.8, 0.3, 0.25)
    assert found.verdict.startswith("worse than the base rate: live log loss -0.0")
    assert verdict(bad("a"), RULE, date(2026, 9, 1)) == "28 of 100 sessions with outcomes: too few to say anything"


def test_a_demotion_raises_an_alarm_until_a_newer_model_is_promoted_and_is_critical_while_nothing_answers() -> None:
    at = NOW + timedelta(days=100)
    alone = demote(ModelLedger([entry("a", "serving")]), "a" * 64, at, "worse", mode="enforce")
    (only,) = live_alarms(alone, "made-up", [])
    assert (only.type, only.severity) == ("model_worse_live", "critical")
    assert "was demoted and answers nothing: worse" in only.message

    book = ModelLedger([entry("b", "retired"), entry("a", "serving", before="b" * 64)])
    replaced = demote(book, "a" * 64, at, "worse", mode="enforce")
    (after,) = live_alarms(replaced, "made-up", [])
    assert (after.severity, replaced.entry("b").stage) == ("warning", "serving")
    newer = ModelLedger([*replaced.entries, entry("c", "candidate")])
    promoted = promote(newer, "c" * 64, at + timedelta(days=1), "better", mode="enforce")
    assert live_alarms(promoted, "made-up", []) == []


def test_under_report_what_is_worse_raises_the_alarm_without_being_demoted() -> None:
    book = ModelLedger([entry("a", "serving")])
    (only,) = live_alarms(book, "made-up", worse(book, "made-up", [bad("a")], RULE))
    assert (only.severity, only.message[:30]) == ("warning", "model made-up aaaaaaaaaaaa: li")
