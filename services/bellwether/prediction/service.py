"""prediction: owns the decisions; joins bars and model into a prediction with its reasons, and publishes it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bellwether.market.sessions import Calendar
from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import LIVE, Event
from bellwether.messages.market_data import MarketDataUpdated
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.prediction import (
    BUY_ACTIONS,
    Action,
    GeneratePredictions,
    GenerateSinglePrediction,
    Prediction,
    PredictionBatch,
    PredictionGenerated,
    PrunedDecisions,
    PruneDecisions,
    RecordedOutcomes,
    RecordOutcomes,
    Summary,
)
from bellwether.prediction import logic, tables
from bellwether.prediction import store as rows
from bellwether.prediction.faults import Attempts, alarms_of, all_or_none, turn_alerts, warning_of
from bellwether.prediction.gather import Gathered, Question, Recent, gather_inputs
from bellwether.prediction.learning import NewsLearning
from bellwether.prediction.lookups import Lookups, as_cached, declared, only
from bellwether.prediction.outcomes import Realised, realised
from bellwether.prediction.scores import ActionCounts, Brier, BrierScores
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import INTERNAL, RpcError
from bellwether.runtime.service import Service
from bellwether.spec.fields import parse_days, parse_duration
from bellwether.spec.models import TradingSystem, TradingSystemSpec
from bellwether.storage.store import Transaction
from bellwether.training.recipe import recipe_features

_log = logging.getLogger(__name__)
_Stored = dict[str, rows.Row]


@dataclass(slots=True)
class _Kept:
    """What one look at the store found before a batch."""

    stored: _Stored
    cached: dict[str, rows.Row]
    bar_traces: dict[str, str]


class PredictionService:
    """The decisions and how they come about."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.store = context.open_store(tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES)
        self.lookups = Lookups(self.store, context)
        self._attempts = Attempts()
        self._model_answered = False
        self._news = NewsLearning(self.store)
        self._brier = BrierScores()
        self._counts = ActionCounts()
        self._recent = Recent()

    # Making

    async def generate_predictions(self, request: GeneratePredictions, call: Call) -> PredictionBatch:
        """Predict several symbols; one that fails does not fail the others.

        A replay's slot for which a service is unreachable decides nothing yet: it is asked for again until all answer.
        """
        spec, calendar = self._spec, self._calendar
        symbols = list(dict.fromkeys(request.symbols or spec.symbols))
        ids = {symbol: logic.decision_id(request.slot, call.as_of, symbol) for symbol in symbols}
        use_cache = not request.force_refresh and request.slot is None
        kept = await self.store.transact(lambda tx: self._look(tx, ids, use_cache, call))
        missing = [symbol for symbol in symbols if ids[symbol] not in kept.stored and symbol not in kept.cached]
        made: dict[str, rows.New | str] = {}
        if missing:
            question = await self._question(missing, request, spec, calendar, call)
            made = all_or_none(request, await self._decide_all(question, ids, kept.bar_traces, call), call)
        errors = {symbol: found for symbol, found in made.items() if isinstance(found, str)}
        predictions: dict[str, Prediction] = {}
        for symbol in sorted(symbols):
            new = made.get(symbol)
            if isinstance(new, rows.New):
                predictions[symbol] = new.prediction
            elif ids[symbol] in kept.stored:
                predictions[symbol] = kept.stored[ids[symbol]].prediction
            elif symbol in kept.cached:
                predictions[symbol] = as_cached(kept.cached[symbol].prediction, call.as_of)
        turn = logic.in_turn(predictions)
        fresh_ids = [_event_id(predictions[symbol]) for symbol in turn if not predictions[symbol].cached]
        rate, _ = logic.buy_rate([one.action for one in predictions.values()])

        def write(tx: Transaction, stored: _Stored) -> None:
            news: list[rows.New] = []
            for symbol in turn:
                new = made.get(symbol)
                row = stored.get(ids[symbol])
                if row is not None:
                    rows.add(tx, call.run, news)
                    news.clear()
                    # The step is being repeated: its events are published again, consumers drop what they have.
                    predictions[symbol] = row.prediction
                    data = PredictionGenerated(row.prediction)
                    tx.outbox(rows.event_again(row, call, data, _event_id(row.prediction)))
                elif isinstance(new, rows.New):
                    news.append(new)
            rows.add(tx, call.run, news)
            # A repeated step changes no alert: those of later steps may be raised already.
            if request.may_trade and any(symbol in made and ids[symbol] not in stored for symbol in turn):
                turn_alerts(tx, [one.action for one in predictions.values()], spec.predictions, request.slot, call)

        if fresh_ids:
            await self._write(write, kept.stored, ids, call)
        return PredictionBatch(
            predictions=predictions,
            errors=errors,
            summary=Summary(
                total_symbols=len(symbols),
                successful=len(predictions),
                failed=len(errors),
                cache_hits=len(kept.cached),
                fresh_predictions=len(fresh_ids),
                buy_rate=rate,
            ),
            event_ids=fresh_ids,
        )

    async def generate_single_prediction(self, request: GenerateSinglePrediction, call: Call) -> Prediction:
        """Predict one symbol for looking at."""
        batch = await self.generate_predictions(GeneratePredictions([request.symbol], request.force_refresh), call)
        if request.symbol in batch.errors:
            code, _, message = batch.errors[request.symbol].partition(": ")
            raise RpcError(code, message, symbol=request.symbol)
        return batch.predictions[request.symbol]

    async def _write(
        self, write: Callable[[Transaction, _Stored], None], stored: _Stored, ids: Mapping[str, str], call: Call
    ) -> None:
        try:
            await self.store.transact(lambda tx: write(tx, stored))
        except sqlite3.IntegrityError:
            # A try that its caller gave up on has stored them since we looked.
            await self.store.transact(lambda tx: write(tx, rows.stored(tx, call.run, ids.values())))

    async def _question(
        self,
        symbols: Sequence[str],
        request: GeneratePredictions,
        spec: TradingSystemSpec,
        calendar: Calendar,
        call: Call,
    ) -> Question:
        """Return what is to be decided of some symbols, and by what."""
        return Question(
            symbols=tuple(symbols),
            as_of=call.as_of,
            slot=request.slot,
            trade_asked=request.may_trade,
            model_name=spec.predictions.model,
            wait_for_model=request.slot is not None,
            news_declared=spec.sentiment.provider != "none",
            basket=tuple(sorted(spec.symbols)),
            news_weight=await self._news.weight(spec.sentiment.provider, calendar, call),
            recent=self._recent,
            feature_names=recipe_features(spec.predictions.model),
        )

    def _look(self, tx: Transaction, ids: dict[str, str], use_cache: bool, call: Call) -> _Kept:
        stored = rows.stored(tx, call.run, ids.values())
        cached: dict[str, rows.Row] = {}
        if use_cache:
            ttl = parse_duration(self._spec.predictions.cache_ttl)
            for symbol, identifier in ids.items():
                found = None if identifier in stored else rows.fresh(tx, symbol, call.as_of, ttl, only(call))
                if found is not None:
                    cached[symbol] = found
        return _Kept(stored, cached, rows.bar_traces(tx, call.run, list(ids)))

    async def _decide_all(
        self, question: Question, ids: dict[str, str], bar_traces: dict[str, str], call: Call
    ) -> dict[str, rows.New | str]:
        """Return each decision, or why there is none as `CODE: message`."""
        with contextlib.ExitStack() as stack:
            works: dict[str, Call] = {}
            for symbol in question.symbols:
                links = [bar_traces[symbol]] if symbol in bar_traces else []
                attributes = {"bellwether.symbol": symbol, "bellwether.prediction_id": ids[symbol]}
                root = call.start_root("decision", call.decision_trace(ids[symbol]), links=links, attributes=attributes)
                works[symbol] = stack.enter_context(root)
            gathered = await gather_inputs(question, self._calendar, call, works)
            return {
                symbol: self._attempt(symbol, gathered[symbol], ids[symbol], work) for symbol, work in works.items()
            }

    def _attempt(self, symbol: str, gathered: Gathered | Exception, identifier: str, work: Call) -> rows.New | str:
        try:
            if isinstance(gathered, Exception):
                raise gathered
            new = self._decide(gathered, identifier, work)
        except RpcError as error:
            work.mark_failed(error)
            # A model that is still being trained is waited for; it is no failure.
            if error.code != "MODEL_NOT_READY":
                self._attempts.failed()
            return f"{error.code}: {error.message}"
        except Exception as error:
            work.mark_failed(error)
            self._attempts.failed()
            _log.exception("the prediction of %s failed", symbol)
            return f"{INTERNAL}: the prediction of {symbol} failed; the log of prediction has the reason"
        self._attempts.succeeded()
        self._model_answered = self._model_answered or new.prediction.model_available
        return new

    def _decide(self, gathered: Gathered, identifier: str, work: Call) -> rows.New:
        inputs, expiry, shadow = gathered
        outcome = logic.decide(inputs)
        trace = work.decision_trace(identifier)
        prediction = logic.prediction_of(identifier, inputs, outcome, f"{trace:032x}", expiry)
        canonical = logic.canonical_record(inputs, outcome, work.context.config.version)
        work.annotate(
            **{
                "bellwether.action": outcome.action,
                "bellwether.probability": outcome.probability,
                "bellwether.base_rate": outcome.base_rate,
                "bellwether.may_trade": outcome.may_trade,
                "bellwether.model_version": prediction.model_version,
            }
        )
        event = work.event("prediction_generated", PredictionGenerated(prediction), event_id=_event_id(prediction))
        due = None
        if prediction.bar_session is not None and prediction.model_available:
            due = self._calendar.after(prediction.bar_session, prediction.horizon_sessions).day
        return rows.New(prediction, canonical, hashlib.sha256(canonical).hexdigest(), due, event, shadow)

    # What came of it

    async def record_outcomes(self, request: RecordOutcomes, call: Call) -> RecordedOutcomes:
        """Write what came of the predictions whose horizon ends by a session."""
        run = only(call)
        waiting = await self.store.transact(lambda tx: rows.due(tx, run, request.session))
        found: list[Realised] = []
        for symbol in sorted({row.prediction.symbol for row in waiting}):
            of_symbol = [row for row in waiting if row.prediction.symbol == symbol]
            found += await realised(of_symbol, self._calendar, call)

        risen = {one.row.sequence: int(one.rose) for one in found}

        def write(tx: Transaction) -> tuple[RecordedOutcomes, Brier, int]:
            earlier = rows.outcomes_of(tx, run, request.session)
            sums, turn = self._brier.take(tx, run)
            for row in rows.write_outcomes(tx, found):
                sums.add(row.prediction.probability, row.prediction.base_rate, risen[row.sequence])
            new = {(row.run, row.prediction.prediction_id) for row, _, _ in found}
            return RecordedOutcomes(len(earlier | new), *sums.means), sums, turn

        recorded, sums, turn = await self.store.transact(write)
        self._brier.give_back(run, sums, turn)
        return recorded

    async def bars_arrived(self, event: Event[MarketDataUpdated], call: Call) -> None:
        """A symbol has a new bar: what was predicted before does not answer for it any more."""

        def work(tx: Transaction) -> None:
            if tx.claim(event.run, event.id):
                rows.mark(tx, event.run, event.data.symbol, call.trace_context)

        await self.store.transact(work)

    # Around it

    async def prune_decisions(self, request: PruneDecisions, call: Call) -> PrunedDecisions:
        """Forget decisions that are older than what is kept; paper-trading names those that orders came of.

        Raises:
            RpcError: RETENTION, for an instant within what the declaration keeps.
        """
        limit = self.context.clock.now() - parse_days(self.context.declaration.current.spec.retention.decisions)
        if not self.context.clock.live or request.before > limit:
            words = (
                f"decisions are kept from {limit.isoformat()} on, so none before {request.before.isoformat()} may go"
            )
            raise RpcError("RETENTION", words if self.context.clock.live else "a replay keeps every decision")

        def work(tx: Transaction) -> int:
            after = request.after or rows.oldest(tx, LIVE)
            self._brier.forget()
            self._counts.forget()
            return 0 if after is None else rows.prune(tx, LIVE, after, request.before, request.keep)

        return PrunedDecisions(await self.store.transact(work))

    async def health(self) -> dict[str, Any]:
        """Return what health says besides; degraded above 20 % errors among the recent predictions."""
        now = self.context.clock.now()
        known = self.context.declaration.known
        ttl = parse_duration(self._spec.predictions.cache_ttl) if known else timedelta(0)
        symbols = self._spec.symbols if known else []

        def look(tx: Transaction) -> tuple[list[Action], dict[Action, int], int]:
            fresh = sum(rows.fresh(tx, symbol, now, ttl, None) is not None for symbol in symbols)
            return rows.newest_actions(tx), self._counts.read(tx), fresh

        current, counts, fresh = await self.store.transact(look)
        rate = logic.rate_of(BUY_ACTIONS, current)[0] if current else None
        found: dict[str, Any] = {
            "predictor_loaded": self._model_answered,
            "cache_size": fresh,
            "prediction_count": sum(counts.values()),
            "buy_signal_count": sum(counts.get(action, 0) for action in BUY_ACTIONS),
            "error_count": self._attempts.errors,
            "current_buy_rate": rate,
            "warning": warning_of(current, self._spec.predictions) if known else None,
        }
        if self._news.words is not None:
            found["news_weight"] = self._news.words
        if self._attempts.problem:
            found |= {"status": "degraded", "warning": self._attempts.problem}
        return found

    async def alarms(self) -> list[AlarmReading]:
        """Return the alarms of one-sided signals, and of predictions that fail."""
        if not self.context.declaration.known or not self.context.clock.live:
            return []
        raised = await self.store.transact(lambda tx: rows.raised(tx, LIVE))
        found = alarms_of(raised, self._spec.predictions)
        if self._attempts.problem:
            found.append(alarm("predictions_failing", self._attempts.problem))
        return found

    def declared(self, system: TradingSystem) -> None:
        """Take over a new declaration.

        Raises:
            CalendarError: when an override does not fit.
        """
        # One that cannot be made fails the acknowledgement.
        _ = self._calendar
        self._news.declared(system)

    @property
    def _calendar(self) -> Calendar:
        return declared(self.context).calendar

    @property
    def _spec(self) -> Any:
        return declared(self.context).current.spec


def _event_id(prediction: Prediction) -> str:
    return f"prediction_generated-{prediction.prediction_id}"


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime."""
    service = Service("prediction", context)
    prediction = PredictionService(context)
    for handler in (
        prediction.generate_predictions,
        prediction.generate_single_prediction,
        prediction.lookups.get_prediction,
        prediction.lookups.get_buy_rate,
        prediction.lookups.clear_cache,
        prediction.lookups.list_decisions,
        prediction.lookups.get_decision,
        prediction.lookups.replay_decision,
        prediction.record_outcomes,
        prediction.lookups.get_session_decisions,
        prediction.lookups.get_live_records,
        prediction.lookups.get_serving_record,
        prediction.prune_decisions,
    ):
        service.rpc(handler.__name__)(handler)
    service.on_event("market_data_updated")(prediction.bars_arrived)
    service.on_declaration(prediction.declared)
    service.on_health(prediction.health)
    service.on_alarms(prediction.alarms)
    return service
