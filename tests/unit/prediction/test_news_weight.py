"""How much the news moves a probability: what is learnt of kept decisions, and when nothing is."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from bellwether.prediction.logic import moved
from bellwether.prediction.news_weight import Sample, fitted, learn, log_loss
from bellwether.training.recipe import NewsFeature, load_recipe

RULE = NewsFeature(minimum_outcomes=400)
FIRST = date(2026, 1, 1)


def samples(count: int, true_weight: float, seed: int = 1) -> list[Sample]:
    """Return made-up decisions of four a day whose outcomes follow the model and the news."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        made = FIRST + timedelta(days=number // 4)
        probability, news = draw.uniform(0.4, 0.6), draw.uniform(-1.0, 1.0)
        rose = draw.random() < moved(probability, true_weight, news)
        found.append(Sample(made, made + timedelta(days=5), probability, news, rose))
    return found


def test_news_moves_the_log_odds_and_never_beyond_0_and_1() -> None:
    assert moved(0.5, 2.0, 0.0) == 0.5
    assert moved(0.5, 2.0, 0.5) == pytest.approx(0.7310585786)
    assert moved(0.5, 2.0, -0.5) == pytest.approx(1.0 - moved(0.5, 2.0, 0.5))
    assert moved(1.0, 2.0, -1.0) == 1.0
    assert 0.0 <= moved(0.5, 5000.0, -1.0) < moved(0.5, 5000.0, 1.0) <= 1.0


def test_a_weight_is_learnt_where_news_reported_the_outcomes() -> None:
    found = learn(samples(4000, 1.5), RULE)
    assert found.weight is not None
    assert found.weight.weight == pytest.approx(1.5, abs=0.25)
    assert (found.weight.outcomes, found.weight.through) == (4000, FIRST + timedelta(days=999 + 5))


def test_there_is_no_weight_before_enough_was_kept() -> None:
    assert learn(samples(399, 3.0), RULE) == (None, "399 of 400 outcomes with news are there")


@pytest.mark.parametrize("true_weight", [0.0, -1.5])
def test_there_is_no_weight_where_news_does_not_help(true_weight: float) -> None:
    found = learn(samples(2000, true_weight, seed=3), RULE)
    assert found.weight is None
    assert found.words.startswith("news is no help so far")


def test_a_prior_holds_the_weight_at_0() -> None:
    kept = samples(500, 1.5)
    assert 0.0 < fitted(kept, 500.0) < fitted(kept, 5.0)
    assert log_loss(kept, fitted(kept, 0.0)) < log_loss(kept, 0.0)


def test_the_news_is_no_part_of_the_model_that_a_recipe_makes() -> None:
    plain, with_news = load_recipe("direction-lr"), load_recipe("direction-lr-news")
    assert plain.news is None
    assert with_news.news is not None
    assert with_news.features == plain.features
    changed = with_news.model_copy(update={"news": NewsFeature(minimum_outcomes=50)})
    assert changed.hash == with_news.hash
