"""A live run over NATS on (the stand-in for) Yahoo, which restates history in between, looked back at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from bellwether.cli.hindsight import lines
from bellwether.local.hindsight import Hindsight, look_back
from bellwether.messages.prediction import GeneratePredictions, PredictionBatch, ReplayDecision, ReplayedDecision
from bellwether.runtime.declaration import encode_declaration
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store, Transaction
from bellwether.trading import tables
from harness.clock import Present
from harness.nats import nats_server
from harness.replayed import BUILDS, model_serves
from harness.system import System, running
from harness.yahoo import Share, standing_in
from harness.yahoo.asked import market_data_of
from harness.yahoo.shares import Row
from integration.market_data.asx import CALENDAR, EVENING, NEXT_EVENING, THURSDAY

pytestmark = pytest.mark.integration

SYMBOL, OTHER = "CBA.AX", "BHP.AX"
BEFORE_FRIDAY = EVENING + timedelta(hours=14)
"""Friday morning in Sydney, before the open."""
BEFORE_MONDAY = datetime(2026, 11, 29, 22, tzinfo=UTC)


@dataclass(frozen=True)
class Corrected(Share):
    """A share of which one session was corrected since: its prices by 2 %."""

    corrected: date = THURSDAY

    def rows(self, now: datetime) -> list[Row]:
        return [_corrected(row) if row.session.day == self.corrected else row for row in super().rows(now)]


def _corrected(row: Row) -> Row:
    more = {name: getattr(row, name) * 1.02 for name in ("open", "high", "low", "close")}
    return replace(row, **more)


def declared() -> TradingSystem:
    spec = {
        "symbols": [SYMBOL, OTHER],
        "market": {"calendar": "XASX"},
        "data": {"provider": "yahoo", "yahoo": {"historyYears": 5}},
        "clock": {"mode": "live"},
        "trading": {"mode": "simulated"},
    }
    return TradingSystem.model_validate({"metadata": {"name": "asx", "generation": 1}, "spec": spec})


async def decide(system: System, clock: Present, at: datetime) -> PredictionBatch:
    clock.instant = at
    day = CALENDAR.next_session(at).day
    request = GeneratePredictions(force_refresh=True, may_trade=True, slot=f"prediction_generation-{day:%Y%m%d}")
    found: PredictionBatch = await system.call(
        "prediction", "generate_predictions", request, PredictionBatch, as_of=at, budget=60.0
    )
    assert found.errors == {}
    return found


def order_row(session: date, price: str) -> dict[str, Any]:
    """Return the row of a purchase that was filled."""
    return {
        "run": "live",
        "order_id": f"o-{session}",
        "prediction_id": None,
        "reason": "signal",
        "symbol": SYMBOL,
        "side": "BUY",
        "quantity": "100",
        "status": "filled",
        "session": session.isoformat(),
        "created_at": EVENING.isoformat(),
        "model_name": "direction-lr",
        "model_version": "",
        "trace_id": "",
        "traceparent": "",
        "filled_at": EVENING.isoformat(),
        "fill_price": price,
        "commission": "5.00",
        "filled_quantity": "100",
    }


async def lived(folder: Path) -> tuple[list[ReplayedDecision], list[str]]:
    """Let a run live from Thursday evening to Monday morning; its source corrects Thursday on Friday evening."""
    clock = Present(EVENING)
    shares = {name: Share(name, CALENDAR) for name in (SYMBOL, OTHER)}
    async with standing_in(folder / "yahoo", shares, now=clock.now) as yahoo, nats_server(folder / "server") as server:
        build, made = market_data_of(yahoo)

        async def asked(at: datetime) -> None:
            clock.instant = at
            await made[0].ask_due()
            await made[0].refresh()

        builds = {**BUILDS, "market-data": build}
        data, system = folder / "run" / "data", declared()
        async with running(builds, data_dir=data, declaration=system, connect=server.connect, clock=clock) as desk:
            await asked(EVENING)
            await model_serves(desk)
            ids = [one.prediction_id for one in (await decide(desk, clock, BEFORE_FRIDAY)).predictions.values()]
            yahoo.shares = {**shares, SYMBOL: Corrected(SYMBOL, CALENDAR)}
            await asked(NEXT_EVENING)
            ids += [one.prediction_id for one in (await decide(desk, clock, BEFORE_MONDAY)).predictions.values()]
            again = [
                await desk.call("prediction", "replay_decision", ReplayDecision(one), ReplayedDecision) for one in ids
            ]
    (folder / "run" / "system.json").write_bytes(encode_declaration(system))
    return again, ids


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ReplayedDecision], list[str]]:
    folder = tmp_path_factory.mktemp("lived")
    again, ids = asyncio.run(lived(folder))
    ledger = Store.open(folder / "run" / "data" / "ledger.db", tables.metadata, version=tables.VERSION)

    def buy(tx: Transaction) -> None:
        tx.execute(insert(tables.orders), [order_row(THURSDAY, "10")])

    async def write() -> None:
        await ledger.transact(buy)
        await ledger.close()

    asyncio.run(write())
    return folder / "run", again, ids


@pytest.fixture(scope="module")
def found(run: tuple[Path, list[ReplayedDecision], list[str]]) -> Hindsight:
    return asyncio.run(look_back(run[0], 60, lambda _: None))


def test_live_decisions_equal_those_made_again_by_the_same_versions_of_bars(
    run: tuple[Path, list[ReplayedDecision], list[str]], found: Hindsight
) -> None:
    _, again, ids = run
    assert len(ids) == 4
    assert {one.outcome for one in again} == {"equal"}
    assert [(one.prediction_id, one.differs_then) for one in found.unequal_then] == []
    assert (found.decisions, found.equal_then) == (4, 4)


def test_what_the_restatement_changes_is_named_with_its_cause(found: Hindsight) -> None:
    differ = {one.prediction_id: one for one in found.decisions_differ}
    one = differ["prediction_generation-20261127-cba-ax"]
    assert "inputs.features.return_1" in one.values
    assert one.why.startswith("restated history: the bar of CBA.AX 2026-11-26 was known at 2026-11-27 08:00 UTC")
    assert not any(name.startswith("prediction_generation-20261130") for name in differ)


def test_a_fill_is_priced_again_by_the_opening_price_of_today(found: Hindsight) -> None:
    assert found.fills == 1
    (fill,) = found.fills_differ
    assert (fill.symbol, fill.session, fill.live) == (SYMBOL, THURSDAY, "10")
    assert fill.why.startswith("restated history: the bar of CBA.AX 2026-11-26")
    assert fill.cash == found.cash != 0
    reported = "\n".join(lines(found))
    assert "4 decisions: 4 come out with equal bytes by the bars known then" in reported
    assert "1 fills, 1 orders would be filled otherwise" in reported
