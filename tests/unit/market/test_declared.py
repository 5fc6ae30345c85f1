"""From the declaration to calendar, tasks and slots."""

from datetime import UTC, date, datetime, timedelta

import pytest

from bellwether.market.declared import calendar_of, fit, slots_of, task_rules
from bellwether.market.sessions import CalendarError
from bellwether.spec.exchanges import CALENDARS, CalendarName
from bellwether.spec.market import Market, SessionOverride
from bellwether.spec.models import TradingSystemSpec
from bellwether.spec.tasks import Task


def test_the_default_tasks_of_a_session_are_due_around_it() -> None:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)
    found = slots_of(TradingSystemSpec(), start, start + timedelta(days=1))
    assert [(slot.name, f"{slot.due:%H:%M}") for slot in found] == [
        ("morning_analysis-20261124", "22:30"),
        ("prediction_generation-20261124", "22:45"),
        ("evening_analysis-20261124", "06:00"),
    ]


def test_every_calendar_that_can_be_declared_has_a_table() -> None:
    assert set(CalendarName.__args__) == set(CALENDARS)  # type: ignore[attr-defined]


def test_overrides_are_applied() -> None:
    overrides = [SessionOverride(date="2026-11-24", closed=True), SessionOverride(date="2026-11-25", close="12:00")]
    calendar = calendar_of(Market(calendar="XASX", overrides=overrides))
    assert calendar.session_on(date(2026, 11, 24)) is None
    session = calendar.session_on(date(2026, 11, 25))
    assert session is not None
    assert session.close == datetime(2026, 11, 25, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (SessionOverride(date="2026-02-30", closed=True), "override 2026-02-30: there is no such day"),
        (SessionOverride(date="2026-12-25", open="10:00"), "an extra session needs open and close"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(override: SessionOverride, words: str) -> None:
    with pytest.raises(CalendarError, match=words):
        calendar_of(Market(overrides=[override]))


def test_a_task_at_a_time_of_day() -> None:
    (rule,) = task_rules([Task(name="noon", anchor="time", time="12:00", useful_until="1h")])
    assert (rule.at, rule.useful_for) == (datetime(2026, 1, 1, 12, tzinfo=UTC).time(), timedelta(hours=1))


def test_an_offset_of_more_than_a_week_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task late: offset .* longer than 7 days"):
        task_rules([Task(name="late", anchor="close", offset="169h")])


@pytest.mark.parametrize("useful", ["169h", "99999999999999999h"])
def test_a_use_of_more_than_a_week_is_refused(useful: str) -> None:
    spec = TradingSystemSpec(tasks=[Task(name="late", anchor="close", useful_until=useful)])
    (problem,) = fit(spec)
    assert problem.path == "spec.tasks[0].usefulUntil"
    assert problem.message.startswith("task late: use")
    assert "7 days" in problem.message


def test_what_does_not_fit_the_exchange_is_named_by_its_path() -> None:
    assert fit(TradingSystemSpec()) == []
    good = SessionOverride(date="2026-11-24", closed=True)
    bad = SessionOverride(date="2026-12-25", close="12:00")
    spec = TradingSystemSpec(
        market=Market(overrides=[good, bad]), tasks=[Task(name="late", anchor="close", offset="169h")]
    )
    assert [problem.path for problem in fit(spec)] == ["spec.market.overrides[1]", "spec.tasks[0].offset"]
    assert "2026-12-25" in fit(spec)[0].message
