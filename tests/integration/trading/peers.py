"""Small stand-ins for market-data, ml-model and prediction, with made-up bars and made-up signals.

Nothing here is real: prices are a function of symbol and session, and so are the actions. The trader and the
scheduler under test are the real ones.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from bellwether.market.sessions import load_calendar
from bellwether.market.slots import expected_bar
from bellwether.messages.envelope import Event
from bellwether.messages.market_data import (
    Bar,
    Bars,
    CorporateAction,
    CorporateActions,
    Coverage,
    Freshness,
    GetBars,
    GetCorporateActions,
    GetCoverage,
    GetOpeningPrices,
    MarketDataUpdated,
    OpeningPrices,
    PublishBars,
    PublishedBars,
    SymbolFreshness,
)
from bellwether.messages.models import LoadModel, ModelInfo
from bellwether.messages.prediction import (
    Action,
    GeneratePredictions,
    Prediction,
    PredictionBatch,
    PredictionGenerated,
    RecordedOutcomes,
    RecordOutcomes,
    Summary,
)
from bellwether.messages.quality import (
    DataQualityReport,
    GetQuality,
    Quality,
    SymbolQuality,
)
from bellwether.messages.reporting import GetSessionDecisions, SessionDecisions
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES

CALENDAR = load_calendar("XNYS")
SYMBOLS = ("AAA", "BBB", "CCC")
FIRST, LAST = date(2009, 1, 2), date(2009, 3, 31)
SPLIT = CorporateAction("AAA", date(2009, 1, 20), "split", ratio=2.0)
DIVIDEND = CorporateAction("BBB", date(2009, 1, 22), "dividend", amount=0.25)

ROWS = {
    "market-data": ServiceRow(
        "market-data",
        "stands in, with made-up bars",
        serves=(
            "get_bars",
            "get_opening_prices",
            "get_corporate_actions",
            "get_coverage",
            "get_freshness",
            "publish_bars",
        ),
        publishes={"market_data_updated": "normal"},
    ),
    "data-quality": ServiceRow("data-quality", "stands in", serves=("get_quality", "monitor_data_quality")),
    "ml-model": ServiceRow("ml-model", "stands in", serves=("load_model",)),
    "prediction": ServiceRow(
        "prediction",
        "stands in, with made-up signals",
        serves=("generate_predictions", "record_outcomes", "get_session_decisions"),
        publishes={"prediction_generated": "high"},
        consumes=("market_data_updated",),
    ),
    "paper-trading": SERVICES["paper-trading"],
    "scheduler": SERVICES["scheduler"],
}


def declaration(**changes: Any) -> TradingSystem:
    """Return a replay of January 2009 over the made-up symbols; `trading` is merged into its block."""
    trading = {"mode": "simulated", "currency": "USD", **changes.pop("trading", {})}
    spec: dict[str, Any] = {
        "market": {"calendar": "XNYS"},
        "symbols": list(SYMBOLS),
        "data": {"provider": "replay"},
        "clock": {"mode": "replay", "from": "2009-01-02", "to": "2009-01-30", "pace": "0s"},
        "trading": trading,
        **changes,
    }
    return TradingSystem.model_validate(
        {
            "apiVersion": "bellwether.dev/v1alpha1",
            "kind": "TradingSystem",
            "metadata": {"name": "made-up", "generation": 1},
            "spec": spec,
        }
    )


def number(*parts: object) -> int:
    """Return the same number for the same parts, whatever the process."""
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:6], "big")


def price(symbol: str, session: date, what: str) -> float:
    """Return a made-up price of 20 to 60; AAA halves at its split."""
    value = 20 + number(symbol, session, what) % 4000 / 100
    return round(value / (2 if symbol == "AAA" and session >= SPLIT.session else 1), 2)


def action(symbol: str, session: date) -> Action:
    """Return a made-up signal."""
    actions: tuple[Action, ...] = ("BUY", "HOLD", "STRONG_BUY", "SELL", "HOLD")
    return actions[number(symbol, session, "action") % len(actions)]


@dataclass
class Peers:
    """The stand-ins of one test; `away` lists methods that answer UNAVAILABLE so often as counted."""

    away: dict[str, int] = field(default_factory=dict)
    calls: list[tuple[str, datetime]] = field(default_factory=list)
    silent: frozenset[str] = frozenset()
    """Symbols without an opening price."""
    newest: date | None = None
    """Session of the newest bars, where they are not those that can be expected."""
    refused: dict[str, str] = field(default_factory=dict)
    """Methods that always answer with this error code."""
    unpredictable: dict[str, str] = field(default_factory=dict)
    """Symbols whose prediction always fails, with the error."""
    held: dict[str, tuple[asyncio.Event, asyncio.Event]] = field(default_factory=dict)
    """Methods that say when they began and wait until they may end."""

    def hold(self, method: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Return what a method sets when it has started, and what it then waits for."""
        self.held[method] = asyncio.Event(), asyncio.Event()
        return self.held[method]

    async def _gate(self, method: str) -> None:
        """Wait for a held call's second event."""
        if method in self.held:
            began, gate = self.held[method]
            began.set()
            await gate.wait()

    def _met(self, method: str, call: Call) -> None:
        self.calls.append((method, call.as_of))
        if method in self.refused:
            raise RpcError(self.refused[method], f"{method} is refused on purpose")
        if self.away.get(method, 0) > 0:
            self.away[method] -= 1
            raise RpcError("UNAVAILABLE", f"{method} is unreachable on purpose")

    def market_data(self, context: ServiceContext) -> Service:
        """Return the stand-in for market-data."""
        service = Service("market-data", context)

        @service.rpc("get_bars")
        async def get_bars(request: GetBars, call: Call) -> Bars:
            self._met("get_bars", call)
            await self._gate("get_bars")
            session = CALENDAR.previous_session(call.as_of).day
            close = price(request.symbol, session, "close")
            return Bars(request.symbol, [Bar(session, close, close, close, close, 1000.0)], "made-up")

        @service.rpc("get_opening_prices")
        async def get_opening_prices(request: GetOpeningPrices, call: Call) -> OpeningPrices:
            self._met("get_opening_prices", call)
            known = [symbol for symbol in request.symbols if symbol not in self.silent]
            return OpeningPrices(request.session, {one: price(one, request.session, "open") for one in known})

        @service.rpc("get_corporate_actions")
        async def get_corporate_actions(request: GetCorporateActions, call: Call) -> CorporateActions:
            self._met("get_corporate_actions", call)
            first = request.since or request.session
            found = [one for one in (SPLIT, DIVIDEND) if first <= one.session <= request.session]
            return CorporateActions([one for one in found if one.symbol in request.symbols])

        @service.rpc("get_coverage")
        async def get_coverage(request: GetCoverage, call: Call) -> Coverage:
            self._met("get_coverage", call)
            return Coverage(dict.fromkeys(SYMBOLS, FIRST), dict.fromkeys(SYMBOLS, LAST))

        @service.rpc("get_freshness")
        async def get_freshness(call: Call) -> Freshness:
            self._met("get_freshness", call)
            expected = expected_bar(CALENDAR, call.as_of)
            newest = self.newest or expected
            known = [one for one in SYMBOLS if one not in self.silent]
            return Freshness(
                expected,
                [SymbolFreshness(one, newest >= expected, newest, price(one, newest, "close")) for one in known],
            )

        @service.rpc("publish_bars")
        async def publish_bars(request: PublishBars, call: Call) -> PublishedBars:
            self._met("publish_bars", call)
            ids = []
            for symbol in SYMBOLS:
                ids.append(f"bars-{symbol}-{request.session}")
                data = MarketDataUpdated(symbol, request.session, "made-up")
                await call.publish_event("market_data_updated", data, event_id=ids[-1])
            return PublishedBars(ids)

        return service

    def data_quality(self, context: ServiceContext) -> Service:
        """Return the stand-in for data-quality: all is well."""
        service = Service("data-quality", context)

        def well(symbol: str) -> SymbolQuality:
            return SymbolQuality(symbol, 100.0, True, [])

        @service.rpc("get_quality")
        async def get_quality(request: GetQuality, call: Call) -> Quality:
            self._met("get_quality", call)
            return Quality({symbol: well(symbol) for symbol in request.symbols or SYMBOLS})

        @service.rpc("monitor_data_quality")
        async def monitor_data_quality(call: Call) -> DataQualityReport:
            self._met("monitor_data_quality", call)
            return DataQualityReport(call.as_of, 100.0, 70.0, {symbol: well(symbol) for symbol in SYMBOLS}, {})

        return service

    def ml_model(self, context: ServiceContext) -> Service:
        """Return the stand-in for ml-model."""
        service = Service("ml-model", context)

        @service.rpc("load_model")
        async def load_model(request: LoadModel, call: Call) -> ModelInfo:
            self._met("load_model", call)
            day = date(2008, 12, 31)
            return ModelInfo(request.model_name, "made-up", None, [], 5, day, day, 0.5, {}, gated=False)

        return service

    def prediction(self, context: ServiceContext) -> Service:
        """Return the stand-in for prediction."""
        service = Service("prediction", context)

        @service.on_event("market_data_updated")
        async def bars_arrived(event: Event[MarketDataUpdated], call: Call) -> None:
            self.calls.append(("market_data_updated", call.as_of))

        @service.rpc("generate_predictions")
        async def generate_predictions(request: GeneratePredictions, call: Call) -> PredictionBatch:
            self._met("generate_predictions", call)
            await self._gate("generate_predictions")
            symbols = [symbol for symbol in SYMBOLS if symbol not in self.unpredictable]
            made = {symbol: predicted(symbol, call.as_of, request) for symbol in symbols}
            ids = []
            for one in made.values():
                ids.append(f"prediction_generated:{one.prediction_id}")
                with call.start_root("decision", call.decision_trace(one.prediction_id)) as work:
                    await work.publish_event("prediction_generated", PredictionGenerated(one), event_id=ids[-1])
            summary = Summary(len(SYMBOLS), len(made), len(self.unpredictable), 0, len(made), 0.0)
            return PredictionBatch(made, self.unpredictable, summary, ids)

        @service.rpc("record_outcomes")
        async def record_outcomes(request: RecordOutcomes, call: Call) -> RecordedOutcomes:
            self._met("record_outcomes", call)
            return RecordedOutcomes(0, None, None)

        @service.rpc("get_session_decisions")
        async def get_session_decisions(request: GetSessionDecisions, call: Call) -> SessionDecisions:
            self._met("get_session_decisions", call)
            return SessionDecisions([], [], [], [])

        return service

    def builds(self) -> dict[str, Any]:
        """Return what builds the stand-ins."""
        return {
            "market-data": self.market_data,
            "data-quality": self.data_quality,
            "ml-model": self.ml_model,
            "prediction": self.prediction,
        }


def predicted(symbol: str, as_of: datetime, request: GeneratePredictions) -> Prediction:
    """Return the made-up prediction of a symbol at an instant."""
    target = CALENDAR.next_session(as_of)
    bar = CALENDAR.previous_session(as_of).day
    return Prediction(
        prediction_id=f"{request.slot or as_of.isoformat()}-{symbol}",
        symbol=symbol,
        timestamp=as_of,
        action=action(symbol, target.day),
        probability=0.55,
        base_rate=0.5,
        buy_threshold=0.51,
        confidence=0.1,
        model_name="made-up",
        model_version="1",
        horizon_sessions=5,
        current_price=price(symbol, bar, "close"),
        bar_session=bar,
        target_session=target.day,
        valid_until=target.close,
        market_data_available=True,
        sentiment_data_available=False,
        model_available=True,
        fallbacks=["sentiment"],
        may_trade=request.may_trade,
        features={},
        trace_id="",
        quality_score=100.0,
    )


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """Return an instant of a day in UTC."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
