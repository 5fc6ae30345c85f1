from __future__ import annotations

from dataclasses import replace

from soak.evidence import Evidence, differences
from soak.report import Part, Trial, line, page
from soak.victim import Strikes

RIGHT = Evidence({"a": "1", "b": "2"}, {"000001": "filled"}, {}, {}, {}, {})


def test_equal_replays_differ_in_nothing() -> None:
    assert differences(RIGHT, replace(RIGHT)) == []


def test_what_differs_is_named_and_many_differences_are_counted() -> None:
    found = replace(RIGHT, decisions={"a": "9", "c": "3"}, ledger={})
    assert differences(RIGHT, found) == [
        "decisions: b is missing",
        "decisions: c should not be there: 3",
        "decisions: a is 9, not 1",
        "ledger: 000001 is missing",
    ]
    many = replace(RIGHT, outcomes={str(number): "" for number in range(10)})
    assert differences(many, RIGHT)[-1] == "outcomes: and 7 more"


def test_strikes_come_at_the_points_that_the_gaps_count_to() -> None:
    hit: list[str] = []
    strikes = Strikes([2, 3], hit.append)
    for number in range(1, 10):
        strikes.reach(str(number))
    assert hit == ["2", "5"]


def test_the_page_says_what_was_wanted_what_was_done_and_what_was_found() -> None:
    good = Part("nats", 2, [Trial(1, "nats", ["before a call", "after a call"], [])])
    bad = Part("process", 5, [Trial(7, "process", ["before a call"], ["decisions: b is missing"])])
    text = page([good, bad], days="two days", machine="a machine", command="python -m soak", minutes=3.2)
    assert "| nats-server killed | 2 | 1 | 0 |" in text
    assert "| the process of the services killed | 1 of 5 wanted: the time was over | 1 | 1 |" in text
    assert "- the process of the services killed, seed 7: decisions: b is missing" in text
    assert "| before a call | 1 | 1 |" in text
    assert line(good) == "nats-server killed: 2 of 2 kills in 1 replays, no violation"
