from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

import pytest

from bellwether.messages.scheduling import FailingSession
from bellwether.runtime.errors import RpcError
from bellwether.scheduling.clockwork import LASTING, LEAST_TRIES, failing_after

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)
CLOSE = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def after(*tries: tuple[datetime, str, str]) -> FailingSession:
    """Return what is reported of Monday's close after tries that failed: when, and with which code and words."""
    found = None
    for at, code, words in tries:
        found = failing_after(found, "close", MONDAY, RpcError(code, words), at)
    assert found is not None
    return found


def test_a_first_failure_is_reported_and_does_not_last() -> None:
    found = after((CLOSE, "INTERNAL", "no space left"))
    assert found == FailingSession("close", MONDAY, "INTERNAL", "no space left", CLOSE, 1, lasting=False)


@pytest.mark.parametrize(
    ("tries", "last", "lasting"),
    [
        (LEAST_TRIES, LASTING, True),
        (LEAST_TRIES - 1, LASTING, False),
        (LEAST_TRIES - 1, LASTING * 600, False),
        (LEAST_TRIES, LASTING - SECOND, False),
        (50, LASTING - SECOND, False),
        (50, LASTING, True),
    ],
)
def test_it_lasts_once_it_failed_often_enough_and_for_long_enough(tries: int, last: timedelta, lasting: bool) -> None:
    found = after(*[(CLOSE, "UNAVAILABLE", "away")] * (tries - 1), (CLOSE + last, "UNAVAILABLE", "away"))
    assert (found.tries, found.since, found.lasting) == (tries, CLOSE, lasting)


def test_another_error_of_the_same_close_is_reported_and_counts_on() -> None:
    found = after((CLOSE, "UNAVAILABLE", "away"), (CLOSE, "UNAVAILABLE", "away"), (CLOSE + SECOND, "INTERNAL", "full"))
    assert (found.code, found.message, found.since, found.tries) == ("INTERNAL", "full", CLOSE, 3)


def test_words_that_differ_at_every_try_are_renewed_with_each_doubling_of_the_tries() -> None:
    every = [(CLOSE + number * SECOND, "INTERNAL", f"request {number}") for number in range(1, 12)]
    reported = [after(*every[:count]).message.removeprefix("request ") for count in range(1, 12)]
    assert reported == ["1", "2", "2", "4", "4", "4", "4", "8", "8", "8", "8"]


@pytest.mark.parametrize(("step", "session"), [("open", MONDAY), ("close", TUESDAY)])
def test_another_step_or_session_is_counted_again(step: Literal["open", "close"], session: date) -> None:
    before = after(*[(CLOSE + number * LASTING, "INTERNAL", "full") for number in range(LEAST_TRIES)])
    assert before.lasting
    later = CLOSE + LASTING * 10
    found = failing_after(before, step, session, RpcError("INTERNAL", "full"), later)
    assert found == FailingSession(step, session, "INTERNAL", "full", later, 1, lasting=False)
