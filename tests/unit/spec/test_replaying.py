"""Of a declaration what decides is replayed over the span; what is varied has to decide something."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether.spec.replaying import Refused, Span, all_variants, problem_of, replay_document, source_of
from bellwether.spec.trading_replay import TradingReplaySpec
from bellwether.spec.validate import validate
from bellwether.spec.vary import Change

SPAN = Span("2024-01-02", "2024-06-28")
LIVE: dict[str, Any] = {
    "metadata": {"name": "banks", "uid": "u"},
    "spec": {
        "symbols": ["CBA.AX", "ANZ.AX"],
        "profile": "standard",
        "data": {"provider": "yahoo"},
        "sentiment": {"provider": "yahoo"},
        "training": {"gate": {"mode": "enforce"}, "job": {"parallelism": 2}},
        "trading": {
            "mode": "ig-demo",
            "halted": True,
            "brokerSecretRef": {"name": "ig"},
            "ig": {"exclusiveAccount": True},
            "instruments": {"CBA.AX": {"epic": "AA.D.CBA.CASH.IP"}, "ANZ.AX": {"epic": "AA.D.ANZ.CASH.IP"}},
        },
        "notifications": [{"name": "desk", "url": "https://hooks.example/x"}],
    },
}


def test_a_live_system_becomes_a_replay_on_paper_with_its_bars_from_files() -> None:
    found = replay_document(LIVE, SPAN)
    assert validate(found) == []
    spec = found["spec"]
    assert spec["clock"] == {"mode": "replay", "from": "2024-01-02", "to": "2024-06-28", "pace": "0s"}
    assert spec["data"]["provider"] == "csv"
    assert spec["data"]["csv"]["directory"] == "bars"
    assert (spec["trading"]["mode"], spec["trading"]["halted"]) == ("simulated", False)
    assert "brokerSecretRef" not in spec["trading"]
    assert spec["training"]["gate"]["mode"] == "enforce"
    assert spec["sentiment"]["provider"] == "none"
    assert (source_of(LIVE), LIVE["spec"]["trading"]["halted"]) == ("system", True)


def test_a_replay_system_keeps_its_recorded_bars() -> None:
    recorded = {"metadata": {"name": "r"}, "spec": {"symbols": ["IBM"], "data": {"provider": "replay"}}}
    recorded["spec"]["market"] = {"calendar": "XNYS"}  # type: ignore[index]
    found = replay_document(recorded, Span("2009-01-02"))
    assert validate(found) == []
    assert found["spec"]["data"]["provider"] == "replay"
    assert source_of(recorded) == "image"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("storage.size", "2Gi"), "spec.vary storage.size: storage decides nothing; data, market"),
        (Change("spec.clock.to", "2024-01-01"), "clock decides nothing"),
        (Change("trading.sizing.value", "much"), 'spec.trading.sizing.value: "much" is not right'),
        (Change("trading.sizng", "1"), "spec.vary: spec.trading has no field sizng"),
        (Change("symbols", "[]"), "spec.symbols"),
    ],
)
def test_a_variation_that_cannot_be_is_refused_by_field_value_and_what_is_right(change: Change, words: str) -> None:
    with pytest.raises(Refused) as refused:
        replay_document(LIVE, SPAN, (change,))
    assert words in str(refused.value)
    assert problem_of(LIVE, SPAN, [(), (change,)]) == str(refused.value)


def test_too_many_variants_are_refused_before_anything_is_made() -> None:
    vary = [{"path": path, "values": [str(n) for n in range(10)]} for path in ("quality.minScore", "symbols")]
    spec = TradingReplaySpec.model_validate({"system": "banks", "from": "2024-01-02", "vary": vary})
    with pytest.raises(Refused, match="100 combinations and the unchanged declaration: at most 20"):
        all_variants(spec)
