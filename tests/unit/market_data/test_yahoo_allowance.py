"""No more requests than declared in any minute, and none after a refusal until a growing pause is over."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from bellwether.market_data.yahoo.due import Allowance, Hold, held

NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)


def test_no_minute_has_more_requests_than_declared() -> None:
    allowance, now, spent = Allowance(60), 0.0, []
    for _ in range(500):
        now += allowance.wait(now, 2)
        allowance.spend(now, 2)
        spent += [now] * 2
        now += random.Random(len(spent)).random()
    assert max(sum(1 for at in spent if end - 59.999 < at <= end) for end in spent) <= 60


def test_requests_that_were_not_foreseen_are_waited_for_afterwards() -> None:
    allowance = Allowance(10)
    allowance.spend(0.0, 14)
    assert allowance.wait(1.0, 2) == 59.0
    assert allowance.used(1.0) == 14
    assert allowance.wait(60.0, 2) == 0.0


def test_each_refusal_in_a_row_holds_twice_as_long_up_to_two_hours() -> None:
    hold: Hold | None = None
    lengths = []
    for _ in range(8):
        hold = held(hold, NOW, "429", 0.5, limited=True)
        lengths.append((hold.until - NOW) // timedelta(minutes=1))
    assert lengths == [5, 10, 20, 40, 80, 120, 120, 120]
    assert hold is not None
    assert hold.reason == "429; Yahoo is asked for nothing until 07:00:00 UTC"


def test_a_hold_is_longer_or_shorter_by_up_to_a_quarter_so_that_systems_do_not_return_together() -> None:
    lengths = [held(None, NOW, "", chance, limited=True).until - NOW for chance in (0.0, 1.0)]
    assert lengths == [timedelta(minutes=3.75), timedelta(minutes=6.25)]
    assert held(None, NOW, "", 0.5, limited=False).until - NOW == timedelta(seconds=30)
