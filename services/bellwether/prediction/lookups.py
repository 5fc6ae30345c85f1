"""Questions about stored decisions: nothing here makes one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from bellwether.messages import prediction as messages
from bellwether.messages.envelope import LIVE
from bellwether.messages.models import GetServingRecord, ServingRecord
from bellwether.messages.registry import GetLiveRecords, LiveRecords
from bellwether.messages.reporting import GetSessionDecisions, SessionDecisions
from bellwether.prediction import live, replay, tables
from bellwether.prediction import store as rows
from bellwether.prediction.session import MOST_SESSIONS, serving_record, session_decisions
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.runtime.errors import RpcError
from bellwether.spec.fields import parse_duration
from bellwether.storage.store import Store, Transaction

MOST_LISTED = 500


class Lookups:
    """Answers from the store of decisions."""

    def __init__(self, store: Store, context: ServiceContext) -> None:
        self._store = store
        self._context = context

    async def get_prediction(self, request: messages.GetPrediction, call: Call) -> messages.Prediction:
        """Return the newest prediction that still answers for a symbol."""
        spec = declared(self._context).current.spec
        ttl = parse_duration(spec.predictions.cache_ttl)
        found = await self._store.transact(lambda tx: rows.fresh(tx, request.symbol, call.as_of, ttl, only(call)))
        if found is None and request.symbol not in spec.symbols:
            raise RpcError(
                "UNKNOWN_SYMBOL", f"{request.symbol} is not declared; declared are {', '.join(spec.symbols)}"
            )
        if found is None:
            raise RpcError("NO_PREDICTION", f"there is no fresh prediction of {request.symbol}: ask for a new one")
        return as_cached(found.prediction, call.as_of)

    async def get_buy_rate(self, request: messages.GetBuyRate, call: Call) -> messages.BuyRate:
        """Return the share of BUY and STRONG_BUY in a timeframe."""
        conditions = self._timeframe(request, call)
        counts = await self._store.transact(lambda tx: rows.count_actions(tx, *conditions))
        total, buys = sum(counts.values()), sum(counts.get(action, 0) for action in messages.BUY_ACTIONS)
        rate = round(100.0 * buys / total, 4) if total else None
        return messages.BuyRate(rate, total, buys, request.timeframe, counts)

    def _timeframe(self, request: messages.GetBuyRate, call: Call) -> list[Any]:
        table, run = tables.decisions.c, only(call)
        found: list[Any] = [] if run is None else [table.run == run]
        match request.timeframe:
            case "current":
                found.append(rows.newest_per_symbol(run))
            case "session":
                calendar = declared(self._context).calendar
                session = calendar.session_at(call.as_of) or calendar.next_session(call.as_of)
                found.append(table.target_session == session.day.isoformat())
            case "day":
                found.append(table.as_of > rows.stamp(call.as_of - timedelta(days=1)))
            case "week":
                found.append(table.as_of > rows.stamp(call.as_of - timedelta(days=7)))
            case "all":
                pass
        return found

    async def clear_cache(self, call: Call) -> messages.ClearedCache:
        """See to it that nothing made so far answers any more."""
        ttl = parse_duration(declared(self._context).current.spec.predictions.cache_ttl)
        symbols = declared(self._context).current.spec.symbols

        def work(tx: Transaction) -> int:
            count = sum(rows.fresh(tx, symbol, call.as_of, ttl, only(call)) is not None for symbol in symbols)
            rows.mark(tx, call.run, rows.EVERY_SYMBOL, None)
            return count

        return messages.ClearedCache(await self._store.transact(work))

    async def list_decisions(self, request: messages.ListDecisions, call: Call) -> messages.Decisions:
        """Return decisions, newest first."""
        if not 1 <= request.limit <= MOST_LISTED:
            raise RpcError("INVALID_PARAMS", f"limit is {request.limit}: it must be from 1 to {MOST_LISTED}")
        found, total = await self._store.transact(
            lambda tx: rows.newest(tx, only(call), request.symbol, request.limit, request.before)
        )
        return messages.Decisions([row.prediction for row in found], total)

    async def get_decision(self, request: messages.GetDecision, call: Call) -> messages.DecisionRecord:
        """Return a decision with its canonical record."""
        row = await self._row(request.prediction_id, call)
        known = await self._store.transact(lambda tx: rows.outcome_of(tx, row.run, row.prediction.prediction_id))
        outcome = None if known is None else messages.DecisionOutcome(*known)
        return messages.DecisionRecord(row.prediction, msgspec.json.decode(row.canonical), row.sha256, outcome)

    async def replay_decision(self, request: messages.ReplayDecision, call: Call) -> messages.ReplayedDecision:
        """Compute a decision again from its stored inputs and compare the bytes."""
        row = await self._row(request.prediction_id, call)
        return await replay.again(row.prediction.prediction_id, row.canonical, call)

    async def _row(self, identifier: str, call: Call) -> rows.Row:
        row = await self._store.transact(lambda tx: rows.find(tx, identifier, only(call)))
        if row is None:
            raise RpcError("UNKNOWN_DECISION", f"there is no decision {identifier!r}")
        return row

    async def get_session_decisions(self, request: GetSessionDecisions, call: Call) -> SessionDecisions:
        """Return what was decided for a session and what came of earlier decisions, of the caller's run."""
        if not 0 <= request.sessions <= MOST_SESSIONS:
            raise RpcError("INVALID_PARAMS", f"sessions is {request.sessions}: it must be from 0 to {MOST_SESSIONS}")
        return await self._store.transact(lambda tx: session_decisions(tx, call.run, request))

    async def get_serving_record(self, request: GetServingRecord, call: Call) -> ServingRecord:
        """Return how decisions of the caller's run fared by symbol, and with which features models were asked."""
        return await self._store.transact(lambda tx: serving_record(tx, call.run, request.symbols))

    async def get_live_records(self, request: GetLiveRecords, call: Call) -> LiveRecords:
        """Return what came of the decisions that versions of models made, or were asked beside, in the caller's run."""
        if len(request.versions) > live.MOST_VERSIONS:
            words = f"{len(request.versions)} versions: at most {live.MOST_VERSIONS} are reported at once"
            raise RpcError("INVALID_PARAMS", words)
        return await self._store.transact(lambda tx: live.records(tx, call.run, request.versions))


def declared(context: ServiceContext) -> DeclarationHolder:
    """Return the declaration; raises NOT_READY before there is one."""
    if not context.declaration.known:
        raise RpcError("NOT_READY", "there is no declaration yet")
    return context.declaration


def only(call: Call) -> str | None:
    """Return the run to look at: that of the caller; people's calls carry none and see every run of the system."""
    return None if call.run == LIVE else call.run


def as_cached(prediction: messages.Prediction, as_of: datetime) -> messages.Prediction:
    """Return a prediction made earlier, marked as that and with its age in seconds."""
    age = (as_of - prediction.timestamp).total_seconds()
    return msgspec.structs.replace(prediction, cached=True, cache_age=age)
