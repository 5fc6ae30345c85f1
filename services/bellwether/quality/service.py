"""data-quality: judges the bars and the data of predictions by one table of rules, and warns when they are poor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import LIVE
from bellwether.messages.market_data import Bar, Evidences, GetEvidence
from bellwether.messages.market_data import Evidence as Reported
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.quality import (
    DataQualityAlert,
    DataQualityReport,
    GetQuality,
    Quality,
    SymbolQuality,
    ValidatedPredictionData,
    ValidatePredictionData,
)
from bellwether.quality.evidence import all_plausible, evidence_of
from bellwether.quality.rules import WINDOW
from bellwether.quality.score import assess, check_values, overall, scored
from bellwether.runtime.alarm import CLEAR, Alarm, transition
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystem

NOTHING_TO_MEASURE = frozenset({"BARS_LOADING", "NO_BARS", "SOURCE_UNAVAILABLE"})
"""Answers of market-data that say there is nothing to measure: the score is unknown."""
MOST_ASKED = 20
"""Symbols whose evidence is asked for at once: a reply has room for the bars of some more."""


class _Kept:
    """The last judgement of a symbol: what it was made of, its bars if they are plausible, the newest close."""

    __slots__ = ("close", "least", "plausible", "quality", "token")

    def __init__(
        self, token: str, least: float, close: float | None, quality: SymbolQuality, plausible: Sequence[Bar] = ()
    ) -> None:
        self.token, self.least, self.close, self.quality, self.plausible = token, least, close, quality, plausible


class QualityService:
    """The judgements, kept for as long as the evidence does not change."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self._kept: dict[str, _Kept] = {}
        self._newest: tuple[tuple[str, datetime, float, Sequence[str]] | None, dict[str, tuple[_Kept, str]]] = None, {}
        self._overall: float | None = None
        self._alarm = CLEAR

    def declared(self, system: TradingSystem) -> None:
        """Forget what was judged of symbols that are not declared any more."""
        # A calendar that cannot be made fails the acknowledgement.
        _ = self.context.declaration.calendar
        self._kept = {symbol: kept for symbol, kept in self._kept.items() if symbol in system.spec.symbols}
        self._newest = None, {}

    @property
    def _system(self) -> TradingSystem:
        if not self.context.declaration.known:
            raise RpcError("NOT_READY", "there is no declaration yet, so no symbol is known")
        return self.context.declaration.current

    # Answering

    async def get_quality(self, request: GetQuality, call: Call) -> Quality:
        """Return the scores of symbols as of the request; default: all that are declared."""
        found = await self._judge(request.symbols or list(self._system.spec.symbols), call)
        for symbol, trace in request.traces.items():
            with call.start_span("data-quality.get_quality", parent=trace, attributes={"bellwether.symbol": symbol}):
                pass
        return Quality({symbol: kept.quality for symbol, (kept, _) in found.items()})

    async def validate_prediction_data(self, request: ValidatePredictionData, call: Call) -> ValidatedPredictionData:
        """Return whether a prediction's data can be relied on: the symbol's bars, and the values beside it."""
        symbol = request.data.get("symbol")
        if not isinstance(symbol, str) or not symbol:
            raise RpcError("INVALID_PARAMS", f"data.symbol is {symbol!r}: it must name the share, such as CBA.AX")
        kept, reason = (await self._judge([symbol], call))[symbol]
        quality = kept.quality
        values = check_values(request.data, kept.close)
        if quality.quality_score is None:
            score, findings, issues = None, values, [reason or "nothing was measured"]
        else:
            both = scored(symbol, [*quality.findings, *values], self._least, quality.revision, quality.last_session)
            score, findings, issues = both.quality_score, both.findings, []
        return ValidatedPredictionData(
            symbol=symbol,
            valid=score is not None and score >= self._least,
            quality_score=score,
            issues=issues + [finding.message for finding in findings],
            findings=list(findings),
            last_session=quality.last_session,
        )

    async def monitor_data_quality(self, call: Call) -> DataQualityReport:
        """Return the quality of every declared symbol; raise or clear the alert by the overall score."""
        found = await self._judge(list(self._system.spec.symbols), call)
        qualities = {symbol: kept.quality for symbol, (kept, _) in found.items()}
        score = self._overall = overall(list(qualities.values()))
        await self._alert(score, qualities, call)
        return DataQualityReport(
            timestamp=call.as_of,
            overall_score=score,
            min_score=self._least,
            symbols=qualities,
            unmeasured={symbol: reason for symbol, (_, reason) in found.items() if reason},
        )

    def health(self) -> dict[str, Any]:
        """Return what health says besides; degraded while the overall score is below what is declared."""
        found: dict[str, Any] = {"overall_score": self._overall, "judged": len(self._kept)}
        if self._alarm.raised:
            found["status"] = "degraded"
            found["warning"] = f"data quality is {self._overall}, below quality.minScore {self._least:g}"
        return found

    def alarms(self) -> list[AlarmReading]:
        """Return the alarm of an overall score that is too low."""
        if not self._alarm.raised:
            return []
        return [alarm("data_quality_low", f"data quality is {self._overall}, below quality.minScore {self._least:g}")]

    # Judging

    @property
    def _least(self) -> float:
        return float(self._system.spec.quality.min_score)

    async def _judge(self, symbols: Sequence[str], call: Call) -> dict[str, tuple[_Kept, str]]:
        """Return the judgement of each symbol, and why there is none where nothing can be measured."""
        least, found = self._least, dict[str, tuple[_Kept, str]]()
        question = (call.run, call.as_of, least, symbols)
        if self._newest[0] == question and call.run != LIVE:
            # A replay asks twice in the morning, and its bars do not change meanwhile.
            return self._newest[1]
        for start in range(0, len(symbols), MOST_ASKED):
            asked = symbols[start : start + MOST_ASKED]
            kept = {one: self._kept[one] for one in asked if one in self._kept}
            known = {symbol: one.token for symbol, one in kept.items() if one.least == least}
            asking = GetEvidence(list(asked), WINDOW, known)
            reported = await call.request("market-data", "get_evidence", asking, Evidences, idempotent=True)
            for symbol in asked:
                error = reported.errors.get(symbol)
                if error is None:
                    found[symbol] = self._judged(reported.symbols[symbol], kept.get(symbol), least, call.as_of)
                elif error.code in NOTHING_TO_MEASURE:
                    nothing = _Kept("", least, None, _unknown(symbol))
                    found[symbol] = (nothing, f"{error.code}: {error.message}")
                else:
                    raise RpcError(error.code, error.message, symbol=symbol)
        if not any(reason for _, reason in found.values()):
            self._newest = question, found
        return found

    def _judged(self, reported: Reported, kept: _Kept | None, least: float, as_of: datetime) -> tuple[_Kept, str]:
        symbol = reported.symbol
        if kept is None or not reported.unchanged:
            quiet = all_plausible(reported.bars, () if kept is None else kept.plausible)
            evidence = evidence_of(reported, self.context.declaration.calendar, as_of, plausible=quiet)
            close = reported.bars[-1].close if reported.bars else None
            quality = assess(evidence, least, reported.revision)
            kept = _Kept(reported.token, least, close, quality, reported.bars if quiet else ())
            self._kept[symbol] = kept
        reason = "" if kept.quality.quality_score is not None else f"NO_BARS: {symbol} has no complete bar yet"
        return kept, reason

    async def _alert(self, score: float | None, qualities: Mapping[str, SymbolQuality], call: Call) -> None:
        """Publish a change of state once. An unknown score changes nothing: it is neither good nor bad."""
        alarm = Alarm(raise_at=self._least, clear_at=self._least, severity="warning", low=True)
        before, self._alarm = self._alarm, alarm.judge(self._alarm, score, call.as_of)
        if score is None or transition(before, self._alarm) is None:
            return
        raised = self._alarm.raised
        low = {one.symbol: one for one in qualities.values() if one.quality_score is not None and not one.valid}
        alert = DataQualityAlert(
            state="raised" if raised else "cleared",
            overall_score=score,
            min_score=self._least,
            symbols={symbol: one.quality_score or 0.0 for symbol, one in low.items()} if raised else {},
            issues=[f"{one.symbol}: {one.findings[0].message}" for one in low.values() if one.findings]
            if raised
            else [],
        )
        event_id = f"data_quality_alert-{alert.state}-{call.as_of:%Y%m%dT%H%M%S}"
        await call.publish_event("data_quality_alert", alert, event_id=event_id)


def _unknown(symbol: str) -> SymbolQuality:
    return SymbolQuality(symbol, None, False, [])


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime."""
    service = Service("data-quality", context)
    quality = QualityService(context)
    for handler in (quality.validate_prediction_data, quality.monitor_data_quality, quality.get_quality):
        service.rpc(handler.__name__)(handler)
    service.on_declaration(quality.declared)
    service.on_health(quality.health)
    service.on_alarms(quality.alarms)
    return service
