"""The services' answers to a decision's questions, given from a `Past` without any service (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

from bellwether.lineage.past import Past
from bellwether.market_data.loaded import LoadedBars, evidence_of, window_of
from bellwether.messages.market_data import GetWindows, Windows
from bellwether.messages.models import Predicted, Predictions, PredictMany, Probability
from bellwether.messages.quality import Quality, SymbolQuality
from bellwether.messages.sentiment import SymbolSentiment
from bellwether.prediction.gather import Question, gather_inputs
from bellwether.prediction.logic import Inputs
from bellwether.quality.evidence import evidence_of as judged_by
from bellwether.quality.rules import WINDOW as QUALITY_WINDOW
from bellwether.quality.score import assess
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.sentiment.raw import analyze
from bellwether.spec.fields import parse_duration

T = TypeVar("T")
RUN = "lineage"


class Predictor(Protocol):
    """What answers for a model."""

    def predict(self, features: Mapping[str, float], symbol: str | None) -> Probability:
        """Return the calibrated probability of a row."""


@dataclass(frozen=True)
class Answers:
    """Stands in for a call of a service: the same questions, answered from history as of one instant."""

    past: Past
    book: LoadedBars
    as_of: datetime
    model: Predictor | None = None
    run: str = RUN
    trace_context: None = None

    def at(self, as_of: datetime) -> Answers:
        """Return the same at another instant."""
        return replace(self, as_of=as_of)

    async def request(
        self, peer: str, method: str, params: Any, result: type[T], *, idempotent: bool = False, budget: Any = None
    ) -> T:
        """Return what the peer would answer.

        Raises:
            RpcError: as the peer would.
        """
        del idempotent, budget
        answers: Mapping[str, Any] = {
            "get_windows": self._windows,
            "predict_many": self._probabilities,
            "get_quality": self._quality,
            "analyze_sentiment": self._news,
        }
        found: T = answers[method](params)
        return found

    def _windows(self, asked: GetWindows) -> Windows:
        return Windows({symbol: window_of(self.book, symbol, asked, self.as_of) for symbol in asked.symbols})

    def _probabilities(self, asked: PredictMany) -> Predictions:
        if self.model is None:
            raise RpcError("MODEL_NOT_FOUND", "no model is asked")
        return Predictions([Predicted(self.model.predict(row.features, row.symbol)) for row in asked.rows])

    def _quality(self, asked: Any) -> Quality:
        return Quality({symbol: self._judged(symbol) for symbol in asked.symbols})

    def _judged(self, symbol: str) -> SymbolQuality:
        evidence = evidence_of(self.book, symbol, QUALITY_WINDOW, self.as_of)
        judged = judged_by(evidence, self.past.calendar, self.as_of)
        return assess(judged, float(self.past.system.spec.quality.min_score), evidence.revision)

    def _news(self, asked: Any) -> SymbolSentiment:
        headlines = self.past.headlines.get(asked.symbol, ())
        return analyze(asked.symbol, headlines, self.as_of, parse_duration(self.past.system.spec.sentiment.max_age))


async def inputs_at(answers: Answers, symbol: str, slot: str | None = None) -> Inputs:
    """Return the inputs of a decision about a symbol, gathered by the code that prediction gathers them with."""
    spec = answers.past.system.spec
    question = Question(
        symbols=(symbol,),
        as_of=answers.as_of,
        slot=slot,
        trade_asked=True,
        model_name=spec.predictions.model,
        wait_for_model=False,
        news_declared=spec.sentiment.provider != "none",
        basket=tuple(sorted(spec.symbols)),
    )
    call = cast("Call", answers)
    found = (await gather_inputs(question, answers.past.calendar, call, {symbol: call}))[symbol]
    if isinstance(found, Exception):
        raise found
    return found.inputs
