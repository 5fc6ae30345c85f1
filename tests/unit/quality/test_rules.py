from __future__ import annotations

import math
import random
from datetime import date, timedelta

import msgspec
import pytest

from bellwether.market_data.actions import adjusted, infer_actions, splits_through
from bellwether.market_data.sources import RecordedBars
from bellwether.messages.market_data import Bar
from bellwether.quality.evidence import all_plausible
from bellwether.quality.rules import BAR_RULES, WINDOW
from bellwether.quality.score import assess, check_values, finding_of, overall, scored
from generate.damage import CALENDAR, DAMAGE, evidence, replaced, scaled

LEAST = 70.0


def made_up(count: int = WINDOW, last: date = date(2026, 11, 20)) -> list[Bar]:
    """Return made-up bars of a quiet share on the sessions of New York up to a day."""
    rng = random.Random(7)
    days = [session.day for session in CALENDAR.sessions(last - timedelta(days=2 * count), last)][-count:]
    bars, close = [], 50.0
    for day in days:
        opened, close = close * (1 + rng.uniform(-0.004, 0.004)), close * (1 + rng.uniform(-0.02, 0.02))
        high, low = max(opened, close) * 1.005, min(opened, close) * 0.995
        bars.append(Bar(day, opened, high, low, close, float(rng.randrange(80_000, 120_000))))
    return bars


def recorded(symbol: str, last: date) -> list[Bar]:
    """Return the recorded bars of a symbol up to a day, in the units of that day."""
    rows = RecordedBars("us-2000-2013").load(symbol).rows
    splits = splits_through(infer_actions(rows).actions, last)
    return adjusted([row.bar for row in rows if row.bar.session <= last], splits)[-WINDOW:]


def broken(bars: list[Bar], **more: object) -> dict[str, float]:
    return {finding.rule: finding.points for finding in assess(evidence(bars, **more), LEAST).findings}  # type: ignore[arg-type]


def test_clean_bars_have_the_full_score() -> None:
    found = assess(evidence(made_up()), LEAST, "r")
    assert (found.quality_score, found.valid, found.findings, found.revision) == (100.0, True, [], "r")


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_by_its_rule_and_stops_a_purchase(kind: str) -> None:
    rule, harm = DAMAGE[kind]
    bars = made_up()
    found = assess(evidence(harm(bars, random.Random(3)), last=bars[-1].session), LEAST)
    assert rule in [finding.rule for finding in found.findings]
    assert not found.valid
    assert all(finding.message and finding.limit for finding in found.findings)


@pytest.mark.parametrize("kind", DAMAGE)
def test_bars_that_are_known_to_be_all_plausible_are_judged_as_if_nothing_was_known(kind: str) -> None:
    harm = DAMAGE[kind][1]
    bars = harm(made_up(), random.Random(3))
    assert all_plausible(made_up())
    for count in range(len(bars) - 3, len(bars) + 1):
        before = bars[: count - 1] if all_plausible(bars[: count - 1]) else ()
        found = all_plausible(bars[:count], before)
        assert found == all_plausible(bars[:count])
        known = evidence(bars[:count], last=bars[-1].session)
        assert assess(replaced(known, plausible=found), LEAST) == assess(known, LEAST)


def test_one_wrong_figure_in_the_newest_bar_is_not_all_plausible() -> None:
    bars = made_up()
    for name, value in (("open", 0.0), ("high", math.nan), ("low", -1.0), ("close", math.inf), ("volume", -1.0)):
        wrong = [*bars[:-1], msgspec.structs.replace(bars[-1], **{name: value})]
        assert not all_plausible(wrong, bars[:-1]), name
    assert not all_plausible([*bars[:-1], msgspec.structs.replace(bars[-1], open=bars[-2].close * 1.345)], bars[:-1])
    for newest in ({"low": bars[-1].close + 0.05}, {"high": bars[-1].open - 0.05}, {"volume": 0.0}):
        assert not all_plausible([*bars[:-1], msgspec.structs.replace(bars[-1], **newest)], bars[:-1]), newest
    again = msgspec.structs.replace(bars[-2], session=bars[-1].session)
    assert not all_plausible([*bars[:-1], again], bars[:-1]), "a repeated row"
    assert not all_plausible([bars[0], *bars[2:-1], bars[5]], bars), "other bars than those that are known"


def test_every_rule_is_reached_by_some_damage_or_by_what_market_data_says() -> None:
    reported = {"held_back", "off_calendar", "short_history"}
    assert {rule for rule, _ in DAMAGE.values()} | reported == {rule.id for rule in BAR_RULES}


def test_what_market_data_passed_over_is_reported_with_its_number() -> None:
    bars = made_up()
    assert broken(bars, off_calendar=1) == {"off_calendar": 15.0}
    assert broken(bars, off_calendar=40) == {"off_calendar": 60.0}
    assert broken(bars, held_back="split or dividend?") == {"held_back": 100.0}
    assert broken(made_up(30)) == {"short_history": 20.0}


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    found = assess(replaced(evidence(made_up()), bars=[]), LEAST)
    assert (found.quality_score, found.valid) == (None, False)


def test_a_real_crash_on_heavy_volume_costs_little_and_is_no_split() -> None:
    found = assess(evidence(recorded("AAPL", date(2000, 10, 20))), LEAST)
    assert [finding.rule for finding in found.findings] == ["large_step"]
    assert "2000-09-29" in found.findings[0].message
    assert found.quality_score == 86.0


@pytest.mark.parametrize(
    ("symbol", "day"), [("AAPL", date(2000, 6, 21)), ("AAPL", date(2005, 2, 28)), ("MSFT", date(2003, 2, 18))]
)
def test_a_split_that_is_reported_leaves_no_step_and_one_that_is_not_is_named(symbol: str, day: date) -> None:
    last = day + timedelta(days=20)
    while CALENDAR.session_on(last) is None:
        last += timedelta(days=1)
    bars = recorded(symbol, last)
    if len(bars) >= 60:
        assert broken(bars) == {}
    missing = [scaled(bar, 2.0, 0.5) if bar.session < day else bar for bar in bars]
    assert "untold_split" in broken(missing)


def test_one_old_odd_row_does_not_stop_trading_and_several_recent_ones_do() -> None:
    bars = made_up()
    one = [*bars[:-40], replaced(bars[-40], volume=0.0), *bars[-39:]]
    assert broken(one) == {}
    gap = [bar for index, bar in enumerate(bars) if index != len(bars) - 100]
    assert broken(gap) == {"missing_sessions": 3.8}


def test_values_that_a_caller_hands_in_are_checked_for_bounds_and_against_the_bars() -> None:
    good = {"technical": {"current_price": 50.0, "rsi": 55, "tech_score": 60.0}, "volume": {"volume_trend": -0.3}}
    assert check_values(good, 50.0) == []
    assert check_values({"market_data": good}, 50.0) == []
    assert check_values({}, None) == []
    (rsi,) = check_values({"technical": {"rsi": 170}}, 50.0)
    assert rsi.message == "technical.rsi is '170': it must be a number from 0 to 100"
    (price,) = check_values({"technical": {"current_price": 10**400}}, 50.0)
    assert price.rule == "schema"
    (text,) = check_values({"sentiment": {"sentiment_score": "good"}}, 50.0)
    assert text.points == 100.0
    (block,) = check_values({"volume": 3}, 50.0)
    assert "a block of named numbers" in block.message
    (price,) = check_values({"technical": {"current_price": 7600.0}}, 76.0)
    assert (price.rule, price.points) == ("price_mismatch", 60.0)


def test_scores_add_up_to_at_least_zero_and_the_overall_one_leaves_out_what_is_unknown() -> None:
    breach = BAR_RULES[0].check(evidence(made_up(), held_back="x"))
    assert breach is not None
    twice = [finding_of("a", 60.0, breach), finding_of("b", 80.0, breach)]
    poor = scored("AAA", twice, LEAST, "", None)
    assert (poor.quality_score, [finding.rule for finding in poor.findings]) == (0.0, ["b", "a"])
    good, unknown = (
        assess(evidence(made_up()), LEAST),
        assess(replaced(evidence(made_up()), bars=[]), LEAST),
    )
    assert overall([good, poor, unknown]) == 50.0
    assert overall([unknown]) is None
