"""Whether it is safe to trade, by what the trader says and by whether the sessions go on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest

from bellwether.gateway.status import MODEL_EXPIRED, SESSION_STUCK, expired_models, safety_state
from bellwether.messages.models import ModelInfo, Models
from bellwether.messages.scheduling import FailingSession, SlotJobs
from bellwether.messages.trading import Safety, SafetyRefusal
from bellwether.spec.models import TradingSystemSpec
from unit.gateway.samples import MODEL, SESSION

SINCE = datetime(2009, 1, 5, 22, 0, 3, 250000, tzinfo=UTC)
FAILING = FailingSession("close", SESSION, "INTERNAL", "no space left", SINCE, 70, lasting=True)
STALE = SafetyRefusal("DATA_STALE", "old", "new", "AAPL: too old", "AAPL")
HALTED = SafetyRefusal("HALTED", "cli: lunch", "no halt", "orders are stopped")


def reported(failing: FailingSession | None = FAILING) -> SlotJobs:
    return SlotJobs(None, [], failing=failing)


def words(failing: FailingSession) -> str:
    (only,) = safety_state(None, reported(failing)).refusals
    return only.message


def test_a_session_that_goes_on_failing_is_said_in_words() -> None:
    found = safety_state(Safety(True, []), reported())
    assert found.safe is False
    (only,) = found.refusals
    assert (only.code, only.value, only.symbol) == (SESSION_STUCK, "INTERNAL", "")
    assert only.message == (
        f"the close of session {SESSION} has failed since 2009-01-05T22:00:03Z, 64 times or more: "
        "INTERNAL: no space left"
    )
    sydney = SINCE.astimezone(timezone(timedelta(hours=11)))
    assert words(msgspec.structs.replace(FAILING, since=sydney)) == only.message


def test_what_is_said_rests_between_two_doublings_of_the_tries() -> None:
    def at(tries: int) -> str:
        return words(msgspec.structs.replace(FAILING, tries=tries))

    assert at(64) == at(127)
    assert len({at(tries) for tries in range(3, 1000)}) == 9


@pytest.mark.parametrize("safe", [True, None])
def test_it_is_not_safe_whatever_else_is_known(safe: bool | None) -> None:
    assert safety_state(Safety(safe, []), reported()).safe is False
    assert safety_state(None, reported()).safe is False


def test_it_is_reported_after_what_else_is_about_every_order_and_before_what_is_about_one_symbol() -> None:
    found = safety_state(Safety(False, [HALTED, STALE]), reported())
    assert [one.code for one in found.refusals] == ["HALTED", SESSION_STUCK, "DATA_STALE"]


@pytest.mark.parametrize("slots", [None, reported(None), reported(msgspec.structs.replace(FAILING, lasting=False))])
def test_without_one_that_lasts_it_is_as_the_trader_says(slots: SlotJobs | None) -> None:
    assert safety_state(Safety(True, [STALE]), slots) == Safety(True, [STALE])
    assert safety_state(None, slots) == Safety(None, [])


SPEC = TradingSystemSpec.model_validate({"symbols": ["AAPL", "IBM"]})
EXPIRED = msgspec.structs.replace(MODEL, expires_on=date(2009, 6, 1), expired=True)


def refused(*models: ModelInfo) -> list[tuple[str, str]]:
    return [(one.code, one.symbol) for one in expired_models(SPEC, Models(list(models)))]


def test_an_expired_model_of_every_symbol_forbids_every_order() -> None:
    (only,) = expired_models(SPEC, Models([EXPIRED]))
    assert (only.code, only.value, only.symbol) == (MODEL_EXPIRED, "2009-06-01", "")
    assert only.message == (
        "model direction-lr cdcdcdcdcdcd expired on 2009-06-01: it learned from sessions through 2008-12-23"
    )
    found = safety_state(Safety(True, [STALE]), None, [only])
    assert (found.safe, [one.code for one in found.refusals]) == (False, [MODEL_EXPIRED, "DATA_STALE"])


def test_an_expired_model_forbids_nothing_where_no_symbol_uses_it_and_only_its_symbols_where_others_have_another() -> (
    None
):
    own = msgspec.structs.replace(MODEL, symbol="AAPL")
    other = msgspec.structs.replace(MODEL, symbol="IBM")
    assert refused(EXPIRED, own, other) == []
    assert refused(EXPIRED, own) == [(MODEL_EXPIRED, "IBM")]
    assert safety_state(Safety(True, []), None, expired_models(SPEC, Models([EXPIRED, own]))).safe is True
    assert safety_state(None, None, expired_models(SPEC, Models([EXPIRED, own]))).safe is None


def test_what_the_trader_said_of_an_expired_model_is_not_said_twice() -> None:
    (only,) = expired_models(SPEC, Models([EXPIRED]))
    said = Safety(False, [only])
    assert safety_state(said, None, [only]) == said
