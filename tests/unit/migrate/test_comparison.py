"""Two systems' answers for one session, and what differs."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bellwether.cli.comparing import next_session_time
from bellwether.market.sessions import load_calendar
from bellwether.migrate.comparison import (
    Cause,
    Compared,
    Kind,
    Sample,
    Tolerances,
    compare,
    judge,
    read_tolerances,
)
from bellwether.migrate.comparison_page import page

SYMBOLS = ("CBA.AX", "ANZ.AX", "NAB.AX", "WBC.AX", "MQG.AX", "COL.AX", "BHP.AX")
ASKED = datetime(2026, 11, 30, 22, 45, tzinfo=UTC)
DAY = date(2026, 12, 1)


def answer(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "action": "BUY",
        "probability": 0.56,
        "current_price": 100.0,
        "timestamp": ASKED.isoformat(),
        "bar_session": "2026-11-30",
        "sentiment_score": 0.1,
        "model_name": "direction-lr",
        "model_version": "abc",
        "market_data_available": True,
        "sentiment_data_available": True,
    }


def raw() -> dict[str, Any]:
    technical = {"current_price": 100.0, "rsi": 55.0, "tech_score": 60.0}
    return {
        "predictions": {symbol: answer(symbol) for symbol in SYMBOLS},
        "market_data": {symbol: {"technical": dict(technical)} for symbol in SYMBOLS},
    }


def compared(old: dict[str, Any], allowed: Tolerances | None = None) -> dict[str, Compared]:
    sample = Sample(DAY, ASKED, old, raw())
    return {one.symbol: one for one in compare(sample, SYMBOLS, allowed or Tolerances())}


def kinds(one: Compared) -> set[tuple[Kind, Cause]]:
    return {(difference.kind, difference.cause) for difference in one.differences}


def test_each_planted_difference_is_named_with_its_cause_and_nothing_else() -> None:
    old = raw()
    said = old["predictions"]
    said["CBA.AX"]["action"] = "SELL"
    said["ANZ.AX"] |= {"action": "HOLD", "current_price": 97.0}
    old["market_data"]["NAB.AX"]["technical"]["rsi"] = 71.0
    del said["WBC.AX"]
    said["MQG.AX"]["timestamp"] = (ASKED - timedelta(hours=20)).isoformat()
    found = compared(old)
    assert kinds(found["CBA.AX"]) == {(Kind.action, Cause.logic)}
    assert kinds(found["ANZ.AX"]) == {(Kind.price, Cause.input), (Kind.action, Cause.input)}
    assert kinds(found["NAB.AX"]) == {(Kind.input, Cause.input)}
    assert found["NAB.AX"].equal_decisions is True
    assert found["NAB.AX"].equal_inputs is False
    assert "equal decisions on unequal input" in found["NAB.AX"].differences[0].words
    assert kinds(found["WBC.AX"]) == {(Kind.missing, Cause.service)}
    assert kinds(found["MQG.AX"]) == {(Kind.stale, Cause.service)}
    assert found["COL.AX"].differences == found["BHP.AX"].differences == ()


def test_equal_answers_have_no_difference_and_are_safe_after_enough_sessions() -> None:
    found = [
        one
        for day in range(1, 4)
        for one in compare(Sample(date(2026, 12, day), ASKED, raw(), raw()), SYMBOLS, Tolerances())
    ]
    assert [one for one in found if one.differences] == []
    assert judge(found, 3, Tolerances()).state == "safe"
    early = judge(found, 4, Tolerances())
    assert (early.state, early.reasons) == ("not yet", ("3 of 4 sessions are compared",))


def test_only_the_newest_sessions_count_for_the_verdict() -> None:
    odd = raw()
    odd["predictions"]["CBA.AX"]["action"] = "SELL"
    found = [
        one
        for day, old in ((1, odd), (2, raw()), (3, raw()))
        for one in compare(Sample(date(2026, 12, day), ASKED, old, raw()), SYMBOLS, Tolerances())
    ]
    assert judge(found, 2, Tolerances()).state == "safe"
    assert judge(found, 3, Tolerances()).reasons == ("1 of 21 answers differ in action",)
    assert judge(found, 3, read_tolerances({"allowed": {"action": 0.05}})).state == "safe"


def test_another_model_is_an_unequal_input_unless_it_is_declared_to_be_the_same() -> None:
    old = raw()
    for one in old["predictions"].values():
        one |= {"model_name": "old-rf", "model_version": ""}
    assert kinds(compared(old)["CBA.AX"]) == {(Kind.input, Cause.input)}
    same = read_tolerances({"models": {"old-rf": "direction-lr"}})
    assert compared(old, same)["CBA.AX"].differences == ()
    assert compared(old, read_tolerances({"model": "ignore"}))["CBA.AX"].differences == ()


def test_a_side_that_does_not_tell_its_price_is_never_taken_for_equal_input() -> None:
    old, bare = raw(), {"symbol": "CBA.AX", "action": "SELL"}
    old["predictions"]["CBA.AX"] = bare
    old["market_data"] = {}
    sample = Sample(DAY, ASKED, old, {"predictions": {"CBA.AX": bare | {"action": "BUY"}}})
    (found,) = compare(sample, ["CBA.AX"], Tolerances())
    assert kinds(found) == {(Kind.action, Cause.unknown)}
    assert judge([found], 1, Tolerances()).state == "not safe"


def test_the_fallback_price_of_the_old_system_is_a_missing_input() -> None:
    old = raw()
    old["predictions"]["CBA.AX"] |= {"current_price": 0, "market_data_available": False, "action": "HOLD"}
    assert kinds(compared(old)["CBA.AX"]) == {(Kind.missing, Cause.input), (Kind.action, Cause.input)}


def test_made_at_other_times_is_distinguished_from_stale() -> None:
    old = raw()
    old["predictions"]["CBA.AX"]["timestamp"] = (ASKED - timedelta(minutes=10)).isoformat()
    assert kinds(compared(old)["CBA.AX"]) == {(Kind.timing, Cause.service)}
    old["predictions"]["CBA.AX"]["bar_session"] = "2026-11-27"
    assert kinds(compared(old)["CBA.AX"]) == {(Kind.stale, Cause.input)}


def test_a_side_that_cannot_be_reached_is_missing_for_each_share() -> None:
    found = compared({"error": "connection refused"})
    assert {kind for one in found.values() for kind, _ in kinds(one)} == {Kind.missing}
    assert "connection refused" in found["CBA.AX"].differences[0].words


def test_values_in_other_places_are_found_where_they_are_declared() -> None:
    old = copy.deepcopy(raw())
    for one in old["predictions"].values():
        one["decision"] = one.pop("action")
    allowed = read_tolerances({"old": {"action": "prediction.decision"}})
    assert compared(old, allowed)["CBA.AX"].differences == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"prise": 1}, "prise"),
        ({"allowed": {"action": 2}}, r"allowed\.action: 2 is no share"),
        ({"allowed": {"odd": 0}}, "odd"),
        ({"old": {"akt": "x"}}, r"old\.akt is not known"),
        ({"action": "near"}, "near"),
    ],
)
def test_wrong_tolerances_are_refused_by_their_field(given: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_tolerances(given)


def test_the_page_shows_what_differs_and_runs_nothing_that_a_side_said() -> None:
    old = raw()
    old["predictions"]["CBA.AX"]["action"] = "<script>"
    found = list(compared(old).values())
    shown = page("old & new", found, judge(found, 1, Tolerances()))
    assert "<script>" not in shown.lower().replace("&lt;script&gt;", "")
    assert "not safe" in shown


def test_each_session_is_asked_about_before_its_open_and_once() -> None:
    calendar, lead = load_calendar("XASX"), timedelta(minutes=15)
    friday_evening = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
    asked: set[date] = set()
    day, at = next_session_time(calendar, lead, friday_evening, asked.__contains__)
    assert (day, at) == (date(2026, 11, 30), datetime(2026, 11, 29, 22, 45, tzinfo=UTC))
    asked.add(day)
    assert next_session_time(calendar, lead, at, asked.__contains__)[0] == date(2026, 12, 1)
    # Started a little late it asks at once; long after the instant it waits for the next session.
    late = datetime(2026, 11, 30, 22, 50, tzinfo=UTC)
    assert next_session_time(calendar, lead, late, asked.__contains__) == (date(2026, 12, 1), late)
    later = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    assert next_session_time(calendar, lead, later, asked.__contains__)[0] == date(2026, 12, 2)
