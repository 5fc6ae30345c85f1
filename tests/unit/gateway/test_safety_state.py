"""Whether it is safe to trade, by what the trader says and by whether the sessions go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from bellwether.gateway.status import SESSION_STUCK, safety_state
from bellwether.messages.scheduling import FailingSession, SlotJobs
from bellwether.messages.trading import Safety, SafetyRefusal
from unit.gateway.samples import SESSION

SINCE = datetime(2009, 1, 5, 22, 0, 3, 250000, tzinfo=UTC)
FAILING = FailingSession("close", SESSION, "INTERNAL", "no space left", SINCE, 70, lasting=True)
STALE = SafetyRefusal("DATA_STALE", "old", "new", "AAPL: too old", "AAPL")
HALTED = SafetyRefusal("HALTED", "cli: lunch", "no halt", "orders are stopped")


def told(failing: FailingSession | None = FAILING) -> SlotJobs:
    return SlotJobs(None, [], failing=failing)


def words(failing: FailingSession) -> str:
    (only,) = safety_state(None, told(failing)).refusals
    return only.message


def test_a_session_that_goes_on_failing_is_said_in_words() -> None:
    found = safety_state(Safety(True, []), told())
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
    assert safety_state(Safety(safe, []), told()).safe is False
    assert safety_state(None, told()).safe is False


def test_it_is_told_after_what_else_is_about_every_order_and_before_what_is_about_one_symbol() -> None:
    found = safety_state(Safety(False, [HALTED, STALE]), told())
    assert [one.code for one in found.refusals] == ["HALTED", SESSION_STUCK, "DATA_STALE"]


@pytest.mark.parametrize("slots", [None, told(None), told(msgspec.structs.replace(FAILING, lasting=False))])
def test_without_one_that_lasts_it_is_as_the_trader_says(slots: SlotJobs | None) -> None:
    assert safety_state(Safety(True, [STALE]), slots) == Safety(True, [STALE])
    assert safety_state(None, slots) == Safety(None, [])
