"""What each step of a session's work asks of the other services, and in which order. Every one may be repeated."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

import msgspec

from bellwether.market.declared import BACKUP_TASK
from bellwether.messages.backup import BackupMade, CreateBackup
from bellwether.messages.envelope import LIVE
from bellwether.messages.market_data import PublishBars, PublishedBars
from bellwether.messages.prediction import GeneratePredictions, PredictionBatch, RecordedOutcomes, RecordOutcomes
from bellwether.messages.quality import DataQualityReport
from bellwether.messages.trading import SessionClose, SessionClosed, SessionOpen, SessionOpened
from bellwether.runtime.builtins import Settle, Settled
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.scheduling.reports import TRADING_TASK, SessionReports
from bellwether.scheduling.timeline import Step

MORNING_TASK = "morning_analysis"
OUTCOMES_TASK = "evening_analysis"

ALL_FAILED = "PREDICTIONS_FAILED"
"""Code with which a slot fails that predicted nothing; where one symbol fails of several, the others go on."""

TRIED_AGAIN = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED", "STOPPING", "NOT_SETTLED", "NOT_READY", "MODEL_NOT_READY"}
)
"""Codes that say a peer is unreachable or not ready yet: the step is tried again for as long as it takes."""

_log = logging.getLogger(__name__)


async def perform(step: Step, call: Call, reports: SessionReports) -> dict[str, Any]:
    """Do one step as of its instant; return what is worth keeping of it.

    Raises:
        RpcError: of the service that could not do its part.
    """
    if step.kind == "open":
        opened = await call.request("paper-trading", "session_open", SessionOpen(step.session), SessionOpened)
        return _plain(opened)
    if step.kind == "close":
        return await close_session(step.session, call)
    return await run_task(step.task, step.name, step.session, call, reports)


async def close_session(session: date, call: Call) -> dict[str, Any]:
    """Publish the session's bars, let prediction see them, then close the book of the day."""
    await settle("prediction", await _publish_bars(session, call), call)
    return await _close_book(session, call)


async def close_live_session(session: date, call: Call) -> dict[str, Any]:
    """Close a session of the present: as `close_session`, with a last open for orders whose price came late.

    Publishing reads the source once more, so no order is given up for a bar that is there. That prediction has seen
    the bars is waited for last and only for as long as the call may take: selling and closing need no predictor.

    Raises:
        RpcError: BARS_AWAITED while the ledger waits for bars; or of market-data or paper-trading, when it could not
            do its part.
    """
    published = await _publish_bars(session, call)
    await call.request("paper-trading", "session_open", SessionOpen(session), SessionOpened)
    closed = await _close_book(session, call)
    try:
        await settle("prediction", published, call)
    except RpcError as error:
        _log.warning("session %s is closed before prediction has seen its bars: %s", session, error)
    return closed


async def _publish_bars(session: date, call: Call) -> list[str]:
    published = await call.request("market-data", "publish_bars", PublishBars(session), PublishedBars)
    return published.event_ids


async def _close_book(session: date, call: Call) -> dict[str, Any]:
    closed = await call.request("paper-trading", "session_close", SessionClose(session), SessionClosed)
    return _plain(closed)


async def run_task(task: str, slot: str, session: date, call: Call, reports: SessionReports) -> dict[str, Any]:
    """Do the work of a slot.

    morning_analysis reads the source again, judges the data and makes predictions for looking at; prediction_generation
    is the batch that may trade; evening_analysis judges the data, writes realised outcomes and the session's report.
    Every other task, of a name of one's own, makes predictions for looking at.
    """
    if task == BACKUP_TASK:
        wanted = CreateBackup("auto")
        return _plain(await call.request("backup", "create_backup", wanted, BackupMade))
    if task == OUTCOMES_TASK:
        return await _evening(slot, session, call, reports)
    found: dict[str, Any] = {}
    if task == MORNING_TASK:
        found = await _refresh(session, call, reports)
        await _monitor_quality(call)
    trades = task == TRADING_TASK
    request = GeneratePredictions(force_refresh=trades, may_trade=trades, slot=slot)
    batch = await call.request("prediction", "generate_predictions", request, PredictionBatch)
    await settle("paper-trading", batch.event_ids, call)
    _try_again_if_unreachable(batch.errors)
    if batch.errors and not batch.summary.successful:
        reasons = "; ".join(f"{symbol}: {error}" for symbol, error in sorted(batch.errors.items()))
        raise RpcError(ALL_FAILED, f"every prediction failed: {reasons}")
    return {"summary": _plain(batch.summary), "errors": batch.errors, **found}


async def _evening(slot: str, session: date, call: Call, reports: SessionReports) -> dict[str, Any]:
    quality = await _monitor_quality(call)
    outcomes = await call.request("prediction", "record_outcomes", RecordOutcomes(session), RecordedOutcomes)
    sha256 = await reports.make(session, slot, quality, call)
    return {**_plain(outcomes), "report": sha256}


async def _refresh(session: date, call: Call, reports: SessionReports) -> dict[str, Any]:
    """Have the source read once more, so that what came overnight counts; a replay's bars do not change.

    What cannot be read does not hold up the morning: data quality names it, and orders on stale bars are refused.
    """
    before = reports.session_before(session)
    if call.run != LIVE or before is None:
        return {}
    try:
        await settle("prediction", await _publish_bars(before, call), call)
    except RpcError as error:
        _log.warning("the bars of %s could not be read again: %s", before, error)
        return {"refresh_error": str(error)}
    return {}


async def _monitor_quality(call: Call) -> DataQualityReport:
    """Have the quality of all symbols judged, and the alert raised or cleared."""
    return await call.request("data-quality", "monitor_data_quality", None, DataQualityReport)


def _try_again_if_unreachable(errors: dict[str, str]) -> None:
    """Refuse a batch that failed for a symbol only because a service was unreachable: the slot is not done yet."""
    for symbol, error in sorted(errors.items()):
        code = error.partition(":")[0]
        if code in TRIED_AGAIN:
            raise RpcError(code, f"{symbol}: {error}")


async def settle(service: str, event_ids: list[str], call: Call) -> None:
    """Wait until a service has processed these events and what followed is published.

    It is durable, too, but in a replay of one process, whose conductor asks for that when its cursor is to be.
    """
    if event_ids:
        await call.request(service, "settle", Settle(event_ids, durable=False), Settled)


async def make_durable(service: str, call: Call) -> None:
    """Wait until all that a service did is on disk."""
    await call.request(service, "settle", Settle(), Settled)


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found
