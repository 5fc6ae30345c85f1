"""What a decision came from, in words."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from bellwether.gateway.lineage import lineage
from bellwether.gateway.problems import Problem
from bellwether.messages.market_data import Bars
from bellwether.messages.models import ProbabilityParts
from bellwether.messages.prediction import DecisionOutcome, DecisionRecord
from bellwether.messages.trading import Explanation
from unit.gateway.samples import CANONICAL, PARTS, REFUSAL, order, prediction

ORDER = Explanation("AAPL", "p-AAPL", "order", order(), [], ["HALTED"])
SAME = Bars("AAPL", [], "34" * 32)


def reported(name: str, **changed: Any) -> str:
    canonical = {**CANONICAL, "inputs": {**CANONICAL["inputs"], **changed.pop("inputs", {})}}
    made = prediction(**changed.pop("made", {}))
    record = DecisionRecord(made, canonical, "12" * 32, changed.pop("outcome", None))
    values: dict[str, Any] = {"bars": SAME, "parts": PARTS, "explanation": ORDER}
    found = lineage(record, **(values | changed))
    return next(step.says for step in found.steps if step.name == name)


def test_bars_are_named_by_version_and_a_restatement_since_is_said() -> None:
    assert "version 343434343434 (still the newest version)" in reported("bars")
    assert "restated since: today's version is 565656565656" in reported("bars", bars=Bars("AAPL", [], "56" * 32))
    assert "from IBM 787878787878" in reported("bars", inputs={"basket": {"IBM": "78" * 32}})
    gone = {"bars_revision": None, "market": None, "missing": {"market_data": "NO_BARS"}}
    assert reported("bars", inputs=gone, bars=None) == "none: NO_BARS"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (PARTS, "return_1 0.0123 (+0.1228): exact shares of the log odds"),
        (ProbabilityParts("replaced", 0.3, 0.2, PARTS.parts, 0.4), "with the training median in its place"),
        (ProbabilityParts("exact", 0.3, 0.3, [], 0.4), "none moved the probability"),
        (ProbabilityParts("unknown", 0.3, 0.3, [], None), "an earlier release made the model"),
        (Problem(404, "MODEL_NOT_FOUND", "it is gone"), "is not known: it is gone"),
        (None, "no model was asked"),
    ],
)
def test_what_moved_the_probability_says_how_that_was_found(parts: Any, words: str) -> None:
    assert words in reported("features", parts=parts)


def test_inputs_unlike_the_training_rows_are_said_to_be() -> None:
    assert "inputs are like its training rows (0.40" in reported("model")
    assert "inputs are UNLIKE" in reported("model", parts=msgspec.structs.replace(PARTS, novelty=1.3))


def test_news_guards_order_and_outcome_are_reported() -> None:
    assert "it moved the log odds by -0.3780 (weight 0.75, of 1200 outcomes)" in reported("news")
    assert reported("news", inputs={"news": None, "missing": {"sentiment": "NOT_SERVED"}}) == "none: NOT_SERVED"
    assert reported("guards") == "passed HALTED"
    refused = Explanation("AAPL", "p-AAPL", "refused", None, [REFUSAL], [])
    assert reported("guards", explanation=refused) == "POSITION_VALUE_EXCEEDED: value 26000, limit 25000"
    assert reported("order") == "BUY 110 for 2009-01-05: filled at 93.22"
    assert reported("outcome") == "not known yet"
    settled = DecisionOutcome(date(2009, 1, 9), rose=False)
    assert reported("outcome", outcome=settled).endswith(": BUY was wrong")
    assert "SELL was right" in reported("outcome", outcome=settled, made={"action": "SELL"})
    assert reported("outcome", outcome=settled, made={"action": "HOLD"}).startswith(
        "the close of 2009-01-09 was not higher"
    )
