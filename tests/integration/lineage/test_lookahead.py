"""Leaks that are planted into the product's own code, one per seam, are each found; there is none otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bellwether.lineage.lookahead import Judgement, instants_of, judge, summed
from bellwether.lineage.past import Past, read_past
from bellwether.market.sessions import load_calendar
from bellwether.market_data.loaded import Recorded
from bellwether.market_data.series import Series, View
from bellwether.messages.sentiment import Headline
from bellwether.sentiment import raw
from bellwether.spec.models import TradingSystem
from bellwether.training import dataset
from bellwether.training.feature_table import TABLE, Feature
from bellwether.training.features import FEATURES
from bellwether.training.recipe import Recipe, load_recipe
from harness.replayed import declared

pytestmark = pytest.mark.integration

RECIPE = load_recipe("direction-lr")
AFTER_CLOSE = [{"name": "prediction_generation", "anchor": "close", "offset": "30m"}]


def past_of(system: TradingSystem, folder: Path = Path()) -> Past:
    return read_past(system, folder)


async def judged(past: Past, first: date, last: date, every: int = 1, recipe: Recipe = RECIPE) -> Judgement:
    return await judge(past, recipe, first, instants_of(past, first, last, every), lambda _: None)


def names(found: Judgement) -> set[str]:
    return {one.what for one in summed(found.changes)}


async def test_nothing_of_ours_sees_the_future(tmp_path: Path) -> None:
    lines = ["published,source,title,symbol"]
    for day in (5, 6, 7):
        lines.append(f"2009-01-{day:02}T20:00:00Z,Wire,IBM sued for fraud over accounts of 200{day},IBM")
    (tmp_path / "news.csv").write_text("\n".join(lines) + "\n")
    news = {"provider": "csv", "csv": {"file": "news.csv"}}
    past = past_of(declared(sentiment=news), tmp_path)
    found = await judged(past, date(2009, 1, 2), date(2009, 1, 30))
    assert (found.instants, found.decisions, found.learnt) == (20, 80, 2)
    assert found.changes == []
    over_years = await judged(past, date(2004, 6, 1), date(2012, 12, 31), every=200)
    assert over_years.instants > 10
    assert over_years.changes == []


async def test_a_level_adjusted_by_later_splits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    as_of = Series.as_of

    def adjusted_to_today(self: Series, instant: datetime) -> View:
        return View(self, len(self._splits), as_of(self, instant).count)

    monkeypatch.setattr(Series, "as_of", adjusted_to_today)
    monkeypatch.setitem(TABLE, "level", Feature("level", lambda view: math.log(view.closes[-1])))
    monkeypatch.setattr("bellwether.prediction.gather.recipe_features", lambda _: (*FEATURES, "level"))
    recipe = RECIPE.model_copy(update={"features": [*FEATURES, "level"]})
    past = past_of(declared(symbols=["AAPL", "IBM"]))
    # AAPL splits 2:1 on 2005-02-28.
    found = await judged(past, date(2005, 2, 22), date(2005, 2, 24), recipe=recipe)
    assert {"feature level", "input bars_revision", "decision probability"} <= names(found)
    assert {one.symbol for one in found.changes if one.what == "feature level"} == {"AAPL"}


async def test_news_of_later_the_same_day_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_date(headlines: Sequence[Headline], as_of: datetime, max_age: timedelta) -> list[Headline]:
        return [one for one in headlines if one.published.date() <= as_of.date() and one.published >= as_of - max_age]

    at = datetime(2009, 1, 6, 20, tzinfo=UTC)
    news = Headline("1", "IBM sued for fraud", "Wire", at, at, -0.8)
    (tmp_path / "news.csv").write_text("published,source,title,symbol\n")
    system = declared(symbols=["IBM"], sentiment={"provider": "csv", "csv": {"file": "news.csv"}})
    past = past_of(system, tmp_path)
    past = Past(past.system, past.calendar, past.recorded, {"IBM": [news]})
    days = (date(2009, 1, 5), date(2009, 1, 7))
    assert (await judged(past, *days)).changes == []
    monkeypatch.setattr(raw, "visible", by_date)
    found = await judged(past, *days)
    assert {one.at for one in found.changes} == {datetime(2009, 1, 6, 14, 15, tzinfo=UTC)}
    assert "input news.score" in names(found)


async def test_a_scaler_fitted_on_all_rows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    make_rows = dataset.make_rows

    def scaled(*given: Any) -> dataset.Rows:
        rows = make_rows(*given)
        x = (rows.x - rows.x.mean(axis=0)) / rows.x.std(axis=0)
        return dataset.Rows(x, rows.y, rows.day, rows.known, rows.symbol, rows.symbols, rows.gain)

    monkeypatch.setattr(dataset, "make_rows", scaled)
    found = await judged(past_of(declared(symbols=["IBM", "MSFT"])), date(2009, 1, 2), date(2009, 1, 2))
    assert any(name.startswith("a fold of the walk-forward: score of row") for name in names(found))


async def test_labels_that_reach_into_the_test_block_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_purged(rows: dataset.Rows, first_day: int) -> tuple[dataset.Rows, dataset.Rows]:
        return rows.where(rows.day < first_day), rows.where(rows.day >= first_day)

    monkeypatch.setattr(dataset, "part_by_day", not_purged)
    found = await judged(past_of(declared(symbols=["IBM", "MSFT"])), date(2009, 1, 2), date(2009, 1, 2))
    assert any(name.startswith("a fold of the walk-forward") for name in names(found))
    assert not any(name.startswith("the model") for name in names(found))


async def test_a_close_of_another_exchange_is_found() -> None:
    # Sydney closes at 05:00 UTC; a bar of New York with the same date is there at 21:00 UTC only.
    sydney, york = load_calendar("XASX"), load_calendar("XNYS")
    system = declared(symbols=["IBM", "MSFT"], market={"calendar": "XASX"}, tasks=AFTER_CLOSE)
    recorded = {
        symbol: Recorded([bar for bar in one.bars if sydney.session_on(bar.session)], [], {}, None)
        for symbol, one in past_of(declared(symbols=["IBM", "MSFT"])).recorded.items()
    }
    days = (date(2009, 1, 5), date(2009, 1, 9))
    own = Past(system, sydney, recorded)
    assert (await judged(own, *days)).changes == []
    found = await judged(Past(system, sydney, recorded, exchanges={"IBM": york}), *days)
    assert {"feature return_1", "input market.last_session"} <= names(found)
    assert {one.symbol for one in found.changes if one.what == "feature return_1"} == {"IBM"}


def test_the_command_says_what_it_looked_at_and_refuses_what_is_wrong() -> None:
    from bellwether.cli.app import app

    file = Path("manifests/samples/replay.yaml")
    runner = CliRunner()
    done = runner.invoke(app, ["lookahead", str(file), "--to", "2009-01-09", "--every", "3"])
    assert done.exit_code == 0, done.output
    assert "8 decisions at 2 instants and 2 fits of the model: nothing sees what came later" in done.output
    wrong = runner.invoke(app, ["lookahead", str(file), "--exchange", "IBM=NYSE"])
    assert wrong.exit_code == 1
    assert "--exchange 'IBM=NYSE': write SYMBOL=CALENDAR" in str(wrong.exception)
