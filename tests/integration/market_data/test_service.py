from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.market.sessions import load_calendar
from bellwether.market_data.service import create
from bellwether.messages.market_data import (
    Bars,
    CorporateActions,
    Coverage,
    Freshness,
    GetBars,
    GetCorporateActions,
    GetCoverage,
    GetMarketData,
    GetOpeningPrices,
    GetWindows,
    MarketData,
    OpeningPrices,
    PublishBars,
    PublishedBars,
    Window,
    Windows,
)
from bellwether.naming import DECLARATION_BUCKET, DECLARATION_KEY
from bellwether.runtime.clock import LiveClock
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.errors import RpcError
from bellwether.runtime.memory_bus import MemoryBus
from bellwether.spec.models import TradingSystem
from harness.replayed import declared, until
from harness.system import running
from harness.until import DEADLINE

pytestmark = pytest.mark.integration

AS_OF = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
BUILDS = {"market-data": create}
FIXTURES = Path(__file__).parents[2] / "fixtures" / "bars"


def from_csv(folder: Path, *symbols: str) -> TradingSystem:
    data = {"provider": "csv", "csv": {"directory": str(folder), "delay": "0s"}}
    return declared(symbols=list(symbols), data=data, market={"calendar": "XASX"}, clock={"mode": "live"})


async def test_bars_are_read_again_from_the_store_and_are_the_same(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        async with running(BUILDS, data_dir=tmp_path, declaration=declared()) as system:
            found.append(await system.call("market-data", "get_bars", GetBars("AAPL", 300), Bars, as_of=AS_OF))
    assert found[0] == found[1]
    assert found[0].bars[-1].session == date(2009, 1, 2)
    assert len(found[0].bars) == 300


async def test_coverage_opening_prices_and_actions(tmp_path: Path) -> None:
    async with running(BUILDS, data_dir=tmp_path, declaration=declared()) as system:
        coverage = await system.call("market-data", "get_coverage", GetCoverage(["GOOG", "TSLA"]), Coverage)
        assert coverage.first == {"GOOG": date(2004, 8, 19)}
        assert coverage.last == {"GOOG": date(2013, 3, 1)}
        assert coverage.errors == {"TSLA": "TSLA has no bars"}
        opening = datetime(2005, 2, 28, 14, 30, tzinfo=UTC)
        ask = GetOpeningPrices(date(2005, 2, 28), ["AAPL"])
        prices = await system.call("market-data", "get_opening_prices", ask, OpeningPrices, as_of=opening)
        assert prices.prices == {"AAPL": 44.68}
        actions = await system.call(
            "market-data",
            "get_corporate_actions",
            GetCorporateActions(date(2005, 2, 28), ["AAPL"]),
            CorporateActions,
            as_of=opening,
        )
        assert [(one.kind, one.ratio) for one in actions.actions] == [("split", 2.0)]


@pytest.mark.parametrize("content", ['2020-01-02,"1,2,1,2,2,5', "\0" * 99, "9" * 1_000_000, None])
async def test_whatever_one_file_holds_the_other_symbols_go_on(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "CBA.AX.csv").write_bytes((FIXTURES / "CBA.AX.csv").read_bytes())
    if content is None:
        (tmp_path / "BHP.AX.csv").mkdir()
    else:
        head = "Date,Open,High,Low,Close,Adj Close,Volume"
        (tmp_path / "BHP.AX.csv").write_text("\n".join([head, *[content] * 3]))
    now = datetime(2020, 1, 7, 9, tzinfo=UTC)
    declaration = from_csv(tmp_path, "CBA.AX", "BHP.AX")
    async with running(BUILDS, data_dir=tmp_path / "data", declaration=declaration) as system:
        freshness = await system.call("market-data", "get_freshness", {}, Freshness, as_of=now)
        assert [(one.symbol, one.fresh) for one in freshness.symbols] == [("CBA.AX", True), ("BHP.AX", False)]
        assert f"{tmp_path}/BHP.AX.csv" in freshness.symbols[1].problem
        assert content is None or "line 2" in freshness.symbols[1].problem


async def test_a_day_that_the_exchange_has_no_table_for_is_refused_in_words(tmp_path: Path) -> None:
    async with running(BUILDS, data_dir=tmp_path, declaration=declared(symbols=["IBM"])) as system:
        asked = {"session": "2126-11-29", "symbols": ["IBM"]}
        with pytest.raises(RpcError, match=r"OUTSIDE_CALENDAR: .*2126-11-29 is outside of it"):
            await system.call("market-data", "get_opening_prices", asked, as_of=AS_OF)
        assert (await system.call("market-data", "health"))["last_error"] is None


async def test_a_symbol_added_to_the_declaration_is_served_without_a_restart(tmp_path: Path) -> None:
    before = declared(symbols=["IBM"])
    async with running(BUILDS, data_dir=tmp_path, declaration=before) as system:
        with pytest.raises(RpcError, match="UNKNOWN_SYMBOL: MSFT is not declared; declared are IBM"):
            await system.call("market-data", "get_market_data", GetMarketData("MSFT"), MarketData, as_of=AS_OF)
        after = declared(symbols=["IBM", "MSFT"])
        after = after.model_copy(update={"metadata": after.metadata.model_copy(update={"generation": 2})})
        await system.context.bus.kv_put(DECLARATION_BUCKET, DECLARATION_KEY, encode_declaration(after))

        async def acknowledged() -> bool:
            health = await system.call("market-data", "health")
            return bool(health["generation"] == 2 and health["symbols"] == 2)

        await until(acknowledged, DEADLINE)
        found = await system.call("market-data", "get_market_data", GetMarketData("MSFT"), MarketData, as_of=AS_OF)
        assert found.technical.current_price == 20.33


async def test_windows_of_several_symbols_are_what_each_question_answers_alone(tmp_path: Path) -> None:
    async with running(BUILDS, data_dir=tmp_path, declaration=declared(symbols=["AAPL", "IBM"])) as system:
        ask = GetWindows(["AAPL", "IBM", "TSLA"], 120)
        found = (await system.call("market-data", "get_windows", ask, Windows, as_of=AS_OF)).symbols
        for symbol in ("AAPL", "IBM"):
            state = await system.call("market-data", "get_market_data", GetMarketData(symbol), MarketData, as_of=AS_OF)
            bars = await system.call("market-data", "get_bars", GetBars(symbol, 120), Bars, as_of=AS_OF)
            assert found[symbol] == Window(state, bars)
        assert (found["TSLA"].market, found["TSLA"].bars, found["TSLA"].code) == (None, None, "UNKNOWN_SYMBOL")
        bars_of_ibm = found["IBM"].bars
        assert bars_of_ibm is not None
        known = GetWindows(["IBM", "AAPL"], 120, {"IBM": bars_of_ibm.revision, "AAPL": "another"})
        again = (await system.call("market-data", "get_windows", known, Windows, as_of=AS_OF)).symbols
        assert again["IBM"] == Window(found["IBM"].market, Bars("IBM", [], bars_of_ibm.revision))
        assert again["AAPL"] == found["AAPL"]


async def test_a_symbol_with_too_few_bars_has_a_window_without_a_state(tmp_path: Path) -> None:
    declaration = from_csv(FIXTURES, "CBA.AX")
    async with running(BUILDS, data_dir=tmp_path, declaration=declaration) as system:
        at = datetime(2020, 1, 8, 0, 0, tzinfo=UTC)
        found = await system.call("market-data", "get_windows", GetWindows(["CBA.AX"], 120), Windows, as_of=at)
        window = found.symbols["CBA.AX"]
        assert (window.market, window.code) == (None, "NOT_ENOUGH_BARS")
        assert window.bars is not None
        assert [bar.close for bar in window.bars.bars] == [80.5, 81.2, 81.9]


async def test_a_file_of_bars_is_served_and_one_that_is_missing_is_reported(tmp_path: Path) -> None:
    declaration = from_csv(FIXTURES, "CBA.AX", "BHP.AX")
    async with running(BUILDS, data_dir=tmp_path, declaration=declaration) as system:
        at = datetime(2020, 1, 8, 0, 0, tzinfo=UTC)
        found = await system.call("market-data", "get_bars", GetBars("CBA.AX"), Bars, as_of=at)
        assert [bar.close for bar in found.bars] == [80.5, 81.2, 81.9]
        with pytest.raises(RpcError, match=r"SOURCE_UNAVAILABLE: .*BHP\.AX\.csv does not exist"):
            await system.call("market-data", "get_bars", GetBars("BHP.AX"), Bars, as_of=at)
        coverage = await system.call("market-data", "get_coverage", GetCoverage(), Coverage)
        assert "BHP.AX.csv does not exist" in coverage.errors["BHP.AX"]
        health = await system.call("market-data", "health")
        assert health["status"] == "degraded"
        freshness = await system.call("market-data", "get_freshness", None, Freshness, as_of=at)
        assert [(one.symbol, one.fresh) for one in freshness.symbols] == [("CBA.AX", True), ("BHP.AX", False)]
        assert "BHP.AX.csv does not exist" in freshness.symbols[1].problem


async def test_stored_bars_serve_on_when_their_file_has_gone(tmp_path: Path) -> None:
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "CBA.AX.csv").write_bytes((FIXTURES / "CBA.AX.csv").read_bytes())
    at = datetime(2020, 1, 8, 0, 0, tzinfo=UTC)
    for _ in range(2):
        async with running(BUILDS, data_dir=tmp_path, declaration=from_csv(folder, "CBA.AX")) as system:
            found = await system.call("market-data", "get_bars", GetBars("CBA.AX"), Bars, as_of=at)
            assert len(found.bars) == 3
        (folder / "CBA.AX.csv").unlink(missing_ok=True)


async def test_the_bars_of_a_session_are_on_their_way_to_the_stream_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four, stored = asyncio.Barrier(4), MemoryBus.publish_event

    async def met(bus: MemoryBus, *event: Any, **more: Any) -> bool:
        await four.wait()
        return await stored(bus, *event, **more)

    monkeypatch.setattr(MemoryBus, "publish_event", met)
    async with running(BUILDS, data_dir=tmp_path, declaration=declared()) as system:
        asked = PublishBars(date(2009, 1, 2))
        found = await system.call("market-data", "publish_bars", asked, PublishedBars, as_of=AS_OF)
    assert len(found.event_ids) == 4


async def test_a_live_system_tells_of_new_bars_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bellwether.market_data.service.WATCH_SECONDS", 0.02)
    folder = tmp_path / "bars"
    folder.mkdir()
    file = folder / "CBA.AX.csv"
    old = (FIXTURES / "CBA.AX.csv").read_text()
    file.write_text(old)
    heard: list[dict[str, Any]] = []
    clock = LiveClock()
    async with running(BUILDS, data_dir=tmp_path, declaration=from_csv(folder, "CBA.AX"), clock=clock) as system:
        await system.context.bus.subscribe(
            "bw.event.normal.market_data_updated", lambda message: heard.append(msgspec.json.decode(message.body))
        )
        session = load_calendar("XASX").previous_session(clock.now()).day
        file.write_text(f"{old}{session},82,83,81,82.5,82.5,1000\n")

        async def reported() -> bool:
            return bool(heard)

        await until(reported, DEADLINE)
        assert heard[0]["data"]["session"] == session.isoformat()
        file.write_text(f"{old}{session},82,83,81,82.6,82.6,1000\n")

        async def corrected() -> bool:
            return len(heard) == 2

        await until(corrected, DEADLINE)
        assert heard[0]["id"] != heard[1]["id"]


async def test_a_late_bar_of_an_older_session_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bellwether.market_data.service.WATCH_SECONDS", 0.02)
    folder = tmp_path / "bars"
    folder.mkdir()
    calendar, clock = load_calendar("XASX"), LiveClock()
    days = [one.day for one in calendar.sessions(clock.now().date() - timedelta(days=40), clock.now().date())][:-2]
    rows = [f"{day},82,83,81,82.5,82.5,1000" for day in days]
    file = folder / "CBA.AX.csv"

    def write(*lines: str) -> None:
        file.write_text("\n".join(["Date,Open,High,Low,Close,Adj Close,Volume", *lines]) + "\n")

    heard: list[str] = []
    write(*rows[:-3], *rows[-2:])
    async with running(BUILDS, data_dir=tmp_path, declaration=from_csv(folder, "CBA.AX"), clock=clock) as system:
        await system.context.bus.subscribe(
            "bw.event.normal.market_data_updated",
            lambda message: heard.append(msgspec.json.decode(message.body)["data"]["session"]),
        )
        write(*rows)

        async def reported() -> bool:
            return days[-3].isoformat() in heard

        await until(reported, DEADLINE)
    assert heard.count(days[-3].isoformat()) == 1


@pytest.mark.parametrize("count", [0, 16001])
async def test_a_count_out_of_bounds_is_refused(tmp_path: Path, count: int) -> None:
    async with running(BUILDS, data_dir=tmp_path, declaration=declared(symbols=["IBM"])) as system:
        with pytest.raises(RpcError, match=f"count is {count}: it must be from 1 to 16000"):
            await system.call("market-data", "get_bars", GetBars("IBM", count), Bars, as_of=AS_OF)
