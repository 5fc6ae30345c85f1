"""News from (the stand-in for) Yahoo, through yfinance in market-data's child, on good days and odd ones."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.market_data import service as market_data
from bellwether.market_data.yahoo import bars, door
from bellwether.messages.sentiment import AnalyzeSentiment, SymbolSentiment
from bellwether.runtime.errors import RpcError
from bellwether.sentiment.service import create as sentiment
from bellwether.spec.models import TradingSystem
from harness.clock import Present
from harness.system import System, running
from harness.yahoo import Article, StandIn, standing_in
from harness.yahoo.asked import market_data_of

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 24, 22, tzinfo=UTC)
"""Wednesday morning in Sydney."""
HOUR = timedelta(hours=1)
BAD = Article("Commonwealth Bank plunges on fraud probe", NOW - HOUR, "CBA.AX", "Wire")
OTHER = Article("Copper slumps", NOW - HOUR, "CBA.AX")
BOTH = Article("ANZ and CommBank open new branches", NOW - 2 * HOUR)


@dataclass
class Both:
    """market-data and sentiment, the stand-in, and the clock."""

    system: System
    yahoo: StandIn
    clock: Present
    market: market_data.MarketDataService

    async def at(self, instant: datetime) -> None:
        """Move the clock, and have Yahoo asked for what is due then."""
        self.clock.instant = instant
        await self.market.ask_due()
        await self.market.ask_news_due()

    async def about(self, symbol: str, as_of: datetime | None = None) -> SymbolSentiment:
        found: SymbolSentiment = await self.system.call(
            "sentiment",
            "analyze_sentiment",
            AnalyzeSentiment(symbol),
            SymbolSentiment,
            as_of=as_of or self.clock.instant,
        )
        return found

    async def health(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.system.call("sentiment", "health", {}, dict)
        return found


@contextlib.asynccontextmanager
async def running_both(folder: Path, *symbols: str, **data: Any) -> AsyncIterator[Both]:
    clock = Present(NOW)
    spec: dict[str, Any] = {
        "symbols": list(symbols),
        "data": {"provider": "csv", "csv": {"directory": str(folder)}, **data},
        "sentiment": {"provider": "yahoo"},
    }
    declared = TradingSystem.model_validate({"metadata": {"name": "news", "generation": 1}, "spec": spec})
    async with standing_in(folder / "yahoo", {}, now=clock.now) as yahoo:
        build, made = market_data_of(yahoo)
        builds = {"market-data": build, "sentiment": sentiment}
        async with running(builds, data_dir=folder / "data", declaration=declared, clock=clock) as system:
            yield Both(system, yahoo, clock, made[0])


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    async with running_both(tmp_path, "CBA.AX", "ANZ.AX") as found:
        yield found


async def test_news_of_yahoo_counts_from_when_it_was_first_fetched(both: Both) -> None:
    with pytest.raises(RpcError, match="its news was not fetched from Yahoo yet"):
        await both.about("CBA.AX")
    both.yahoo.articles = [BAD, OTHER, BOTH]
    await both.at(NOW)
    assert both.yahoo.requests() == 4, "cookie, crumb, and one request for each symbol"

    cba = await both.about("CBA.AX")
    assert [(one.title, one.source) for one in cba.headlines] == [(BAD.title, "Wire"), (BOTH.title, "Made Up News")]
    assert {(one.published, one.available_at) for one in cba.headlines} == {(NOW - HOUR, NOW), (NOW - 2 * HOUR, NOW)}
    assert cba.sentiment_score is not None
    assert cba.sentiment_score < -0.2
    assert [one.title for one in (await both.about("ANZ.AX")).headlines] == [BOTH.title]
    assert (await both.about("CBA.AX", NOW - timedelta(seconds=1))).reason == "NO_NEWS"
    health = await both.health()
    assert (health["headlines_read"], health["about_other_firms"]) == (3, 1)

    await both.at(NOW + timedelta(minutes=14))
    assert both.yahoo.requests("news") == 2
    both.yahoo.articles = [replace(BAD, title="CommBank profit soars", published=NOW + HOUR), *both.yahoo.articles]
    await both.at(NOW + timedelta(minutes=15))
    assert both.yahoo.requests("news") == 4
    cba = await both.about("CBA.AX")
    assert {one.available_at for one in cba.headlines} == {NOW}, "read again, or from the future"
    assert len((await both.about("CBA.AX", NOW + HOUR)).headlines) == 3


ODD = {
    "limited": "Yahoo answers 429: too many requests; Yahoo is asked for nothing until",
    "null": "Yahoo's answer is empty or of another shape than before (AttributeError",
    "renamed": "Yahoo's news is of another shape than before: of 1 articles none has a title",
}


@pytest.mark.parametrize("odd", ODD)
async def test_odd_answers_are_reported_and_what_was_read_before_still_counts(both: Both, odd: str) -> None:
    both.yahoo.articles = [BAD]
    await both.at(NOW)
    both.yahoo.set(news=odd)
    await both.at(NOW + HOUR)
    assert [one.title for one in (await both.about("CBA.AX")).headlines] == [BAD.title]
    with pytest.raises(RpcError) as reported:
        await both.about("ANZ.AX")
    assert reported.value.code == "NEWS_UNAVAILABLE"
    assert ODD[odd] in str(reported.value)
    health = await both.health()
    assert health["status"] == "degraded"
    both.yahoo.log.clear()
    await both.at(NOW + HOUR + timedelta(seconds=10))
    assert both.yahoo.log == [], "it was asked again without a pause"

    both.yahoo.reset()
    both.yahoo.articles = [BAD, BOTH]
    await both.at(NOW + 4 * HOUR)
    assert [one.title for one in (await both.about("ANZ.AX")).headlines] == [BOTH.title]
    await both.about("CBA.AX")
    assert (await both.health())["status"] == "healthy"


async def test_no_articles_is_no_news_and_odd_ones_among_good_ones_are_passed_over(both: Both) -> None:
    both.yahoo.set(news="empty")
    await both.at(NOW)
    assert (await both.about("CBA.AX")).reason == "NO_NEWS"
    both.yahoo.set(news="odd")
    both.yahoo.articles = [BAD, replace(BAD, title="<script>x</script><b>CBA</b>\x1b falls", source="<i>Wire</i>")]
    await both.at(NOW + HOUR)
    found = await both.about("CBA.AX")
    assert {(one.title, one.source) for one in found.headlines} == {(BAD.title, "Wire"), ("CBA falls", "Wire")}


async def test_bars_and_news_share_one_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bars, door):
        # However slow this machine is, all of it is one minute.
        monkeypatch.setattr(module, "monotonic", lambda: 0.0)
    yahoo = {"requestsPerMinute": 10, "historyYears": 1}
    symbols = ["CBA.AX", "ANZ.AX", "NAB.AX", "WBC.AX"]
    async with running_both(tmp_path, *symbols, provider="yahoo", yahoo=yahoo) as both:
        both.yahoo.set(delisted=True)
        await both.market.ask_news_due()
        assert both.yahoo.requests("news") == 4
        assert both.yahoo.requests() == 6
        both.clock.instant = NOW + HOUR
        await both.market.ask_news_due()
        # The room that is left in this minute: the crumb and three symbols; the cookie was kept.
        assert both.yahoo.requests("news") == 7
        source = both.market._source
        assert source is not None
        assert source[1].describe()["requests_last_minute"] == 10  # type: ignore[attr-defined]
        await both.market.ask_news_due()
        assert both.yahoo.requests() == 10


async def test_after_a_429_on_news_bars_are_not_asked_for_either(tmp_path: Path) -> None:
    async with running_both(tmp_path, "CBA.AX", provider="yahoo", yahoo={"historyYears": 1}) as both:
        both.yahoo.set(news="limited")
        await both.at(NOW)
        assert both.yahoo.requests("news") >= 1
        both.yahoo.log.clear()
        await both.at(NOW + timedelta(minutes=3))
        assert both.yahoo.log == []
