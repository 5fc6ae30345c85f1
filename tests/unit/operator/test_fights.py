from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bellwether_operator.fights import FIELDS, REPAIRS, WINDOW, Fights
from bellwether_operator.observe.kinds import ChildKey

WEB = ChildKey("Service", "trading", "demo-gateway")
NATS = ChildKey("Service", "trading", "demo-nats")
PORT = "spec.ports[http].port"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def fought(fights: Fights, times: int, path: str = PORT, start: datetime = NOON) -> datetime:
    """Put a field back once a minute; return the last time."""
    for i in range(times):
        fights.note(WEB, path, start + i * MINUTE)
    return start + (times - 1) * MINUTE


def test_two_repairs_are_no_fight_and_a_third_one_is() -> None:
    fights = Fights()
    last = fought(fights, 2)
    assert fights.backed_off(WEB, last) is None
    fights.note(WEB, PORT, last + MINUTE)
    found = fights.backed_off(WEB, last + MINUTE)
    assert found is not None
    assert (found.key, found.path, found.count) == (WEB, PORT, 3)
    assert found.until == NOON + timedelta(minutes=12)


def test_it_is_left_alone_until_ten_minutes_after_the_last_repair_and_then_all_begins_again() -> None:
    fights = Fights()
    last = fought(fights, 3)
    assert fights.backed_off(WEB, last + WINDOW - timedelta(seconds=1)) is not None
    assert fights.backed_off(WEB, last + WINDOW) is None
    assert fights.backed_off(WEB, fought(fights, 2, start=last + WINDOW)) is None
    assert fights.backed_off(WEB, fought(fights, 1, start=last + WINDOW + 2 * MINUTE)) is not None


def test_repairs_that_are_far_apart_are_no_fight() -> None:
    fights = Fights()
    for i in range(50):
        now = NOON + i * timedelta(minutes=6)
        fights.note(WEB, PORT, now)
        assert fights.backed_off(WEB, now) is None


def test_each_field_and_each_child_is_counted_for_itself() -> None:
    fights = Fights()
    for i in range(2):
        fights.note(WEB, PORT, NOON)
        fights.note(WEB, f"spec.field{i}", NOON)
        fights.note(NATS, PORT, NOON)
    assert fights.backed_off(WEB, NOON) is None
    fights.note(NATS, PORT, NOON)
    assert fights.backed_off(NATS, NOON) is not None
    assert fights.backed_off(WEB, NOON) is None


def test_of_two_fights_over_a_child_the_one_that_ends_last_is_reported() -> None:
    fights = Fights()
    fought(fights, 3, "spec.selector", NOON)
    last = fought(fights, 3, PORT, NOON + MINUTE)
    found = fights.backed_off(WEB, last)
    assert found is not None
    assert found.path == PORT


def test_a_fight_is_reported_in_words_that_stay_the_same_while_it_lasts() -> None:
    fights = Fights()
    last = fought(fights, 3)
    found = [fights.backed_off(WEB, last + i * MINUTE) for i in range(9)]
    assert {each.words for each in found if each is not None} == {
        "Service demo-gateway: spec.ports[http].port was put back 3 times in 10 minutes and changed by someone else "
        "each time; it is left as it is until 2026-11-23T12:12:00Z"
    }


def test_a_clock_that_is_set_back_ends_a_fight_rather_than_to_prolong_it() -> None:
    fights = Fights()
    fought(fights, 3)
    hour_before = NOON - timedelta(hours=1)
    assert fights.backed_off(WEB, hour_before) is None
    assert fights.backed_off(WEB, fought(fights, 2, start=hour_before)) is None


def test_a_bounded_number_of_fields_is_remembered_the_newest_ones() -> None:
    fights = Fights()
    fought(fights, 4)
    for i in range(FIELDS - 1):
        fights.note(NATS, f"data.{i}", NOON + 4 * MINUTE)
    assert fights.backed_off(WEB, NOON + 4 * MINUTE) is not None
    fights.note(NATS, "data.last", NOON + 4 * MINUTE)
    assert fights.backed_off(WEB, NOON + 4 * MINUTE) is None


@given(st.lists(st.integers(0, 400), max_size=80))
def test_who_heeds_it_never_writes_a_field_more_than_three_times_in_ten_minutes(pauses: list[int]) -> None:
    fights = Fights()
    now, written = NOON, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        if fights.backed_off(WEB, now) is None:
            fights.note(WEB, PORT, now)
            written.append(now)
        assert sum(now - WINDOW < each for each in written) <= REPAIRS
