from __future__ import annotations

from dataclasses import replace

from bellwether.local.summary import OpenPosition, ReplaySum, shares_of, sum_lines

SUM = ReplaySum(
    sessions=47,
    first_session="2017-01-03",
    last_session="2017-03-10",
    decisions=376,
    orders=27,
    filled=24,
    commission="338.02",
    equity="100040.58",
    initial_cash="100000",
    currency="USD",
    total_return=0.0004,
    buy_and_hold_return=None,
    ledger_violations=[],
    seconds=2.0,
    decisions_per_second=188.0,
    actions=shares_of({"BUY": 1, "SELL": 3}),
)


def test_the_share_of_each_action_stands_in_the_sum() -> None:
    assert SUM.actions == {"STRONG_BUY": 0.0, "BUY": 0.25, "HOLD": 0.0, "SELL": 0.75, "STRONG_SELL": 0.0}
    assert "decisions   376: STRONG_BUY 0%, BUY 25%, HOLD 0%, SELL 75%, STRONG_SELL 0%" in sum_lines(SUM)
    assert shares_of({}) == {}
    assert SUM.whole


def test_positions_that_stay_open_since_their_bars_end_early_are_named() -> None:
    ended = replace(
        SUM,
        cancelled=3,
        open_positions=[OpenPosition("KO", "120", "5040.00", "2017-01-31", 3)],
        bars_end={"JPM": "2017-01-31", "KO": "2017-01-31"},
    )
    lines = sum_lines(ended)
    assert "orders      27, 24 filled, 0 refused, 3 cancelled, commission 338.02" in lines
    assert "open        KO 120 (worth 5,040.00)" in lines
    assert "bars end    JPM on 2017-01-31, before the replay does" in lines
    words = "120 shares stay open at their last price, 3 orders were cancelled"
    assert f"bars end    KO on 2017-01-31, before the replay does: {words}" in lines
    assert ended.whole


def test_what_was_left_out_or_failed_is_reported_and_the_replay_is_not_whole() -> None:
    missing = replace(SUM, without={"XOM": "XOM.csv does not exist"})
    assert "without     XOM: XOM.csv does not exist" in sum_lines(missing)
    failed = replace(SUM, slots_failed=2, first_failed="morning_analysis-20170103: PREDICTIONS_FAILED: none")
    assert "failed      2 slots had no effect; the first: morning_analysis-20170103: PREDICTIONS_FAILED: none" in (
        sum_lines(failed)
    )
    for one in (missing, failed, replace(SUM, ledger_violations=["cash is -1, below zero"])):
        assert not one.whole
