"""Made-up answers of the gateway's peers, and services that give them. For tests only."""

from __future__ import annotations

import gzip
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import MetaData

from bellwether.messages.backup import BackupMade, BackupProgress, BackupRestored, Backups, RestoreEnded
from bellwether.messages.envelope import Event
from bellwether.messages.market_data import (
    Bars,
    Freshness,
    MarketContext,
    MarketData,
    SymbolFreshness,
    Technical,
    Volume,
)
from bellwether.messages.models import (
    Drift,
    ModelInfo,
    Models,
    ProbabilityPart,
    ProbabilityParts,
    ServedRows,
    ServingRecord,
)
from bellwether.messages.monitoring import (
    Alert,
    Alerts,
    ChannelState,
    DeadLetterBody,
    DeadLetterGone,
    DeadLetterInfo,
    DeadLetters,
    MessageOutcome,
    NoticeRecord,
    Notifications,
    ProcessFigures,
    SentTestMessages,
    ServiceFigures,
    SystemFigures,
    SystemMetrics,
)
from bellwether.messages.parts import FilePart
from bellwether.messages.prediction import DecisionRecord, Decisions, Prediction, ReplayedDecision
from bellwether.messages.quality import Quality, SymbolQuality
from bellwether.messages.reporting import OutcomeDay, ReportLine, Reports, StoredReport
from bellwether.messages.scheduling import Jobs, ReplayReportLine, ReplayReports, ReplayState, SlotJob, SlotJobs
from bellwether.messages.sentiment import Headline, SymbolSentiment
from bellwether.messages.trading import (
    Account,
    EquityCurve,
    EquityPoint,
    Explanation,
    HaltState,
    LedgerCheck,
    Order,
    Orders,
    Position,
    Positions,
    Refusal,
    Refusals,
    Safety,
)
from bellwether.reporting.session import compose
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from unit.reporting.rows import rows as report_rows

AT = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
SESSION = date(2009, 1, 5)
TRACE = "ab" * 16

SYSTEM = TradingSystem.model_validate(
    {
        "metadata": {"name": "demo", "generation": 3},
        "spec": {
            "market": {"calendar": "XNYS"},
            "symbols": ["AAPL", "IBM"],
            "data": {"provider": "replay"},
            "clock": {"mode": "replay", "from": "2009-01-02"},
            "trading": {"mode": "simulated", "currency": "USD"},
        },
    }
)


def prediction(symbol: str = "AAPL", **changed: Any) -> Prediction:
    values: dict[str, Any] = {
        "prediction_id": f"p-{symbol}",
        "symbol": symbol,
        "timestamp": AT,
        "action": "BUY",
        "probability": 0.57,
        "base_rate": 0.54,
        "buy_threshold": 0.55,
        "confidence": 0.14,
        "model_name": "direction-lr",
        "model_version": "cd" * 32,
        "horizon_sessions": 5,
        "current_price": 90.75,
        "bar_session": date(2009, 1, 2),
        "target_session": SESSION,
        "valid_until": datetime(2009, 1, 5, 21, 0, tzinfo=UTC),
        "market_data_available": True,
        "sentiment_data_available": False,
        "model_available": True,
        "fallbacks": ["sentiment"],
        "may_trade": True,
        "features": {"return_1": 0.01},
        "trace_id": TRACE,
        "quality_score": 96.0,
    }
    return Prediction(**(values | changed))


def order(**changed: Any) -> Order:
    values: dict[str, Any] = {
        "order_id": "o-1",
        "prediction_id": "p-AAPL",
        "reason": "signal",
        "symbol": "AAPL",
        "side": "BUY",
        "quantity": Decimal(110),
        "status": "filled",
        "session": SESSION,
        "created_at": AT,
        "model_name": "direction-lr",
        "model_version": "cd" * 32,
        "trace_id": TRACE,
        "filled_at": AT,
        "fill_price": Decimal("93.22"),
        "commission": Decimal("13.20"),
    }
    return Order(**(values | changed))


MARKET_DATA = MarketData(
    symbol="AAPL",
    as_of=AT,
    technical=Technical(90.75, 51.0, 48.0),
    volume=Volume(-0.1, 1.0),
    market_context=MarketContext("NEUTRAL", 0.55, 0.54, 0.01),
    last_session=date(2009, 1, 2),
    revision="ef" * 32,
)
ACCOUNT = Account(
    currency="USD",
    cash=Decimal("89732.60"),
    positions_value=Decimal("10403.80"),
    equity=Decimal("100136.40"),
    initial_cash=Decimal(100000),
    realised=Decimal(0),
    commission=Decimal("13.20"),
    orders_filled=1,
    as_of=AT,
    halted=False,
    halts=[],
)
POSITION = Position(
    "AAPL", Decimal(110), Decimal("93.34"), Decimal("94.58"), Decimal("10403.80"), Decimal(136), SESSION, 1
)
REFUSAL = Refusal("p-IBM", "IBM", "POSITION_VALUE_EXCEEDED", "26000", "25000", AT, "signal")
REPLAY = ReplayState("running", "run-1", 7, SESSION, AT, date(2009, 1, 2), date(2013, 3, 1), 1, 1047)
MODEL = ModelInfo(
    "direction-lr", "cd" * 32, None, ["return_1"], 5, date(2000, 3, 1), date(2008, 12, 23), 0.54, {"brier": 0.248}, True
)
FRESHNESS = Freshness(
    date(2009, 1, 2),
    [
        SymbolFreshness("AAPL", True, date(2009, 1, 2), 90.75),
        SymbolFreshness("IBM", False, date(2008, 12, 31), 84.16, "the newest bar is of 2008-12-31"),
    ],
)
SLOTS = SlotJobs(None, [SlotJob("morning_analysis-20090105", "morning_analysis", SESSION, AT, "completed")])
METRICS = SystemMetrics(
    AT,
    {
        "prediction": ServiceFigures("healthy", True, "pod:7", 61.0, 140.2, 73.0, 4.0),
        "ml-model": ServiceFigures("unreachable", False, last_error="nobody serves ml-model.health now"),
    },
    SystemFigures("container", 12.4, 73.0, 41.0),
    [ProcessFigures("pod:7", ["prediction"], 140.2, 73.0, 4.0)],
    140.2,
)
MADE = BackupMade("20261127T213000Z", AT, "full", ["ledger.db"], 2.5, "complete")
ALERTS = Alerts(
    AT, [Alert("memory_high", "warning", "system", "memory of system is 85 % of the container's limit", AT)]
)
NOTIFICATIONS = Notifications(
    [ChannelState("hook", "webhook", "warning", 1, 0, 3, "hook.example answered 500", AT)],
    [NoticeRecord("n-1", AT, "raised", "memory_high", "system", "warning", "85 % of memory", {"hook": "pending"})],
)
LETTER = DeadLetterInfo(7, AT, "paper-trading", "prediction_generated", 5, "KeyError", complete=True)
REPORT = compose(report_rows())

HEADLINE = Headline("h1", "Apple plunges on fraud probe", "Wire", AT, AT, -0.8)
CANONICAL = {
    "inputs": {
        "bars_revision": "34" * 32,
        "market": {"context": "NEUTRAL"},
        "stale_sessions": 0,
        "features": {"return_1": 0.0123},
        "quality": None,
        "missing": {"quality": "UNAVAILABLE"},
        "model": {"version": "ab" * 32, "probability": 0.58},
        "news": {
            "score": -0.8,
            "count": 1,
            "confidence": 0.63,
            "headlines": [msgspec.to_builtins(HEADLINE)],
            "version": "vader-1-words",
        },
        "news_weight": {"weight": 0.75, "outcomes": 1200, "through": "2008-12-31"},
    },
    "outcome": {"action": "BUY", "margin": 0.01},
}
SERVED = ServingRecord(
    5,
    {"AAPL": [OutcomeDay(SESSION, 2, 1, 1, 1, 0, 0, 0.5, 0.52)], "IBM": []},
    [ServedRows("ab" * 32, {"return_1": [0.01, 0.02], "rsi_14": [0.1, 0.2]})],
)
PARTS = ProbabilityParts("exact", 0.3228, 0.2, [ProbabilityPart("return_1", 0.0123, 0.0004, 0.1228, 1.2, 0.1)], 0.4)


def said(asked: dict[str, Any]) -> SymbolSentiment:
    """Return bad news of AAPL, and none of other shares."""
    if asked["symbol"] == "AAPL":
        return SymbolSentiment("AAPL", -0.8, 0.63, 0.66, [HEADLINE], duplicates=1, version="vader-1-words")
    return SymbolSentiment(asked["symbol"], None, 0.0, 0.0, [], reason="NO_NEWS")


PACKED = {
    "index.html": gzip.compress(b"<!doctype html><title>Replay of banks</title>"),
    "report.json": gzip.compress(b'{"version": 1}'),
}


def replay_part(asked: dict[str, Any]) -> FilePart:
    """Return 20 bytes of a file of the replay `sizes`; `short` has a page that ends too soon."""
    content = PACKED[asked["file"]]
    if asked["replay"] == "short":
        content = content[:-9]
    elif asked["replay"] != "sizes":
        words = f"there is no report of variant {asked['index']} of the replay {asked['replay']}"
        raise RpcError("REPORT_NOT_FOUND", words)
    offset = int(asked.get("offset", 0))
    return FilePart(content[offset : offset + 20], len(content))


ANSWERS: dict[str, dict[str, Any]] = {name: {} for name in SERVICES if name != "gateway"} | {
    "market-data": {
        "get_market_data": MARKET_DATA,
        "get_freshness": FRESHNESS,
        "get_bars": Bars("AAPL", [], "56" * 32),
    },
    "data-quality": {
        "get_quality": lambda asked: Quality({one: SymbolQuality(one, 96.0, True, []) for one in asked["symbols"]})
    },
    "sentiment": {"analyze_sentiment": said},
    "ml-model": {
        "list_models": Models([MODEL]),
        "explain_probability": PARTS,
        "get_drift": Drift({"return_1": 0.31, "rsi_14": 0.02}),
    },
    "ml-training": {},
    "prediction": {
        "generate_single_prediction": prediction(may_trade=False),
        "list_decisions": lambda asked: Decisions(
            [prediction(one) for one in ("AAPL", "IBM") if asked.get("symbol") in (None, one)], 2
        ),
        "get_decision": DecisionRecord(prediction(), CANONICAL, "12" * 32),
        "replay_decision": ReplayedDecision("p-AAPL", "equal", []),
        "get_serving_record": SERVED,
    },
    "paper-trading": {
        "get_account": ACCOUNT,
        "get_equity": EquityCurve(
            [EquityPoint(SESSION, Decimal("89732.60"), Decimal("10403.80"), Decimal("100136.40"))]
        ),
        "get_safety": Safety(True, []),
        "get_positions": Positions([POSITION]),
        "list_orders": Orders([order()], 1),
        "list_refusals": Refusals([REFUSAL], 1),
        "explain": Explanation("AAPL", "p-AAPL", "order", order(), [], ["TRADING_OFF", "HALTED"]),
        "check_ledger": LedgerCheck(1, 1, 0, Decimal(1), Decimal(1), []),
        "halt": lambda asked: HaltState(True, [f"{asked['source']}: {asked['reason']}"]),
        "resume": HaltState(False, []),
    },
    "scheduler": {
        "get_replay": REPLAY,
        "list_jobs": Jobs([]),
        "list_slots": SLOTS,
        "get_report": lambda asked: StoredReport(REPORT, "replay-1", "ab" * 32, True if asked.get("verify") else None),
        "list_replay_reports": ReplayReports([ReplayReportLine("sizes", "0d2f6c1e-aaaa", [0, 1])]),
        "get_replay_report": replay_part,
        "retain_replay_reports": lambda asked: ReplayReports([ReplayReportLine("left", asked["uids"][0], [0])]),
        "list_reports": Reports([ReportLine(REPORT.session, "replay-1", REPORT.as_of, REPORT.summary, "ab" * 32)], 1),
    },
    "backup": {
        "create_backup": MADE,
        "keep_backup": BackupProgress("running", "copy"),
        "restore_backup": lambda asked: BackupRestored(asked["backup_id"], "restore_requested", "far", AT),
        "end_restore": lambda asked: RestoreEnded(asked["id"]),
        "list_backups": Backups([]),
    },
    "monitoring": {
        "collect_system_metrics": METRICS,
        "check_alerts": ALERTS,
        "list_notifications": NOTIFICATIONS,
        "test_notification": SentTestMessages([MessageOutcome("hook", "webhook", delivered=True)]),
        "list_dead_letters": DeadLetters(1, [LETTER]),
        "get_dead_letter": DeadLetterBody(LETTER, "bw.event.high.tick", "m-1", '{"id":"e-1"}'),
        "replay_dead_letter": DeadLetterGone(7, "replayed", "m-2"),
        "drop_dead_letter": DeadLetterGone(7, "dropped"),
    },
}


@dataclass
class Seen:
    """What the fakes were asked: the calls, and the seconds that each had left when it came."""

    calls: list[tuple[str, Call]] = field(default_factory=list)
    left: list[tuple[str, float]] = field(default_factory=list)


def fake(answers: dict[str, Any], seen: Seen | None = None) -> Callable[[ServiceContext], Service]:
    """Return a maker of a service that gives made-up answers: values, functions of the request, or errors."""

    def create(context: ServiceContext) -> Service:
        if context.row.store is not None:
            context.open_store(MetaData())
        service = Service(context.row.name, context)
        for method in context.row.serves:
            service.rpc(method)(_handler(method, answers, seen))
        for pattern in context.row.consumes:
            service.on_event(pattern)(_ignore)
        return service

    return create


def _handler(method: str, answers: dict[str, Any], seen: Seen | None) -> Any:
    async def handle(request: dict[str, Any], call: Call) -> Any:
        if seen is not None:
            seen.calls.append((method, call))
            seen.left.append((method, call.remaining))
        if method not in answers:
            raise RpcError("NOT_IN_THIS_TEST", f"the fake has no answer for {method}")
        given = answers[method]
        if isinstance(given, RpcError):
            raise given
        found = given(request) if callable(given) else given
        return await found if inspect.isawaitable(found) else found

    return handle


async def _ignore(event: Event[dict[str, Any]], call: Call) -> None:
    return None
