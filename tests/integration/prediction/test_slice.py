"""Real bars, a real model, three services over the bus of one process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bellwether.market_data.sources import RecordedBars
from bellwether.messages.market_data import Bars, GetBars, PublishBars, PublishedBars
from bellwether.messages.models import ModelInfo, Models, Predict, Predictions, PredictMany, Probability
from bellwether.messages.prediction import (
    BuyRate,
    ClearedCache,
    DecisionRecord,
    Decisions,
    GeneratePredictions,
    GenerateSinglePrediction,
    GetBuyRate,
    GetDecision,
    GetPrediction,
    ListDecisions,
    Prediction,
    PredictionBatch,
    RecordedOutcomes,
    RecordOutcomes,
    ReplayDecision,
    ReplayedDecision,
)
from bellwether.runtime.errors import RpcError
from harness.replayed import declared, model_serves, replayed, until
from harness.system import System
from harness.until import DEADLINE

pytestmark = pytest.mark.integration

RUN = "run-1"
DAY = date(2009, 1, 5)
BEFORE_OPEN = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
CLOSE = datetime(2009, 1, 5, 21, 0, tzinfo=UTC)
SLOT = "prediction_generation-20090105"


async def batch(system: System, as_of: datetime = BEFORE_OPEN, run: str = RUN, **more: Any) -> PredictionBatch:
    request = GeneratePredictions(**{"force_refresh": True, "may_trade": True, "slot": SLOT, **more})
    found: PredictionBatch = await system.call(
        "prediction", "generate_predictions", request, PredictionBatch, as_of=as_of, run=run
    )
    return found


async def records(system: System, run: str = RUN) -> dict[str, DecisionRecord]:
    listed = await system.call("prediction", "list_decisions", ListDecisions(limit=500), Decisions, run=run)
    return {
        one.prediction_id: await system.call(
            "prediction", "get_decision", GetDecision(one.prediction_id), DecisionRecord, run=run
        )
        for one in listed.decisions
    }


async def publish_close(system: System, session: date = DAY, at: datetime = CLOSE, run: str = RUN) -> list[str]:
    found = await system.call("market-data", "publish_bars", PublishBars(session), PublishedBars, as_of=at, run=run)
    await system.settle("prediction", *found.event_ids, run=run)
    ids: list[str] = found.event_ids
    return ids


async def test_a_batch_has_a_real_model_and_real_prices(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        found = await batch(system)
        assert found.errors == {}
        assert {symbol: one.current_price for symbol, one in found.predictions.items()} == {
            "AAPL": 90.75,
            "GOOG": 321.32,
            "IBM": 87.37,
            "MSFT": 20.33,
        }
        for one in found.predictions.values():
            assert one.bar_session == date(2009, 1, 2)
            assert one.target_session == DAY
            assert one.valid_until == CLOSE
            assert one.fallbacks == ["sentiment"]
            assert one.may_trade
            assert one.model_available
            assert len(one.model_version) == 64
            assert 0.3 < one.probability < 0.7
        assert found.summary.total_symbols == found.summary.successful == found.summary.fresh_predictions == 4
        assert sorted(found.event_ids) == [
            f"prediction_generated-{SLOT}-{name}" for name in ("aapl", "goog", "ibm", "msft")
        ]


async def test_two_systems_give_equal_bytes_in_different_runs(tmp_path: Path, trained: Path) -> None:
    found = []
    for folder, run in (("a", "run-1"), ("b", "run-2")):
        async with replayed(tmp_path / folder, trained) as system:
            await batch(system, run=run)
            found.append({name: one.sha256 for name, one in (await records(system, run)).items()})
    assert len(found[0]) == 4
    assert found[0] == found[1]


async def test_the_same_slot_twice_is_one_decision_with_the_same_events(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        first = await batch(system)
        assert await batch(system) == first
        assert len(await records(system)) == 4
    async with replayed(tmp_path, trained) as system:
        assert await batch(system) == first


async def test_the_same_slot_asked_for_at_once_is_one_decision(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        first, second = await asyncio.gather(batch(system), batch(system))
        assert first == second
        assert len(await records(system)) == 4


async def test_a_decision_computed_again_has_the_same_bytes(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        for identifier in [one.prediction_id for one in (await batch(system)).predictions.values()]:
            again = await system.call("prediction", "replay_decision", ReplayDecision(identifier), ReplayedDecision)
            assert (again.outcome, again.differences) == ("equal", [])


async def test_a_decision_is_computed_again_from_the_bars_of_then_when_they_were_corrected_since(
    tmp_path: Path, trained: Path
) -> None:
    rows = RecordedBars("us-2000-2013").load("IBM").rows
    lines = [
        f"{row.session},{row.open},{row.high},{row.low},{row.close},{row.adjusted_close},{row.volume:.0f}"
        for row in rows
        if row.session <= DAY
    ]
    file = tmp_path / "bars" / "IBM.csv"
    file.parent.mkdir()
    data = {"provider": "csv", "csv": {"directory": str(file.parent)}}
    revisions = []
    for corrected in (False, True):
        if corrected:
            day, opening, high, low, close, adjusted, volume = lines[-3].split(",")
            lines[-3] = f"{day},{opening},{high},{low},{float(close) * 0.99:.2f},{adjusted},{volume}"
        file.write_text("\n".join(["Date,Open,High,Low,Close,Adj Close,Volume", *lines]) + "\n")
        async with replayed(tmp_path, trained, declaration=declared(symbols=["IBM"], data=data)) as system:
            bars = await system.call("market-data", "get_bars", GetBars("IBM"), Bars, as_of=BEFORE_OPEN)
            revisions.append(bars.revision)
            identifier = (await batch(system)).predictions["IBM"].prediction_id
            again = await system.call("prediction", "replay_decision", ReplayDecision(identifier), ReplayedDecision)
            assert (again.outcome, again.differences) == ("equal", [])
    assert revisions[0] != revisions[1]


async def test_a_decision_from_other_inputs_names_what_differs(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        identifier = (await batch(system)).predictions["IBM"].prediction_id

        def tamper(tx: Any) -> None:
            tx.connection.exec_driver_sql(
                "UPDATE decisions SET canonical = CAST(replace(CAST(canonical AS TEXT), "
                "'\"margin\":0.01', '\"margin\":0.2') AS BLOB) WHERE id = ?",
                (identifier,),
            )

        store = system.services["prediction"].context.store
        assert store is not None
        await store.transact(tamper)
        again = await system.call("prediction", "replay_decision", ReplayDecision(identifier), ReplayedDecision)
        assert again.outcome == "different"
        assert "outcome.buy_threshold" in again.differences


async def test_a_failed_symbol_does_not_fail_the_batch(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        found = await batch(system, symbols=["IBM", "TSLA"], slot=None)
        assert list(found.predictions) == ["IBM"]
        assert found.errors == {"TSLA": "UNKNOWN_SYMBOL: TSLA is not declared; declared are AAPL, GOOG, IBM, MSFT"}
        assert (found.summary.successful, found.summary.failed) == (1, 1)
        with pytest.raises(RpcError) as caught:
            await system.call("prediction", "generate_single_prediction", GenerateSinglePrediction("TSLA"), Prediction)
        assert caught.value.code == "UNKNOWN_SYMBOL"
        with pytest.raises(RpcError, match="TSLA is not declared; declared are AAPL, GOOG, IBM, MSFT"):
            await system.call("prediction", "get_prediction", GetPrediction("TSLA"), Prediction)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("prune_decisions", {"before": "2009-01-01T00:00:00"}),
        ("prune_decisions", {"before": "2009-01-01T00:00:00Z", "after": "2008-01-01T00:00:00"}),
        ("list_decisions", {"before": "2009-01-01T00:00:00"}),
    ],
)
async def test_an_instant_without_a_time_zone_is_refused(
    tmp_path: Path, trained: Path, method: str, params: dict[str, str]
) -> None:
    async with replayed(tmp_path, trained) as system:
        with pytest.raises(RpcError, match="timezone") as caught:
            await system.call("prediction", method, params)
        assert caught.value.code == "INVALID_PARAMS"


async def test_what_can_be_no_symbol_fails_alone(tmp_path: Path, trained: Path) -> None:
    odd = ["", "..", "株", "ibm", "A B", "X" * 300]
    async with replayed(tmp_path, trained) as system:
        found = await batch(system, symbols=["IBM", *odd], slot=None)
        assert (list(found.predictions), sorted(found.errors)) == (["IBM"], sorted(odd))
        assert {error.partition(":")[0] for error in found.errors.values()} == {"UNKNOWN_SYMBOL"}
        assert (await system.call("prediction", "health"))["last_error"] is None


async def test_a_cached_answer_ends_with_a_bar_a_clear_or_its_time(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:

        async def cached(as_of: datetime) -> bool:
            try:
                found = await system.call(
                    "prediction", "get_prediction", GetPrediction("IBM"), Prediction, as_of=as_of, run=RUN
                )
            except RpcError as error:
                if error.code != "NO_PREDICTION":
                    raise
                return False
            assert found.cached
            assert found.cache_age == (as_of - found.timestamp).total_seconds()
            return True

        minute = timedelta(minutes=1)
        await batch(system)
        assert await cached(BEFORE_OPEN + 29 * minute)
        assert not await cached(BEFORE_OPEN + 30 * minute)
        again = await batch(system, as_of=BEFORE_OPEN + minute, slot=None, force_refresh=False)
        assert (again.summary.cache_hits, again.event_ids) == (4, [])
        cleared = await system.call("prediction", "clear_cache", None, ClearedCache, as_of=BEFORE_OPEN, run=RUN)
        assert cleared.cleared_entries == 4
        assert not await cached(BEFORE_OPEN + minute)
        await batch(system, as_of=CLOSE - minute, slot=None)
        assert await cached(CLOSE)
        await publish_close(system)
        assert not await cached(CLOSE)


async def test_publishing_a_session_twice_gives_the_same_events(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        first = await publish_close(system)
        assert len(first) == 4
        assert await publish_close(system) == first
        with pytest.raises(RpcError, match="SESSION_NOT_OVER"):
            await publish_close(system, at=CLOSE - timedelta(seconds=1))


async def test_outcomes_are_written_when_the_horizon_is_over(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        await batch(system)

        async def record(session: date) -> RecordedOutcomes:
            at = datetime(session.year, session.month, session.day, 22, tzinfo=UTC)
            found: RecordedOutcomes = await system.call(
                "prediction", "record_outcomes", RecordOutcomes(session), RecordedOutcomes, as_of=at, run=RUN
            )
            return found

        assert (await record(date(2009, 1, 8))).written == 0
        found = await record(date(2009, 1, 9))
        assert found.written == 4
        assert found.brier is not None
        assert found.base_rate_brier is not None
        assert 0.1 < found.brier < 0.4
        again = await record(date(2009, 1, 9))
        assert again == found


async def test_a_high_buy_rate_is_reported_at_once(tmp_path: Path, trained: Path) -> None:
    heard: list[dict[str, Any]] = []
    declaration = declared(predictions={"buyRateAlert": 10, "margin": "0"})
    async with replayed(tmp_path, trained, declaration=declaration) as system:
        await system.context.bus.subscribe(
            "bw.event.urgent.buy_rate_alert", lambda message: heard.append(msgspec.json.decode(message.body))
        )
        found = await batch(system)
        await system.settle("prediction", run=RUN)
        assert found.summary.buy_rate > 10.0

        async def reported() -> bool:
            return bool(heard)

        await until(reported)
        assert heard[0]["data"] == {
            "buy_rate": found.summary.buy_rate,
            "total_predictions": 4,
            "buy_signals": round(found.summary.buy_rate / 25.0),
            "alert_type": "high_buy_rate",
        }


async def test_one_sided_signals_are_reported_once_and_their_end_and_a_look_up_tells_nothing(
    tmp_path: Path, trained: Path
) -> None:
    heard: list[dict[str, Any]] = []
    declaration = declared(predictions={"buyRateAlert": 60, "sellRateAlert": 60, "margin": "0"})
    async with replayed(tmp_path, trained, declaration=declaration) as system:
        for name in ("buy_rate_alert", "sell_rate_alert"):
            await system.context.bus.subscribe(
                f"bw.event.urgent.{name}", lambda message: heard.append(msgspec.json.decode(message.body)["data"])
            )
        for symbol in declaration.spec.symbols:
            asked = GenerateSinglePrediction(symbol, True)
            await system.call("prediction", "generate_single_prediction", asked, Prediction, as_of=BEFORE_OPEN, run=RUN)
        made = (await batch(system, slot=None, may_trade=False)).predictions
        sides = {
            side: sorted(symbol for symbol, one in made.items() if one.action.endswith(side))
            for side in ("BUY", "SELL")
        }
        assert all(sides.values()), sides
        for number, side in enumerate(("BUY", "BUY", "SELL", "SELL", "BUY")):
            await batch(system, slot=f"custom-2009010{number}", symbols=sides[side])
        await system.settle("prediction", run=RUN)

        async def reported() -> bool:
            return len(heard) >= 5

        await until(reported)
        assert [(one["alert_type"], one.get("resolved", False)) for one in heard] == [
            ("high_buy_rate", False),
            ("high_buy_rate", True),
            ("high_sell_rate", False),
            ("high_buy_rate", False),
            ("high_sell_rate", True),
        ]
        assert heard[2]["sell_rate"] == 100.0
        assert heard[2]["sell_signals"] == len(sides["SELL"])


@pytest.mark.parametrize("timeframe", ["current", "session", "day", "week", "all"])
async def test_the_buy_rate_honours_its_timeframe(tmp_path: Path, trained: Path, timeframe: Any) -> None:
    async with replayed(tmp_path, trained) as system:
        instants = [datetime(2009, 1, 2, 14, 15, tzinfo=UTC), datetime(2009, 1, 8, 14, 15, tzinfo=UTC)]
        instants.append(datetime(2009, 1, 9, 14, 15, tzinfo=UTC))
        for instant in instants:
            await batch(system, as_of=instant, slot=None)
        found = await system.call(
            "prediction",
            "get_buy_rate",
            GetBuyRate(timeframe),
            BuyRate,
            as_of=instants[-1] + timedelta(minutes=1),
            run=RUN,
        )
        assert found.total_predictions == {"current": 4, "session": 4, "day": 4, "week": 8, "all": 12}[timeframe]


async def test_health_says_what_callers_of_the_old_system_rely_on(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        await batch(system)
        found = await system.call("prediction", "health")
        assert found["status"] == "healthy"
        assert found["predictor_loaded"] is True
        assert (found["prediction_count"], found["error_count"], found["warning"]) == (4, 0, None)
        assert found["current_buy_rate"] == 25.0 * found["buy_signal_count"]
        await batch(system, symbols=["A", "B", "C"], slot=None)
        found = await system.call("prediction", "health")
        assert (found["status"], found["warning"]) == ("degraded", "3 of the last 7 predictions failed")


async def test_a_model_is_refused_for_days_it_has_seen(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        found = await batch(system, as_of=datetime(2008, 12, 31, 14, 15, tzinfo=UTC), slot=None)
        one = found.predictions["IBM"]
        assert (one.model_available, one.may_trade, one.action) == (False, False, "HOLD")
        assert one.fallbacks == ["sentiment", "model"]
        record = (await records(system))[one.prediction_id]
        assert record.canonical["inputs"]["missing"]["model"] == "MODEL_LOOKAHEAD"


async def test_features_that_do_not_fit_are_named(tmp_path: Path, trained: Path) -> None:
    async with replayed(tmp_path, trained) as system:
        model: ModelInfo = await model_serves(system)
        good = dict.fromkeys(model.features, 0.0)
        answer = await system.call(
            "ml-model", "predict", Predict("direction-lr", dict(reversed(good.items())), "IBM"), Probability
        )
        assert answer.version == model.version
        wrong = {**good, "other": 1.0}
        del wrong["rsi_14"]
        with pytest.raises(RpcError, match="missing: rsi_14; not known to it: other") as caught:
            await system.call("ml-model", "predict", Predict("direction-lr", wrong), Probability)
        assert caught.value.code == "FEATURES_MISMATCH"
        with pytest.raises(RpcError, match="MODEL_NOT_FOUND"):
            await system.call("ml-model", "predict", Predict("nothing", good), Probability)
        rows = [Predict("direction-lr", row, symbol) for row in (good, wrong, good) for symbol in ("IBM", "AAPL")]
        many = await system.call("ml-model", "predict_many", PredictMany(rows), Predictions)
        for row, reported in zip(rows, many.rows, strict=True):
            if row.features is wrong:
                assert (reported.probability, reported.code) == (None, "FEATURES_MISMATCH")
            else:
                assert reported.probability == await system.call("ml-model", "predict", row, Probability)
        assert many.rows[0] == many.rows[4]
        listed = await system.call("ml-model", "list_models", None, Models)
        assert [one.version for one in listed.models] == [model.version]


@dataclass
class Spans:
    """Spans as they come over the bus, by name."""

    found: list[Any] = field(default_factory=list)

    def arrived(self, message: Any) -> None:
        request = ExportTraceServiceRequest.FromString(message.body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.found += scope.spans

    def named(self, name: str, trace: str) -> list[Any]:
        return [span for span in self.found if span.name == name and span.trace_id.hex() == trace]


async def test_a_decision_is_one_trace_with_its_bars_as_a_link(tmp_path: Path, trained: Path) -> None:
    spans = Spans()
    async with replayed(tmp_path, trained) as system:
        await system.context.bus.subscribe("bw.trace.>", spans.arrived)
        await publish_close(system)
        found = await batch(
            system, as_of=datetime(2009, 1, 6, 14, 15, tzinfo=UTC), slot="prediction_generation-20090106"
        )
        trace = found.predictions["IBM"].trace_id
        answers = ("market-data.get_windows", "ml-model.predict", "data-quality.get_quality")

        async def complete() -> bool:
            names = ("decision", *answers, "prediction_generated publish")
            return all(spans.named(name, trace) for name in names)

        await until(complete, DEADLINE)
        root = spans.named("decision", trace)[0]
        assert not root.parent_span_id
        assert len(root.links) == 1
        assert root.links[0].trace_id.hex() != trace
        for name in (*answers, "prediction_generated publish"):
            assert spans.named(name, trace)[0].parent_span_id == root.span_id
