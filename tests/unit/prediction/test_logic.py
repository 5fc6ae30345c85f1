from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.messages.models import Probability
from bellwether.messages.prediction import Action, Prediction
from bellwether.messages.sentiment import Headline
from bellwether.prediction.logic import (
    Inputs,
    Market,
    News,
    Quality,
    action_of,
    buy_rate,
    canonical_record,
    decide,
    decision_id,
    differences,
    in_turn,
    prediction_of,
)

AS_OF = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
MARKET = Market(90.75, 55.0, 60.0, 0.1, 1.0, "NEUTRAL", 0.5, 0.125, date(2009, 1, 2), "r")
MODEL = Probability(0.625, 0.25, "direction-lr", "v", 5)
INPUTS = Inputs(
    symbol="AAPL",
    as_of=AS_OF,
    slot="prediction_generation-20090105",
    target_session=date(2009, 1, 5),
    valid_until=datetime(2009, 1, 5, 21, tzinfo=UTC),
    trade_asked=True,
    model_name="direction-lr",
    market=MARKET,
    stale_sessions=0,
    bars_revision="b",
    features={"return_1": 0.01},
    model=MODEL,
    quality=Quality(95.0, ["missing_sessions"], "b"),
    missing={"sentiment": "NOT_SERVED"},
)


def given_inputs(**changes: Any) -> Inputs:
    return msgspec.structs.replace(INPUTS, **changes)


@pytest.mark.parametrize(
    ("probability", "action"),
    [
        (0.75, "STRONG_BUY"),
        (0.74, "BUY"),
        (0.625, "BUY"),
        (0.62, "HOLD"),
        (0.5, "HOLD"),
        (0.38, "HOLD"),
        (0.375, "SELL"),
        (0.26, "SELL"),
        (0.25, "STRONG_SELL"),
    ],
)
def test_action_by_distance_from_the_base_rate(probability: float, action: Action) -> None:
    assert action_of(probability, 0.5, 0.125) == action


def test_no_margin_and_no_distance_is_hold() -> None:
    assert action_of(0.5, 0.5, 0.0) == "HOLD"


@given(st.integers(0, 64), st.integers(1, 16))
def test_actions_mirror_around_the_base_rate(distance: int, margin: int) -> None:
    mirrored = {"STRONG_BUY": "STRONG_SELL", "BUY": "SELL", "HOLD": "HOLD"}
    up = action_of(0.5 + distance / 128, 0.5, margin / 128)
    assert action_of(0.5 - distance / 128, 0.5, margin / 128) == mirrored[up]


def test_a_real_price_and_a_model_may_trade_without_sentiment() -> None:
    found = decide(INPUTS)
    assert (found.action, found.may_trade, found.fallbacks) == ("BUY", True, ["sentiment"])
    assert found.buy_threshold == 0.625


@pytest.mark.parametrize(
    ("changes", "fallback"),
    [
        ({"market": None, "model": None, "features": {}}, "market_data"),
        ({"model": None}, "model"),
        ({"stale_sessions": 1}, "market_data_stale"),
    ],
)
def test_what_is_missing_is_flagged_and_never_trades(changes: dict[str, Any], fallback: str) -> None:
    found = decide(given_inputs(**changes))
    assert fallback in found.fallbacks
    assert not found.may_trade


def test_without_market_data_price_is_zero_and_a_buy_would_need_seventy_percent() -> None:
    found = decide(given_inputs(market=None, model=None, features={}))
    assert (found.action, found.current_price, found.buy_threshold) == ("HOLD", 0.0, 0.7)


def test_a_price_of_zero_never_trades() -> None:
    assert not decide(given_inputs(market=msgspec.structs.replace(MARKET, current_price=0.0))).may_trade


def test_what_was_made_for_looking_at_never_trades() -> None:
    found = decide(given_inputs(trade_asked=False))
    assert not found.may_trade
    assert "made for looking at: it may not trade" in found.reasons


def test_the_record_is_the_same_bytes_each_time_and_names_no_run() -> None:
    first = canonical_record(INPUTS, decide(INPUTS), "1")
    assert first == canonical_record(given_inputs(), decide(given_inputs()), "1")
    assert hashlib.sha256(first).hexdigest() == "56838aec125277f81a3e11850376847bf199ffe18192f8c133248d63402ebadb"
    assert b"run" not in first
    assert b"trace" not in first


def test_ids_are_functions_of_slot_or_instant_and_symbol() -> None:
    assert decision_id("morning_analysis-20090105", AS_OF, "CBA.AX") == "morning_analysis-20090105-cba-ax"
    assert decision_id(None, AS_OF, "AAPL") == "at-20090105T141500000000-aapl"


def test_symbols_with_the_same_token_have_different_ids() -> None:
    assert decision_id("s", AS_OF, "BRK.B") != decision_id("s", AS_OF, "BRK-B")
    assert decision_id("s", AS_OF, "^GSPC") != decision_id("s", AS_OF, "GSPC")


def test_a_prediction_shows_what_was_decided() -> None:
    found = prediction_of("id", INPUTS, decide(INPUTS), "t")
    assert (found.action, found.probability, found.model_version, found.bar_session) == (
        "BUY",
        0.625,
        "v",
        date(2009, 1, 2),
    )
    assert found.market_data_available
    assert not found.sentiment_data_available


def test_the_buy_rate_is_in_percent() -> None:
    assert buy_rate(["BUY", "STRONG_BUY", "HOLD", "SELL"]) == (50.0, 2)
    assert buy_rate([]) == (0.0, 0)


def test_differences_name_the_keys_and_the_largest_number() -> None:
    stored = {"a": 1.0, "b": {"c": 2.0, "d": "x"}}
    assert differences(stored, stored) == ([], 0.0)
    found, largest = differences(stored, {"a": 1.5, "b": {"c": 2.0, "d": "x"}})
    assert (found, largest) == (["a"], 0.5)
    assert differences(stored, {"a": 1.0, "b": {"c": 2.0, "d": "y"}}) == (["b.d"], float("inf"))


def test_a_probability_is_compared_with_the_base_rate_of_the_sessions_it_was_calibrated_by() -> None:
    """All history says one thing, the model's own window another: the window's counts."""
    assert INPUTS.market is not None
    for own, action in ((MODEL.probability, "HOLD"), (0.1, "STRONG_BUY"), (0.9, "STRONG_SELL")):
        made = decide(given_inputs(model=msgspec.structs.replace(MODEL, base_rate=own)))
        assert (made.action, made.base_rate) == (action, own)
    assert decide(given_inputs()).base_rate == INPUTS.market.base_rate


def test_a_batch_is_published_strongest_first_and_among_equals_by_symbol() -> None:
    def made(symbol: str, probability: float) -> Prediction:
        shown = prediction_of(symbol, INPUTS, decide(INPUTS), "0")
        return msgspec.structs.replace(shown, symbol=symbol, probability=probability, base_rate=0.5)

    found = {symbol: made(symbol, p) for symbol, p in (("A", 0.51), ("B", 0.6), ("C", 0.4), ("D", 0.51), ("E", 0.3))}
    assert in_turn(found) == ["E", "B", "C", "A", "D"]


BAD = [Headline(str(number), f"title {number}", "Wire", AS_OF, AS_OF, -0.1 * number) for number in range(8)]


def test_news_is_no_fallback_and_goes_to_the_guards_with_its_negative_headlines() -> None:
    inputs = given_inputs(news=News(-0.6, 0.7, 0.8, 8, BAD), missing={})
    outcome = decide(inputs)
    assert outcome.fallbacks == []
    assert "news -0.6 of 8 headlines, confidence 0.7" in outcome.reasons
    made = prediction_of("id", inputs, outcome, "")
    assert made.sentiment_data_available
    assert (made.sentiment_score, made.news_confidence, made.news_quality_score) == (-0.6, 0.7, 0.8)
    assert [one.title for one in made.bad_news] == [f"title {number}" for number in (1, 2, 3, 4, 5)]


def test_without_news_the_values_are_neutral_and_flagged() -> None:
    made = prediction_of("id", INPUTS, decide(INPUTS), "")
    assert (made.sentiment_score, made.news_confidence, made.news_quality_score) == (0.0, 0.5, 0.5)
    assert (made.sentiment_data_available, made.fallbacks, made.bad_news) == (False, ["sentiment"], [])


def test_news_is_part_of_the_record_and_a_record_without_news_has_no_word_of_it() -> None:
    inputs = given_inputs(news=News(-0.6, 0.7, 0.8, 8, BAD))
    assert b'"title 7"' in canonical_record(inputs, decide(inputs), "v")
    assert b"news" not in canonical_record(INPUTS, decide(INPUTS), "v")
