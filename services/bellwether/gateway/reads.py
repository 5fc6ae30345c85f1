"""Routes that only look: status, predictions, decisions, account, orders, why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from bellwether.gateway.funnel import funnel
from bellwether.gateway.lineage import lineage
from bellwether.gateway.problems import Problem
from bellwether.gateway.routing import READ, answer, gateway_of, relay
from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar, CalendarError
from bellwether.messages.market_data import Bars, GetBars, GetMarketData, MarketData
from bellwether.messages.models import (
    Drift,
    ExplainProbability,
    GetDrift,
    GetServingRecord,
    ProbabilityParts,
    ServingRecord,
)
from bellwether.messages.monitoring import ListDeadLetters, ListNotifications, PickDeadLetter
from bellwether.messages.prediction import DecisionRecord, Decisions, GetDecision, ListDecisions, Prediction
from bellwether.messages.quality import GetQuality, Quality
from bellwether.messages.registry import ListRegistry, ShowModel
from bellwether.messages.reporting import GetReport, ListReports, StoredReport
from bellwether.messages.scheduling import ListJobs
from bellwether.messages.sentiment import AnalyzeSentiment, SymbolSentiment
from bellwether.messages.trading import (
    Explain,
    Explanation,
    GetEquity,
    ListOrders,
    ListRefusals,
    OrderStatus,
    Positions,
)
from bellwether.reporting.judging import judge
from bellwether.reporting.session_text import session_lines
from bellwether.training.features import WINDOW

router = APIRouter(dependencies=READ)
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
LEDGER_BUDGET = 20.0


@router.get("/v1/status")
async def status(request: Request) -> Response:
    """Return the state of the whole system."""
    return answer(await gateway_of(request).status())


@router.get("/v1/predictions")
async def predictions(request: Request) -> Response:
    """Return the newest decision of each declared symbol."""
    gateway = gateway_of(request)
    wanted = list(gateway.system.spec.symbols)
    found: dict[str, Prediction] = {}
    recent = await gateway.peers.ask("prediction", "list_decisions", ListDecisions(limit=len(wanted) * 2), Decisions)
    for one in recent.decisions:
        found.setdefault(one.symbol, one)
    for symbol in wanted:
        if symbol not in found:
            question = ListDecisions(symbol=symbol, limit=1)
            newest = await gateway.peers.ask("prediction", "list_decisions", question, Decisions)
            found.update({one.symbol: one for one in newest.decisions})
    return answer({"predictions": {symbol: found[symbol] for symbol in wanted if symbol in found}})


@router.get("/v1/decisions")
async def decisions(request: Request, symbol: str | None = None, limit: Limit = 50) -> Response:
    """Return decisions, newest first."""
    return await relay(request, "prediction", "list_decisions", ListDecisions(symbol=symbol, limit=limit))


@router.get("/v1/decisions/{decision_id}")
async def decision(request: Request, decision_id: str, explained: bool = False) -> Response:
    """Return one decision with the record it is stored as; `explained` adds where it came from, in words."""
    peers = gateway_of(request).peers
    record = await peers.ask("prediction", "get_decision", GetDecision(decision_id), DecisionRecord)
    if not explained:
        return answer(record)
    made, inputs = record.prediction, record.canonical["inputs"]
    bars: Bars | Problem | None = None
    if inputs["bars_revision"] is not None:
        question = GetBars(made.symbol, count=WINDOW)
        bars = await peers.try_ask_then(made.timestamp, "market-data", "get_bars", question, Bars)
    parts: ProbabilityParts | Problem | None = None
    if inputs["model"] is not None:
        row = ExplainProbability(made.model_version, inputs["features"], made.symbol)
        parts = await peers.try_ask("ml-model", "explain_probability", row, ProbabilityParts)
    ordered = await peers.try_ask("paper-trading", "explain", Explain(made.symbol, decision_id), Explanation)
    plain = {name: getattr(record, name) for name in record.__struct_fields__}
    return answer({**plain, "lineage": lineage(record, bars, parts, ordered)})


@router.get("/v1/sentiment")
async def sentiment(request: Request, symbol: str | None = None) -> Response:
    """Return what the news says now of one symbol or of all declared ones, with headlines and the source's state."""
    gateway = gateway_of(request)
    declared = gateway.system.spec.symbols
    if symbol is not None and symbol not in declared:
        raise Problem(404, "UNKNOWN_SYMBOL", f"{symbol} is not declared; declared are {', '.join(declared)}")
    wanted = list(declared) if symbol is None else [symbol]
    peers = gateway.peers
    health, *asked = await asyncio.gather(
        peers.try_ask("sentiment", "health", None, dict[str, Any]),
        *(peers.try_ask("sentiment", "analyze_sentiment", AnalyzeSentiment(one), SymbolSentiment) for one in wanted),
    )
    provider = gateway.system.spec.sentiment.provider
    if isinstance(health, Problem):
        state = health.message
    else:
        state = health.get("warning") or ("nobody is asked" if provider == "none" else "read")
    found = [
        SymbolSentiment(one, None, 0.0, 0.0, [], reason=f"{said.code}: {said.message}")
        if isinstance(said, Problem)
        else said
        for one, said in zip(wanted, asked, strict=True)
    ]
    return answer({"news": found, "source": {"provider": provider, "state": state}})


@router.get("/v1/market-data")
async def market_data(request: Request) -> Response:
    """Return the state of every declared symbol: price, indicators, volume, context; `errors` says why one has none."""
    gateway = gateway_of(request)
    declared = gateway.system.spec.symbols
    peers = gateway.peers
    asked = await asyncio.gather(
        *(peers.try_ask("market-data", "get_market_data", GetMarketData(one), MarketData) for one in declared)
    )
    answers = dict(zip(declared, asked, strict=True))
    found = {symbol: one for symbol, one in answers.items() if isinstance(one, MarketData)}
    errors = {symbol: f"{one.code}: {one.message}" for symbol, one in answers.items() if isinstance(one, Problem)}
    return answer({"market_data": found, "errors": errors})


@router.get("/v1/positions")
async def positions(request: Request) -> Response:
    """Return what is held."""
    return await relay(request, "paper-trading", "get_positions")


@router.get("/v1/account")
async def account(request: Request) -> Response:
    """Return cash, equity and what halts."""
    return await relay(request, "paper-trading", "get_account")


@router.get("/v1/equity")
async def equity(request: Request, limit: Annotated[int, Query(ge=2, le=2000)] = 400) -> Response:
    """Return the account at the close of each session of the present run."""
    return await relay(request, "paper-trading", "get_equity", GetEquity(limit))


@router.get("/v1/orders")
async def orders(
    request: Request, symbol: str | None = None, status: OrderStatus | None = None, limit: Limit = 50
) -> Response:
    """Return orders, newest first."""
    return await relay(request, "paper-trading", "list_orders", ListOrders(symbol=symbol, status=status, limit=limit))


@router.get("/v1/refusals")
async def refusals(request: Request, symbol: str | None = None, limit: Limit = 50) -> Response:
    """Return what the guards refused, newest first."""
    return await relay(request, "paper-trading", "list_refusals", ListRefusals(symbol=symbol, limit=limit))


@router.get("/v1/jobs")
async def jobs(request: Request, limit: Limit = 50) -> Response:
    """Return slots and jobs, newest first."""
    return await relay(request, "scheduler", "list_jobs", ListJobs(limit=limit))


@router.get("/v1/reports")
async def reports(request: Request, limit: Limit = 50) -> Response:
    """Return the sessions that have a report, newest first, each in one line."""
    return await relay(request, "scheduler", "list_reports", ListReports(limit))


@router.get("/v1/reports/{session}")
async def report(
    request: Request, session: str, verify: bool = False, format: Literal["json", "text"] = "json"
) -> Response:
    """Return the report of a session (`2009-01-05`, or `latest`); `verify` composes it again from its rows."""
    question = GetReport(_day(session), verify)
    found = await gateway_of(request).peers.ask("scheduler", "get_report", question, StoredReport)
    if format == "text":
        return PlainTextResponse("\n".join(session_lines(found.report)) + "\n")
    return answer(found)


def _day(session: str) -> date | None:
    if session == "latest":
        return None
    try:
        return date.fromisoformat(session)
    except ValueError:
        raise Problem(422, "INVALID_PARAMS", f"session {session!r}: a day is written 2009-01-05, or latest") from None


@router.get("/v1/ledger/check")
async def ledger_check(request: Request) -> Response:
    """Compute the ledger again from its events and compare."""
    return await relay(request, "paper-trading", "check_ledger", budget=LEDGER_BUDGET)


@router.get("/v1/why/{symbol}")
async def why(request: Request, symbol: str, session: str = "latest") -> Response:
    """Return the way of a symbol's decision from bars to order, and where it stopped: the newest, or a session's."""
    day = _day(session)
    gateway = gateway_of(request)
    declared = gateway.system.spec.symbols
    if day is not None:
        _refuse_without_session(calendar_of(gateway.system.spec.market), day)
    peers = gateway.peers
    if symbol not in declared:
        held = (await peers.ask("paper-trading", "get_positions", None, Positions)).positions
        if symbol not in {one.symbol for one in held}:
            words = f"{symbol} is neither declared nor held; declared are {', '.join(declared)}"
            raise Problem(404, "UNKNOWN_SYMBOL", words)
    question = ListDecisions(symbol, 1) if day is None else ListDecisions(symbol, 100, _after(day))
    found = await peers.try_ask("prediction", "list_decisions", question, Decisions)
    made = found if isinstance(found, Problem) else _decision_for(day, found.decisions)
    explanation: Explanation | Problem | None = None
    if isinstance(made, Prediction):
        asked = Explain(symbol, made.prediction_id)
        explanation = await peers.try_ask("paper-trading", "explain", asked, Explanation)
    least = float(gateway.system.spec.quality.min_score)
    if day is not None:
        return answer(funnel(symbol, None, made, explanation, min_score=least, session=day))
    bars = await peers.try_ask("market-data", "get_market_data", GetMarketData(symbol), MarketData)
    judged = await peers.try_ask("data-quality", "get_quality", GetQuality([symbol]), Quality)
    quality = judged if isinstance(judged, Problem) else judged.symbols.get(symbol)
    return answer(funnel(symbol, bars, made, explanation, quality=quality, min_score=least))


def _refuse_without_session(calendar: Calendar, day: date) -> None:
    try:
        if calendar.session_on(day) is not None:
            return
        following = calendar.after(day, 1)
        before = calendar.previous_session(following.open).day
        words = f"{calendar.name} has no session on {day}: the one before is {before}, the next one {following.day}"
    except CalendarError as error:
        words = str(error)
    raise Problem(422, "NO_SESSION", words)


def _after(session: date) -> datetime:
    """Return an instant at which the day of a session is over, in whatever time zone that is."""
    return datetime.combine(session, time(12), UTC) + timedelta(days=1)


def _decision_for(session: date | None, newest_first: Sequence[Prediction]) -> Prediction | None:
    """Return the newest decision; with a session the newest for it that might trade, else the newest for it."""
    found = [one for one in newest_first if session in (None, one.target_session)]
    return next((one for one in found if session and one.may_trade), next(iter(found), None))


@router.get("/v1/quality")
async def quality(request: Request) -> Response:
    """Return the quality of every declared symbol's bars, with the rules that are broken."""
    return await relay(request, "data-quality", "get_quality", GetQuality())


@router.get("/v1/models")
async def models(request: Request, model_name: str | None = None, limit: int = 500) -> Response:
    """Return the models of the registry, their stages, and what the gate said.

    What serves or is in shadow is always there, and up to `limit` (at most 500) others, the newest; `total` counts all.
    """
    return await relay(request, "ml-training", "list_registry", ListRegistry(model_name, limit))


@router.get("/v1/models/{version}")
async def model(request: Request, version: str) -> Response:
    """Return a model of the registry by its version, or the beginning of one, with its live record."""
    return await relay(request, "ml-training", "show_model", ShowModel(version))


@router.get("/v1/serving")
async def serving(request: Request) -> Response:
    """Return live hit rate and Brier score beside the base rate by symbol, and the drift of features by model.

    Intervals of a symbol are of its own sessions. Drift compares the newest 500 decisions that may trade, at most, with
    the training rows.
    """
    gateway = gateway_of(request)
    question = GetServingRecord(list(gateway.system.spec.symbols))
    found = await gateway.peers.ask("prediction", "get_serving_record", question, ServingRecord)
    symbols = {symbol: judge(days, [], found.horizon_sessions) for symbol, days in found.outcomes.items()}
    drift: list[dict[str, Any]] = []
    for rows in found.rows:
        asked = GetDrift(rows.version, rows.values)
        drifted = await gateway.peers.try_ask("ml-model", "get_drift", asked, Drift)
        shown: dict[str, Any] = {"version": rows.version, "rows": max(map(len, rows.values.values()), default=0)}
        if isinstance(drifted, Problem):
            drift.append({**shown, "index": {}, "problem": drifted.message})
        else:
            drift.append({**shown, "index": drifted.index, "problem": drifted.problem})
    return answer({"symbols": symbols, "drift": drift})


@router.get("/v1/training")
async def training(request: Request) -> Response:
    """Return how training is."""
    return await relay(request, "ml-training", "get_training")


@router.get("/v1/system")
async def system(request: Request) -> Response:
    """Return the health of every service, the memory and CPU of each process, and the machine's figures."""
    return await relay(request, "monitoring", "collect_system_metrics")


@router.get("/v1/alerts")
async def alerts(request: Request) -> Response:
    """Return what is wrong with the system, critical first."""
    return await relay(request, "monitoring", "check_alerts")


@router.get("/v1/dead-letters")
async def dead_letters(request: Request, after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 50) -> Response:
    """Return events that were given up, oldest first, from a number on."""
    return await relay(request, "monitoring", "list_dead_letters", ListDeadLetters(after, min(limit, 200)))


@router.get("/v1/dead-letters/{number}")
async def dead_letter(request: Request, number: int) -> Response:
    """Return one dead letter with its event."""
    return await relay(request, "monitoring", "get_dead_letter", PickDeadLetter(number))


@router.get("/v1/notifications")
async def notifications(request: Request, limit: Limit = 50) -> Response:
    """Return the declared notifications, and the newest notices with how far each is."""
    return await relay(request, "monitoring", "list_notifications", ListNotifications(limit))
