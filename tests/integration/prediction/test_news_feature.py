"""The news as a feature: learnt of decisions that were kept, in the record, and able to change an order."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.market.sessions import load_calendar
from bellwether.market_data.sources import RecordedBars
from bellwether.messages.prediction import RecordedOutcomes, RecordOutcomes, ReplayDecision, ReplayedDecision
from bellwether.prediction import learning
from bellwether.prediction.logic import Inputs, decide
from bellwether.trading.placing import place as desk
from bellwether.trading.rules import rules_of
from bellwether.trading.situation import Circumstances
from bellwether.training.recipe import NewsFeature, Recipe, load_recipe
from harness.replayed import declared, replayed
from harness.system import System
from integration.prediction.test_slice import RUN, batch, publish_close, records
from unit.trading.making import account

pytestmark = pytest.mark.integration

FIRST, SESSIONS, HORIZON = date(2009, 1, 5), 22, 5
NAMES = {"AAPL": "Apple", "GOOG": "Google", "IBM": "IBM", "MSFT": "Microsoft"}
CALENDAR = load_calendar("XNYS")


def planted(file: Path) -> None:
    """Write headlines that know the future, which real ones do not: only so few sessions show what was learnt."""
    recorded = RecordedBars("us-2000-2013")
    lines = ["published,source,title,symbol"]
    for symbol, name in NAMES.items():
        rows = [row for row in recorded.load(symbol).rows if row.session >= FIRST - timedelta(days=10)]
        for row, later in zip(rows[: SESSIONS + 8], rows[HORIZON:], strict=False):
            words = "soars on record profit" if later.close > row.close else "plunges on profit warning"
            published = CALENDAR.session_on(row.session).close + timedelta(hours=1)  # type: ignore[union-attr]
            lines.append(f"{published.isoformat()},Wire,{name} {words} {row.session:%d %B},")
    file.write_text("\n".join(lines) + "\n")


async def live_through(system: System, first: date, count: int) -> Any:
    """Decide before each session, publish its bars, write its outcomes; return the last decisions."""
    made: Any = None
    day = first
    for number in range(count):
        session = CALENDAR.session_on(day)
        assert session is not None
        made = await batch(
            system, as_of=session.open - timedelta(minutes=15), slot=f"prediction_generation-{day:%Y%m%d}"
        )
        if number < count - 1:
            await publish_close(system, day, session.close)
            evening = session.close + timedelta(hours=1)
            await system.call(
                "prediction", "record_outcomes", RecordOutcomes(day), RecordedOutcomes, as_of=evening, run=RUN
            )
            day = CALENDAR.after(day, 1).day
    return made


async def test_news_that_reported_outcomes_moves_probabilities_and_changes_an_order(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recipe(name: str) -> Recipe:
        return load_recipe(name).model_copy(update={"news": NewsFeature(minimum_outcomes=32, prior_strength=1.0)})

    monkeypatch.setattr(learning, "load_recipe", recipe)
    file = tmp_path / "news.csv"
    planted(file)
    declaration = declared(
        trading={"mode": "simulated", "currency": "USD"},
        sentiment={"provider": "csv", "csv": {"file": str(file)}, "maxAge": "24h", "veto": {"enabled": False}},
    )
    async with replayed(tmp_path / "data", trained, declaration=declaration) as system:
        last = await live_through(system, FIRST, SESSIONS)
        kept = await records(system)
        first = kept[f"prediction_generation-{FIRST:%Y%m%d}-msft"].canonical["inputs"]
        assert "news_weight" not in first, "nothing was kept yet"
        weighed = {symbol: kept[one.prediction_id].canonical["inputs"] for symbol, one in last.predictions.items()}
        weight = weighed["MSFT"]["news_weight"]
        assert weight["weight"] > 1.0
        assert 32 <= weight["outcomes"] <= 4 * SESSIONS
        assert weighed["MSFT"]["news"]["version"].startswith("vader-")

        turned = 0
        for symbol, one in last.predictions.items():
            inputs = msgspec.convert(weighed[symbol], Inputs, strict=False)
            without = decide(msgspec.structs.replace(inputs, news_weight=None))
            assert (one.probability > without.probability) == (one.sentiment_score > 0.0)
            plain = msgspec.structs.replace(one, action=without.action, probability=without.probability)
            circumstances = Circumstances(rules_of(declaration.spec), (), one.timestamp)
            results = [desk(each, "", account(), circumstances).outcome for each in (one, plain)]
            turned += results[0] != results[1]
        assert turned, "no order was changed"

        # More outcomes and more news come; what was decided is computed again to equal bytes.
        day = CALENDAR.after(FIRST, SESSIONS).day
        with file.open("a") as more:
            more.write(f"{last.predictions['MSFT'].timestamp - timedelta(hours=2)},Paper,Microsoft sued,\n")
        await live_through(system, day, 2)
        for name in (one.prediction_id for one in last.predictions.values()):
            again = await system.call("prediction", "replay_decision", ReplayDecision(name), ReplayedDecision, run=RUN)
            assert (again.outcome, again.differences) == ("equal", [])
