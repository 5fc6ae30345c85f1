"""What a person reads about calendar, bars, models and safety."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bellwether.gateway.status import safety_state
from bellwether.messages.scheduling import FailingSession, SlotJobs
from bellwether.messages.trading import Safety as SaidSafety
from bellwether.trading.book import Book
from bellwether.trading.codes import Code
from bellwether.trading.guards import GUARDS
from bellwether.trading.safety import Newest, safety_of
from bellwether_operator.gateway_view import Bars, Refusal, Safety, ServedModel, read_status
from bellwether_operator.report.finding import MESSAGE_LIMIT
from harness.statuses import NOW, READY, SCENES, Scene, refused, seen, view
from unit.trading.making import RULES, circumstances

HALTED = {"trading": {"mode": "simulated", "halted": True}}


def said(scene: Scene, kind: str) -> dict[str, Any]:
    return next(each for each in scene.status()["conditions"] if each["type"] == kind)


def message(scene: Scene, kind: str) -> str:
    words: str = said(scene, kind)["message"]
    return words


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (datetime(2027, 12, 1, 12, 59, tzinfo=UTC), "Current"),
        (datetime(2027, 12, 1, 13, 1, tzinfo=UTC), "HorizonNear"),  # 2 December in Sydney: 29 days left
        (datetime(2027, 12, 31, 12, 59, tzinfo=UTC), "HorizonNear"),
        (datetime(2027, 12, 31, 13, 1, tzinfo=UTC), "HorizonPassed"),
    ],
)
def test_the_calendars_end_is_counted_in_days_of_the_exchange(now: datetime, reason: str) -> None:
    assert said(Scene({}, now=now), "CalendarCurrent")["reason"] == reason


def test_the_calendar_says_how_far_it_is_known_and_what_to_do() -> None:
    assert message(READY, "CalendarCurrent") == "the sessions of XASX are known through 2027-12-31"
    near = message(SCENES["the calendar ends soon"], "CalendarCurrent")
    assert near.startswith("the sessions of XASX are known through 2027-12-31 only: a newer version")


def test_each_stale_symbol_is_named_with_its_newest_bar_and_the_problem() -> None:
    rows = (
        Bars("CBA.AX", fresh=False, last_session=date(2026, 11, 19), problem="no answer"),
        Bars("BHP.AX", fresh=False),
        Bars("OLD.AX", fresh=False),
    )
    words = message(Scene({}, seen(view=view(data=rows))), "DataFresh")
    assert words == "CBA.AX: the newest bar is of session 2026-11-19 (no answer); BHP.AX: no bar"


def test_a_reason_that_holds_for_several_symbols_is_said_once() -> None:
    rows = tuple(
        Bars(symbol, fresh=False, problem=f"SOURCE_UNAVAILABLE: /bars/{symbol}.csv does not exist")
        for symbol in ("CBA.AX", "BHP.AX")
    )
    words = message(Scene({}, seen(view=view(data=rows))), "DataFresh")
    assert words == "CBA.AX, BHP.AX: no bar (SOURCE_UNAVAILABLE: /bars/SYMBOL.csv does not exist)"


def test_fresh_bars_name_their_session() -> None:
    assert message(READY, "DataFresh") == "every symbol has the bar that is due, of session 2026-11-20"


def test_a_symbols_own_model_counts_before_the_general_one() -> None:
    own, general = ServedModel("direction-lr", "CBA.AX", gated=True), ServedModel("direction-lr", None, gated=False)
    words = message(Scene({}, seen(view=view(models=(own, general)))), "ModelsCurrent")
    assert words == "model direction-lr serves, but did not pass its training gate for BHP.AX"


def test_a_model_of_another_recipe_serves_nothing() -> None:
    other = seen(view=view(models=(ServedModel("other", None, gated=True),)))
    assert message(Scene({}, other), "ModelsCurrent") == "no model direction-lr serves CBA.AX, BHP.AX"


def test_no_models_of_a_service_that_is_unreachable_are_not_none() -> None:
    away = seen(view=view(models=(), ready={"ml-model": False}))
    assert said(Scene({}, away), "ModelsCurrent")["reason"] == "NotSaid"


def test_a_halt_says_who_stopped_and_how_to_go_on() -> None:
    words = message(SCENES["halted"], "SafeToTrade")
    assert words.startswith("Orders are stopped by a halt: by hand. To trade again, ")
    assert '`bellwether resume --reason "..."`' in words


def test_every_refusal_has_its_sentence_and_its_remedy_once() -> None:
    scene = Scene(
        {},
        refused(
            Refusal("DAILY_LOSS_EXCEEDED", "5200", "5000"),
            *(Refusal("NO_REAL_PRICE", "0", "more than 0", f"There is no price of S{number}") for number in range(7)),
        ),
    )
    words = message(scene, "SafeToTrade")
    assert said(scene, "SafeToTrade")["reason"] == "DailyLossExceeded"
    assert words.startswith("DAILY_LOSS_EXCEEDED: 5200 (needed: 5000). It stops the rest of the session")
    assert "There is no price of S0. There is no price of S1." in words
    assert "The same holds 4 times more." in words
    assert words.count("condition DataFresh says") == 1


def test_where_some_symbols_can_be_traded_it_is_safe_and_each_refused_one_is_named() -> None:
    stale = Refusal("DATA_STALE", "1", "2", "CBA.AX: the symbol's newest bar is too old (found 1)", "CBA.AX")
    scene = Scene({}, seen(view=view(safety=Safety(safe=True, refusals=(stale,)))))
    assert (said(scene, "SafeToTrade")["status"], said(scene, "SafeToTrade")["reason"]) == ("True", "SomeRefused")
    assert message(scene, "SafeToTrade") == (
        "An order would be allowed if the session were open, but not in every symbol. "
        "CBA.AX: the symbol's newest bar is too old (found 1). "
        "Condition DataFresh says which bars are missing, and why."
    )
    stopped = replace(scene, spec=HALTED)
    assert message(stopped, "SafeToTrade").startswith("spec.trading.halted is true: every order is stopped.")


def test_fifty_refused_symbols_have_room_for_all_their_names() -> None:
    names = [f"A-LONG-NAME-{number:03}" for number in range(50)]
    newest = {
        name: Newest(Decimal(50), date(2026, 11, 19)) if number % 2 else Newest() for number, name in enumerate(names)
    }
    rules = replace(RULES, symbols=frozenset(names))
    reported = safety_of(Book(), replace(circumstances(rules), expected=date(2026, 11, 20)), newest)
    rows = tuple(Refusal(one.code, one.value, one.limit, one.message, one.symbol) for one in reported.refusals)
    words = message(Scene({}, refused(*rows)), "SafeToTrade")
    assert [name for name in names if name not in words] == []


@pytest.mark.parametrize("code", [guard.code for guard in GUARDS if guard.about != "order"], ids=lambda code: code.name)
def test_every_guard_that_needs_no_order_has_a_reason_and_a_remedy(code: Code) -> None:
    found = said(Scene({}, refused(Refusal(code.name, "1", "2", f"{code.value} (found 1)"))), "SafeToTrade")
    assert found["reason"] == code.name.title().replace("_", "")
    sentence, _, remedy = found["message"].partition(" (found 1). ")
    assert sentence[1:] == code.value[1:]
    assert remedy.endswith(".")


def test_a_session_that_cannot_be_closed_is_reported_with_its_error_and_what_to_do() -> None:
    failing = FailingSession("close", date(2026, 11, 20), "INTERNAL", "no space left", NOW, tries=70, lasting=True)
    reported = safety_state(SaidSafety(True, []), SlotJobs(None, [], failing=failing))
    heard = read_status(msgspec.to_builtins({"safety": reported, "services": []}), 0.0).safety
    found = said(Scene({}, seen(view=view(safety=heard))), "SafeToTrade")
    assert (found["status"], found["reason"]) == ("False", "SessionStuck")
    assert found["message"] == (
        "The close of session 2026-11-20 has failed since 2026-11-23T01:00:00Z, 64 times or more: INTERNAL: "
        "no space left. Until it succeeds no later session is opened or closed and no order is filled. It is tried "
        "again all the time; what is wrong is in the log of the service that it names, and of the scheduler."
    )


def test_what_the_declaration_forbids_needs_no_word_of_the_gateway() -> None:
    scene = Scene({}, seen(view=None), spec=HALTED)
    assert said(scene, "SafeToTrade")["reason"] == "Halted"
    assert message(scene, "SafeToTrade").startswith("spec.trading.halted is true: every order is stopped.")


def test_a_halt_that_the_trader_does_not_know_yet_counts_already() -> None:
    scene = Scene({}, seen(view=view(2)), spec=HALTED, generation=3, before=READY)
    assert (said(scene, "SafeToTrade")["status"], said(scene, "SafeToTrade")["observedGeneration"]) == ("False", 3)


def test_an_older_gateway_that_only_lists_halts_is_understood() -> None:
    scene = Scene({}, seen(view=view(safety=None, halts=("latch: by hand",))))
    assert message(scene, "SafeToTrade").startswith("Orders are stopped: latch: by hand.")


def test_long_words_are_cut_where_the_api_server_would_refuse_them() -> None:
    many = tuple(Refusal(f"CODE_{number}", "x" * 300) for number in range(20))
    scene = Scene({}, replace(READY.seen, view=view(safety=Safety(safe=False, refusals=many))))
    assert len(message(scene, "SafeToTrade")) == MESSAGE_LIMIT
