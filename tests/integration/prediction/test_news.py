"""Decisions with news: real services over recorded bars, and headlines in a file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.messages.prediction import Prediction, ReplayDecision, ReplayedDecision
from bellwether.messages.sentiment import AnalyzeSentiment, SymbolSentiment
from bellwether.runtime.errors import RpcError
from bellwether.trading.events import Refused
from bellwether.trading.placing import place
from bellwether.trading.rules import rules_of
from bellwether.trading.situation import Circumstances
from harness.replayed import declared, replayed
from harness.system import System
from integration.prediction.test_slice import BEFORE_OPEN, batch, records
from unit.trading.making import account

pytestmark = pytest.mark.integration

BAD = "2009-01-05T09:00:00Z,Wire,Microsoft plunges as fraud probe widens,"
LATER = "2009-01-05T15:00:00Z,Wire,Microsoft soars on record profit,"
OTHER = "2009-01-05T09:00:00Z,Wire,Copper slumps,"


def write(file: Path, *rows: str) -> None:
    file.write_text("\n".join(["published,source,title,symbol", *rows]) + "\n")


def with_news(file: Path, **more: Any) -> Any:
    return declared(
        trading={"mode": "simulated", "currency": "USD"},
        sentiment={"provider": "csv", "csv": {"file": str(file)}, **more},
    )


async def ask(system: System, symbol: str, **more: Any) -> SymbolSentiment:
    found: SymbolSentiment = await system.call(
        "sentiment", "analyze_sentiment", AnalyzeSentiment(symbol), SymbolSentiment, **{"as_of": BEFORE_OPEN, **more}
    )
    return found


def bought(prediction: Prediction, declaration: Any) -> Any:
    """Return what the trader makes of a prediction, were it a BUY."""
    wish = msgspec.structs.replace(prediction, action="BUY")
    circumstances = Circumstances(rules_of(declaration.spec), (), BEFORE_OPEN)
    return place(wish, "", account(), circumstances)


async def test_bad_news_stops_one_order_and_decisions_are_equal_after_more_news_came(
    tmp_path: Path, trained: Path
) -> None:
    file = tmp_path / "news.csv"
    write(file, BAD, LATER, OTHER)
    declaration = with_news(file)
    async with replayed(tmp_path / "data", trained, declaration=declaration) as system:
        made = (await batch(system)).predictions
        msft, ibm = made["MSFT"], made["IBM"]
        assert msft.fallbacks == []
        assert [one.title for one in msft.bad_news] == ["Microsoft plunges as fraud probe widens"]
        assert (ibm.sentiment_data_available, ibm.fallbacks) == (False, ["sentiment"])

        stopped = bought(msft, declaration)
        (refusal,) = stopped.events
        assert isinstance(refusal, Refused)
        assert refusal.code == "NEWS_VETO"
        assert refusal.value.startswith('"Microsoft plunges as fraud probe widens" (Wire, 2009-01-05 09:00Z)')
        assert bought(ibm, declaration).outcome == "order"
        off = with_news(file, veto={"enabled": False})
        assert bought(msft, off).outcome == "order"

        before = {name: record.sha256 for name, record in (await records(system)).items()}
        write(file, BAD, LATER, OTHER, "2009-01-05T10:00:00Z,Paper,Microsoft beats forecasts,")
        assert len((await ask(system, "MSFT")).headlines) == 2
        for name in before:
            again = await system.call("prediction", "replay_decision", ReplayDecision(name), ReplayedDecision)
            assert (again.outcome, again.differences) == ("equal", [])
        assert {name: record.sha256 for name, record in (await records(system)).items()} == before


async def test_a_file_is_read_again_when_it_changes_and_one_that_cannot_be_read_is_reported(
    tmp_path: Path, trained: Path
) -> None:
    file = tmp_path / "news.csv"
    write(file, "yesterday,Wire,Microsoft,", BAD, OTHER)
    async with replayed(tmp_path / "data", trained, declaration=with_news(file)) as system:
        assert (await ask(system, "MSFT")).news_confidence > 0.5
        assert (await ask(system, "MSFT", as_of=BEFORE_OPEN - timedelta(days=1))).reason == "NO_NEWS"
        assert (await ask(system, "GOOG")).reason == "NO_NEWS"
        health = await system.call("sentiment", "health")
        assert (health["headlines_read"], health["about_other_firms"]) == (2, 1)
        assert "published is 'yesterday'" in health["rows_left_out"][0]
        file.unlink()
        with pytest.raises(RpcError, match=r"news\.csv"):
            await ask(system, "GOOG")
        health = await system.call("sentiment", "health")
        assert health["status"] == "degraded"
        made = (await batch(system)).predictions["GOOG"]
        assert made.fallbacks == ["sentiment"]
        assert made.may_trade


async def test_without_a_provider_nobody_is_asked_for_news(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        await batch(system)
        assert (await ask(system, "MSFT")).reason == "NO_PROVIDER"
        for record in (await records(system)).values():
            assert record.canonical["inputs"]["missing"] == {"sentiment": "NOT_SERVED"}
            assert "news" not in record.canonical["inputs"]
