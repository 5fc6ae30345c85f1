from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.broker.lifecycle import (
    AT_BROKER,
    MOVES,
    OVER,
    UNSENT,
    Progress,
    State,
    WrongMove,
    advance,
    move,
    sending,
)
from bellwether.broker.values import Accepted, BrokerEvent, Ended, Fill, NewOrder, Rejected

AT = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
ID = "bw-1"


def replay(progress: Progress, events: Iterable[BrokerEvent]) -> Progress:
    """Return the order after several events."""
    return reduce(advance, events, progress)


def fill(quantity: int, fill_id: str = "deal-1") -> Fill:
    return Fill(ID, AT, fill_id, Decimal(quantity), Decimal("10.5"))


def sent(quantity: int = 10) -> Progress:
    return sending(Progress(ID, Decimal(quantity)), AT)


def seen(progress: Progress) -> tuple[str, int, int]:
    return progress.state, int(progress.filled), int(progress.leaves)


def in_state(state: State) -> Progress:
    return Progress(ID, Decimal(10), state=state)


def test_an_order_is_acknowledged_filled_in_parts_and_over() -> None:
    working = advance(sent(), Accepted(ID, AT, "DIAAA"))
    assert (seen(working), working.broker_id) == (("working", 0, 10), "DIAAA")
    part = advance(working, fill(4))
    assert seen(part) == ("partially_filled", 4, 6)
    whole = advance(part, fill(6, "deal-2"))
    assert seen(whole) == ("filled", 10, 0)
    assert whole.over


def test_the_same_fill_again_and_an_acknowledgement_after_it_change_nothing() -> None:
    part = advance(sent(), fill(4))
    assert advance(part, fill(4)) == part
    late = advance(part, Accepted(ID, AT, "DIAAA"))
    assert (seen(late), late.broker_id) == (("partially_filled", 4, 6), "DIAAA")
    whole = advance(part, fill(6, "deal-2"))
    assert advance(whole, Ended(ID, AT, "cancelled")) == whole


def test_a_fill_that_was_faster_than_the_cancellation_counts() -> None:
    cancelled = advance(advance(sent(), Accepted(ID, AT)), Ended(ID, AT, "cancelled", "halted"))
    assert (seen(cancelled), cancelled.reason) == (("cancelled", 0, 0), "halted")
    assert advance(cancelled, fill(10)).state == "filled"
    part = advance(cancelled, fill(3))
    assert seen(part) == ("cancelled", 3, 0)


def test_a_part_that_ends_keeps_its_shares() -> None:
    ended = replay(sent(), [Accepted(ID, AT), fill(3), Ended(ID, AT, "expired")])
    assert seen(ended) == ("expired", 3, 0)


def test_what_a_lookup_finds_ends_not_knowing() -> None:
    unknown = move(sent(), "unknown", "no confirmation within 30 s")
    assert unknown.in_flight
    assert replay(unknown, [Accepted(ID, AT), fill(10)]).state == "filled"
    assert advance(unknown, Rejected(ID, AT, "INSUFFICIENT_FUNDS")).reason == "INSUFFICIENT_FUNDS"
    assert move(unknown, "queued").state == "queued"


def test_when_it_was_first_sent_is_kept() -> None:
    again = sending(move(sent(), "queued"), AT.replace(hour=23, minute=30))
    assert again.sent_at == AT


@pytest.mark.parametrize(
    ("progress", "event", "words"),
    [
        (sent(), fill(11), "is for 10 shares, fill deal-1 makes it 11"),
        (sent(), fill(0), "has 0 shares"),
        (in_state("rejected"), fill(10), "is rejected, it cannot become filled"),
        (in_state("rejected"), fill(1), "is rejected, it cannot become partially_filled"),
        (in_state("queued"), Accepted(ID, AT), "is queued: the broker cannot know it"),
        (advance(sent(), fill(4)), Rejected(ID, AT, "X"), "was rejected after 4 shares were filled"),
        (sent(), Accepted("bw-2", AT), "an event of bw-2 is none of order bw-1"),
    ],
)
def test_what_cannot_be_true_is_refused(progress: Progress, event: BrokerEvent, words: str) -> None:
    with pytest.raises(WrongMove, match=words):
        advance(progress, event)


def test_every_state_is_of_one_kind_and_has_its_moves() -> None:
    kinds = [*UNSENT, *AT_BROKER, *OVER]
    assert sorted(kinds) == sorted(MOVES)
    assert all(after in MOVES for moves in MOVES.values() for after in moves)


events = st.one_of(
    st.just(Accepted(ID, AT, "D")),
    st.builds(fill, st.integers(1, 5), st.sampled_from(["a", "b", "c", "d"])),
    st.builds(Ended, st.just(ID), st.just(AT), st.sampled_from(["cancelled", "expired"])),
    st.just(Rejected(ID, AT, "NO")),
)


@given(st.lists(events, max_size=8))
def test_whatever_is_reported_the_shares_add_up_and_nothing_ends_twice(reported: list[BrokerEvent]) -> None:
    progress = sent()
    for event in reported:
        try:
            after = advance(progress, event)
        except WrongMove:
            continue
        assert 0 <= after.filled <= after.quantity
        assert after.filled >= progress.filled
        assert after.leaves + after.filled <= after.quantity
        assert not progress.over or after.over
        assert after.state != "rejected" or after.filled == 0
        assert advance(after, event) == after
        progress = after


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reference": "x" * 31}, "reference: "),
        ({"reference": "a.b"}, "must be 1 to 30 characters"),
        ({"quantity": Decimal("1.5")}, "quantity: 1.5 must be a whole number"),
        ({"quantity": Decimal(0)}, "at least 1"),
        ({"deadline": AT.replace(tzinfo=None)}, "needs a time zone"),
    ],
)
def test_an_order_that_no_broker_takes_is_refused(changes: dict[str, object], words: str) -> None:
    values: dict[str, object] = {
        "reference": ID,
        "symbol": "CBA.AX",
        "side": "BUY",
        "quantity": Decimal(5),
        "session": date(2026, 12, 1),
        "deadline": AT,
    }
    with pytest.raises(ValueError, match=words):
        NewOrder(**{**values, **changes})  # type: ignore[arg-type]
