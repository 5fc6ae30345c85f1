"""Bars from (the stand-in for) Yahoo, through yfinance, on days on which all is well and on odd ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.messages.market_data import Bars, CorporateActions, GetBars, GetCorporateActions
from harness.until import DEADLINE
from harness.yahoo import Share
from integration.market_data.asx import CALENDAR, EVENING, FRIDAY, NEXT_EVENING, SHARE, SYMBOL, THURSDAY, Asx, asx

pytestmark = pytest.mark.integration

LATER = timedelta(hours=3)
"""Longer than any hold."""


async def _thursday(folder: Path) -> None:
    async with asx(folder, EVENING) as one:
        await one.at(EVENING)
        assert (await one.freshness()).fresh
        assert one.yahoo.requests() == 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the bars are those of Thursday evening."""
    folder = tmp_path_factory.mktemp("prepared")
    asyncio.run(_thursday(folder))
    return folder / "data"


@pytest.fixture
async def friday(tmp_path: Path, prepared: Path) -> AsyncIterator[Asx]:
    """The system on Thursday evening, before it asks for Friday's bar."""
    async with asx(tmp_path, EVENING, prepared=prepared) as one:
        yield one


@dataclass(frozen=True)
class Odd:
    """What is odd, what the user is shown, and the most requests that are made for it."""

    switches: dict[str, Any]
    says: str
    most: int
    seconds: float = DEADLINE


ODD = {
    "storm of 429": Odd({"rate_limited": True}, "Yahoo answers 429: too many requests; Yahoo is asked for nothing", 5),
    "consent page": Odd({"consent": True}, "Yahoo's answer is not JSON: a consent page", 8),
    "down": Odd({"down": True}, "Yahoo says that its site is down; Yahoo is asked for nothing", 10),
    "empty result": Odd({"empty": True}, "Yahoo has no prices of it; it may be delisted", 4),
    "empty quote": Odd({"empty_quote": True}, "Yahoo has no prices of it; it may be delisted", 4),
    "delisted": Odd({"delisted": True}, "Yahoo has no prices of it; it may be delisted", 8),
    "no timestamp": Odd({"shape": "no-timestamp"}, "of another shape than before (KeyError: 'timestamp')", 4),
    "no currency": Odd({"shape": "no-currency"}, "of another shape than before (KeyError: 'currency')", 4),
    "renamed": Odd({"shape": "renamed"}, "of another shape than before (KeyError: 'indicators')", 4),
    "text for numbers": Odd({"shape": "text"}, "of another shape than before (ValueError", 4),
    "no connection": Odd({"broken": "connect"}, "Yahoo cannot be reached: curl", 6),
    "cut before the answer": Odd({"broken": "headers"}, "Yahoo is asked for nothing until", 6),
    "cut within the answer": Odd({"broken": "body"}, "Yahoo is asked for nothing until", 6),
    "slow": Odd({"slow": 60.0}, f"Yahoo gave no answer for {SYMBOL} within 5 s; Yahoo is asked for nothing", 2, 5.0),
    "another currency": Odd({"currency": "USD"}, "is stated in USD, and shares of XASX trade in AUD", 4),
    "another exchange": Odd({"timezone": "UTC"}, "in the time zone UTC, and the declared calendar XASX", 4),
    "a day early": Odd({"day_early": True}, "the rows are dated wrongly and none is taken", 4),
    "no row yet": Odd({"withheld": True}, "the newest bar is of 2026-11-26, 1 session before that of 2026-11-27", 4),
    "last row null": Odd({"last_row_null": True}, "the newest bar is of 2026-11-26, 1 session before", 4),
    "all rows at 100 times": Odd({"hundredfold": 12}, "the newest bar is of 2026-11-26, 1 session before", 6),
    "a row at 100 times": Odd({"hundredfold": 1}, "the newest bar is of 2026-11-26, 1 session before", 4),
}


@pytest.mark.parametrize("name", ODD)
async def test_nothing_is_bought_on_an_odd_answer_and_all_is_well_after_it(friday: Asx, name: str) -> None:
    odd, one = ODD[name], friday
    one.yahoo.set(**odd.switches)
    one.source.reach = replace(one.source.reach, answer_seconds=odd.seconds)
    await one.at(NEXT_EVENING)
    seen = await one.freshness()
    assert (seen.fresh, seen.last_session) == (False, THURSDAY)
    assert odd.says in seen.problem
    assert await one.signal(1) == "refused: DATA_STALE"
    assert one.yahoo.requests() <= odd.most
    one.yahoo.log.clear()
    await one.at(NEXT_EVENING + timedelta(seconds=10))
    assert one.yahoo.log == [], "it was asked again without a pause"

    one.yahoo.reset()
    one.source.reach = replace(one.source.reach, answer_seconds=DEADLINE)
    await one.at(NEXT_EVENING + LATER)
    seen = await one.freshness()
    assert (seen.fresh, seen.last_session, seen.problem) == (True, FRIDAY, "")
    assert (await one.health())["status"] == "healthy"
    assert await one.signal(2) == "queued"


@pytest.mark.parametrize(
    ("switches", "most"),
    [({"crumb_limited": True}, 5), ({"stale_crumbs": 1}, 6), ({"null_rows": 2}, 4)],
    ids=["crumb limited", "stale crumb", "null rows"],
)
async def test_bars_arrive_all_the_same(friday: Asx, switches: dict[str, Any], most: int) -> None:
    friday.yahoo.set(**switches)
    await friday.at(NEXT_EVENING)
    seen = await friday.freshness()
    assert (seen.fresh, seen.last_session, seen.problem) == (True, FRIDAY, "")
    assert friday.yahoo.requests() <= most


async def test_bars_are_stored_as_traded_whatever_yahoo_restates_them_to(tmp_path: Path) -> None:
    first, paid, second = date(2026, 3, 2), date(2026, 6, 1), date(2026, 9, 14)
    share = Share(SYMBOL, CALENDAR, splits={first: (2, 1), second: (3, 1)}, dividends={paid: 0.6})
    async with asx(tmp_path, EVENING, shares={SYMBOL: share}) as one:
        await one.at(EVENING)
        ask = GetBars(SYMBOL, 250, adjusted=False)
        found = await one.system.call("market-data", "get_bars", ask, Bars, as_of=EVENING)
        traded = share.rows(EVENING)[-250:]
        assert [bar.session for bar in found.bars] == [row.session.day for row in traded]
        assert [bar.close for bar in found.bars] == pytest.approx([row.close for row in traded])
        assert [bar.volume for bar in found.bars] == pytest.approx([row.volume for row in traded], abs=6)
        actions = []
        for day in (first, paid, second):
            wanted = GetCorporateActions(day, [SYMBOL])
            reported = await one.system.call(
                "market-data", "get_corporate_actions", wanted, CorporateActions, as_of=EVENING
            )
            actions += [(each.session, each.kind, each.ratio, round(each.amount, 9)) for each in reported.actions]
        assert actions == [
            (first, "split", 2.0, 0.0),
            (paid, "dividend", 1.0, 0.6),
            (second, "split", 3.0, 0.0),
        ]


async def test_history_restated_for_a_split_is_the_same_shares_and_not_fetched_again(friday: Asx) -> None:
    friday.yahoo.shares[SYMBOL] = replace(SHARE, splits={**SHARE.splits, FRIDAY: (2, 1)})
    await friday.at(NEXT_EVENING)
    seen = await friday.freshness()
    assert (seen.fresh, seen.last_session, seen.problem) == (True, FRIDAY, "")
    assert [request.kind for request in friday.yahoo.log].count("chart") == 1


async def test_a_split_that_yahoo_does_not_tell_holds_the_symbol_back_until_it_is_reported(friday: Asx) -> None:
    friday.yahoo.shares[SYMBOL] = replace(SHARE, splits={**SHARE.splits, FRIDAY: (12, 1)})
    friday.yahoo.set(split_untold=True)
    await friday.at(NEXT_EVENING)
    held = await friday.freshness()
    assert not held.fresh
    assert "HELD_BACK" in held.problem
    friday.yahoo.reset()
    await friday.at(NEXT_EVENING + timedelta(days=8))
    reported = await friday.freshness()
    assert "HELD_BACK" not in reported.problem


async def test_history_restated_for_no_split_is_fetched_as_a_whole_before_any_of_it_is_believed(
    friday: Asx, caplog: pytest.LogCaptureFixture
) -> None:
    friday.yahoo.set(restated=0.9)
    await friday.at(NEXT_EVENING)
    assert "contradicts what is stored: the close of 2026-11-26 is" in caplog.text
    assert [request.kind for request in friday.yahoo.log].count("chart") == 2


async def test_the_declared_proxy_and_certificates_hold_whatever_the_machine_presets(
    friday: Asx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    none = tmp_path / "none.pem"
    none.write_text("")
    for name, value in (("NO_PROXY", "*"), ("REQUESTS_CA_BUNDLE", str(none)), ("CURL_CA_BUNDLE", str(none))):
        monkeypatch.setenv(name, value)
    await friday.at(NEXT_EVENING)
    assert (await friday.freshness()).fresh


async def test_the_row_of_a_session_under_way_is_no_bar(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 27, 2, tzinfo=UTC)
    async with asx(tmp_path, noon) as one:
        await one.at(noon)
        assert await one.newest() == THURSDAY
        await one.at(NEXT_EVENING)
        assert await one.newest() == FRIDAY


async def test_after_a_429_no_symbol_is_asked_for_until_the_hold_is_over_and_a_restart_does_not_forget_it(
    tmp_path: Path,
) -> None:
    shares = {symbol: Share(symbol, CALENDAR) for symbol in ("ANZ.AX", "BHP.AX", "CBA.AX")}
    async with asx(tmp_path, EVENING, shares=shares) as one:
        one.yahoo.set(rate_limited=True)
        await one.at(EVENING)
        assert {request.symbol for request in one.yahoo.log if request.symbol} == {"ANZ.AX"}
        for symbol in shares:
            assert "429" in (await one.freshness(symbol)).problem
        reported = (await one.health())["yahoo"]
        assert "429" in reported["held_because"]
    async with asx(tmp_path, EVENING + timedelta(minutes=1), shares=shares) as one:
        await one.at(EVENING + timedelta(minutes=1))
        assert one.yahoo.requests() == 0
        assert (await one.health())["yahoo"]["held_until"] == reported["held_until"]
        await one.at(EVENING + timedelta(minutes=7))
        assert all([(await one.freshness(symbol)).fresh for symbol in shares])


async def test_after_a_restart_nothing_is_fetched_again_that_is_stored(friday: Asx) -> None:
    await friday.at(EVENING + timedelta(minutes=1))
    assert friday.yahoo.requests() == 0
    assert (await friday.freshness()).fresh


async def test_a_symbol_that_is_refused_does_not_keep_the_others_from_their_bars(tmp_path: Path) -> None:
    shares = {symbol: Share(symbol, CALENDAR) for symbol in ("ANZ.AX", "BHP.AX", "CBA.AX")}
    async with asx(tmp_path, EVENING, shares=shares) as one:
        one.yahoo.set(symbols=["BHP.AX"], delisted=True)
        await one.at(EVENING)
        assert [(await one.freshness(symbol)).fresh for symbol in shares] == [True, False, True]
        assert "BHP.AX: Yahoo has no prices of it" in (await one.health())["warning"]
