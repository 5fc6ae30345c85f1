"""Learns the weight of the news once a session, of the decisions that were kept with their news."""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from typing import NamedTuple

import msgspec

from bellwether.market.sessions import Calendar
from bellwether.prediction import store as rows
from bellwether.prediction.logic import NewsWeight
from bellwether.prediction.news_weight import Learnt, Sample, learn
from bellwether.runtime.call import Call
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store
from bellwether.training.recipe import NewsFeature, RecipeError, load_recipe

MOST_LEARNT_OF = 20_000
"""Kept decisions that the weight is learnt of: the newest."""

_log = logging.getLogger(__name__)


class _Lesson(NamedTuple):
    """What was learnt, and for which run, session and rule."""

    run: str
    session: date
    rule: NewsFeature
    learnt: Learnt


class NewsLearning:
    """The weight of the news, as the declared recipe has it learnt."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rule: NewsFeature | None = None
        self._lesson: _Lesson | None = None

    def declared(self, system: TradingSystem) -> None:
        """Take over the rule of the declared recipe."""
        try:
            self._rule = load_recipe(system.spec.predictions.model).news
        except RecipeError:
            # ml-model says what is wrong with it.
            self._rule = None

    @property
    def words(self) -> str | None:
        """What was learnt, in words; None where the news moves nothing."""
        return None if self._lesson is None else self._lesson.learnt.words

    async def weight(self, provider: str, calendar: Calendar, call: Call) -> NewsWeight | None:
        """Return how much the news moves probabilities; None where it moves none.

        What came out in the newest session is left out: it is written in the evening, and decisions made before and
        after that would differ.
        """
        rule = self._rule
        if rule is None or provider == "none":
            self._lesson = None
            return None
        session = calendar.previous_session(call.as_of).day
        if self._lesson is None or self._lesson[:3] != (call.run, session, rule):
            kept = await self._store.transact(lambda tx: rows.realised_with_news(tx, call.run, session, MOST_LEARNT_OF))
            found = await asyncio.to_thread(lambda: learn([_sample(*one) for one in kept], rule))
            self._lesson = _Lesson(call.run, session, rule, found)
            _log.info("news in probabilities: %s", found.words)
        return self._lesson.learnt.weight


class _ModelInput(msgspec.Struct):
    probability: float


class _KeptInputs(msgspec.Struct):
    model: _ModelInput


class _KeptRecord(msgspec.Struct):
    inputs: _KeptInputs


def _sample(row: rows.Row, known_on: date, rose: bool) -> Sample:
    """Return what the weight of the news learns of a decision; the model's probability is that before the news."""
    made = row.prediction
    model = msgspec.json.decode(row.canonical, type=_KeptRecord).inputs.model
    news = made.sentiment_score * made.news_confidence
    return Sample(made.bar_session or made.target_session, known_on, model.probability, news, rose)
