"""data-quality over the real market-data, on files of made-up bars."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.market_data.service import create as market_data
from bellwether.messages.envelope import LIVE, Event
from bellwether.messages.quality import (
    DataQualityAlert,
    DataQualityReport,
    GetQuality,
    Quality,
    ValidatedPredictionData,
    ValidatePredictionData,
)
from bellwether.quality.service import create as quality
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from harness import csv_bars
from harness.system import System, running
from harness.until import until
from integration.trading.peers import CALENDAR, declaration

pytestmark = pytest.mark.integration

LAST = date(2009, 2, 27)
SYMBOLS = ["AAA", "BBB"]
ROWS = {
    "market-data": SERVICES["market-data"],
    "data-quality": SERVICES["data-quality"],
    "listener": ServiceRow("listener", "hears alerts", requires=("data-quality",), consumes=("data_quality_alert",)),
}


def morning_after(day: date, sessions: int = 1) -> datetime:
    """Return an instant before the open, so many sessions after a day."""
    session = CALENDAR.after(day, sessions)
    return session.open.astimezone(UTC) - timedelta(minutes=30)


@dataclass
class Lab:
    system: System
    alerts: list[DataQualityAlert]

    async def ask(self, method: str, request: Any, answer: Any, as_of: datetime | None = None) -> Any:
        instant = morning_after(LAST) if as_of is None else as_of
        return await self.system.call("data-quality", method, request, answer, as_of=instant)

    async def monitor(self, as_of: datetime | None = None) -> DataQualityReport:
        found: DataQualityReport = await self.ask("monitor_data_quality", None, DataQualityReport, as_of)
        return found


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    bars = tmp_path / "bars"
    for symbol in SYMBOLS:
        csv_bars.write(bars, symbol, CALENDAR, LAST, count=80)
    alerts: list[DataQualityAlert] = []

    def listener(context: ServiceContext) -> Service:
        service = Service("listener", context)

        @service.on_event("data_quality_alert")
        async def heard(event: Event[DataQualityAlert], call: Call) -> None:
            alerts.append(event.data)

        return service

    system = declaration(symbols=[*SYMBOLS, "CCC"], data={"provider": "csv", "csv": {"directory": str(bars)}})
    builds = {"market-data": market_data, "data-quality": quality, "listener": listener}
    async with running(builds, data_dir=tmp_path / "data", declaration=system, rows=ROWS) as found:
        yield Lab(found, alerts)


async def test_good_bars_score_full_marks_and_a_symbol_without_bars_is_unknown(lab: Lab) -> None:
    found = (await lab.ask("get_quality", GetQuality(), Quality)).symbols
    assert {symbol: one.quality_score for symbol, one in found.items()} == {"AAA": 100.0, "BBB": 100.0, "CCC": None}
    report = await lab.monitor()
    assert report.overall_score == 100.0
    assert list(report.unmeasured) == ["CCC"]
    assert "CCC.csv" in report.unmeasured["CCC"]
    again = (await lab.ask("get_quality", GetQuality(["AAA"]), Quality)).symbols
    assert again["AAA"] == found["AAA"]


async def test_a_bar_that_is_there_right_after_its_close_costs_no_point(lab: Lab) -> None:
    close = CALENDAR.after(LAST - timedelta(days=1), 1).close.astimezone(UTC)
    for instant in (close, close + timedelta(minutes=30), close + timedelta(hours=2)):
        found = (await lab.ask("get_quality", GetQuality(["AAA"]), Quality, instant)).symbols["AAA"]
        assert (found.quality_score, found.findings, found.last_session) == (100.0, [], LAST.isoformat())


async def test_an_instant_of_a_replay_is_judged_once_and_one_of_the_present_as_often_as_asked(lab: Lab) -> None:
    figures, asked = lab.system.services["market-data"].figures, GetQuality(SYMBOLS)
    for run, questions in (("replay-1", 1), (LIVE, 2)):
        before = figures.calls
        first, again = [
            await lab.system.call("data-quality", "get_quality", asked, Quality, as_of=morning_after(LAST), run=run)
            for _ in range(2)
        ]
        assert again == first
        assert figures.calls - before == questions


async def test_a_prediction_s_data_is_judged_with_its_values(lab: Lab) -> None:
    async def validated(**data: Any) -> ValidatedPredictionData:
        asked = ValidatePredictionData({"symbol": "AAA", **data})
        found: ValidatedPredictionData = await lab.ask("validate_prediction_data", asked, ValidatedPredictionData)
        return found

    good = await validated(technical={"current_price": 50.0, "rsi": 40.0})
    assert (good.valid, good.quality_score, good.issues) == (True, 100.0, [])
    pence = await validated(technical={"current_price": 5000.0})
    assert (pence.valid, pence.quality_score) == (False, 40.0)
    assert pence.issues == ["technical.current_price is 5000, the newest close is 50"]
    odd = await validated(technical={"rsi": "high"})
    assert (odd.valid, odd.quality_score) == (False, 0.0)
    unknown = await lab.ask(
        "validate_prediction_data", ValidatePredictionData({"symbol": "CCC"}), ValidatedPredictionData
    )
    assert (unknown.valid, unknown.quality_score) == (False, None)
    assert "CCC.csv" in unknown.issues[0]
    with pytest.raises(RpcError, match=r"data\.symbol is None: it must name the share, such as CBA\.AX"):
        await lab.ask("validate_prediction_data", ValidatePredictionData({}), ValidatedPredictionData)
    with pytest.raises(RpcError, match="ZZZ is not declared"):
        await lab.ask("validate_prediction_data", ValidatePredictionData({"symbol": "ZZZ"}), ValidatedPredictionData)


async def test_an_alert_is_raised_once_while_the_data_is_poor_and_cleared_once(lab: Lab) -> None:
    await lab.monitor()
    late = morning_after(LAST, 3)
    report = await lab.monitor(late)
    assert report.overall_score == 40.0
    await lab.monitor(late + timedelta(minutes=5))
    await until(lambda: len(lab.alerts) == 1)
    (alert,) = lab.alerts
    assert (alert.state, alert.symbols) == ("raised", {"AAA": 40.0, "BBB": 40.0})
    assert alert.issues[0] == "AAA: the newest bar is of 2009-02-27, 2 sessions before that of 2009-03-03"
    health = await lab.system.call("data-quality", "health")
    assert (health["status"], health["warning"]) == ("degraded", "data quality is 40.0, below quality.minScore 70")
    await lab.monitor()
    await until(lambda: len(lab.alerts) == 2)
    assert (lab.alerts[1].state, lab.alerts[1].overall_score) == ("cleared", 100.0)


async def test_a_symbol_that_is_held_back_has_no_quality_and_says_why(tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    bars.mkdir()
    # Every row a day early: Sundays are there and Fridays are missing.
    days = [session.day - timedelta(days=1) for session in CALENDAR.sessions(LAST - timedelta(days=120), LAST)]
    rows_of = [csv_bars.row(day, 50.0, 50.0 + number % 2) for number, day in enumerate(days)]
    (bars / "AAA.csv").write_text("\n".join([csv_bars.HEADER, *rows_of]) + "\n")
    system = declaration(symbols=["AAA"], data={"provider": "csv", "csv": {"directory": str(bars)}})
    builds = {"market-data": market_data, "data-quality": quality}
    rows = {name: ROWS[name] for name in builds}
    async with running(builds, data_dir=tmp_path / "data", declaration=system, rows=rows) as found:
        answer = await found.call("data-quality", "get_quality", GetQuality(), Quality, as_of=morning_after(LAST, 4))
    judged = answer.symbols["AAA"]
    assert (judged.quality_score, judged.valid) == (0.0, False)
    assert judged.findings[0].rule == "held_back"
