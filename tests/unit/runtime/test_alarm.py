from datetime import UTC, datetime, timedelta

import pytest

from bellwether.runtime.alarm import CLEAR, Alarm, AlarmState, Transition, transition

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
MEMORY = Alarm(raise_at=80.0, clear_at=75.0, severity="warning")


def reported(alarm: Alarm, *values: float | None) -> list[Transition | None]:
    """Return what each look turns, a minute apart."""
    state, turns = CLEAR, []
    for minute, value in enumerate(values):
        before, state = state, alarm.judge(state, value, START + timedelta(minutes=minute))
        turns.append(transition(before, state))
    return turns


def test_it_is_raised_once_and_resolved_once() -> None:
    assert reported(MEMORY, 50, 81, 90, 70, 60, 95) == [None, "raised", None, "resolved", None, "raised"]


def test_at_the_limit_is_not_above_it() -> None:
    assert reported(MEMORY, 80.0) == [None]


def test_a_value_that_moves_around_the_limit_does_not_raise_it_again() -> None:
    assert reported(MEMORY, 81, 79, 82, 76, 75) == ["raised", None, None, None, "resolved"]


def test_no_measurement_changes_nothing() -> None:
    assert reported(MEMORY, None, 81, None, 74) == [None, "raised", None, "resolved"]
    assert reported(Alarm(80, 80, "warning", looks=2), 81, None, 81) == [None, None, "raised"]


def test_low_values_can_be_the_bad_ones() -> None:
    score = Alarm(raise_at=70.0, clear_at=70.0, severity="warning", low=True)
    assert reported(score, 70, 69.9, 40, 70) == [None, "raised", None, "resolved"]


def test_one_bad_look_is_not_enough_where_two_are_asked_for() -> None:
    twice = Alarm(raise_at=0.0, clear_at=0.0, severity="critical", looks=2)
    assert reported(twice, 1, 0, 1, 1, 1, 0) == [None, None, None, "raised", None, "resolved"]


def test_since_is_the_first_look_that_found_it() -> None:
    twice = Alarm(raise_at=0.0, clear_at=0.0, severity="critical", looks=2)
    first = twice.judge(CLEAR, 1.0, START)
    assert first == AlarmState(START, 1, raised=False)
    second = twice.judge(first, 1.0, START + timedelta(minutes=1))
    assert second == AlarmState(START, 2, raised=True)
    assert twice.judge(second, 1.0, START + timedelta(minutes=2)).since == START


@pytest.mark.parametrize(("raise_at", "clear_at", "low"), [(80, 85, False), (70, 60, True)])
def test_limits_between_which_it_would_be_raised_and_cleared_in_turn_are_refused(
    raise_at: float, clear_at: float, low: bool
) -> None:
    with pytest.raises(ValueError, match="it would never rest"):
        Alarm(raise_at, clear_at, "warning", low=low)
