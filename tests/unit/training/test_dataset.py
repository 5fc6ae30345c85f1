from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest

from bellwether.messages.market_data import Bar
from bellwether.training.calibration import Calibrator, log_odds
from bellwether.training.dataset import data_revision, last_session, make_rows, newest_share, part_by_day
from bellwether.training.dataset import test_blocks as blocks
from bellwether.training.features import WINDOW, features

HORIZON = 5
NAMES = ["return_1", "rsi_14"]


def history(count: int, step: float = 0.3) -> list[Bar]:
    return [
        Bar(date(2020, 1, 1) + timedelta(days=number), price, price + 1, price - 1, price, 100.0 + number)
        for number, price in enumerate(100.0 + step * (number % 7) + 0.1 * number for number in range(count))
    ]


def test_each_row_is_what_prediction_would_compute_on_that_day() -> None:
    bars = history(WINDOW + 20)
    rows = make_rows({"X": bars}, NAMES, HORIZON)
    assert len(rows) == 20 - HORIZON + 1
    for number in range(len(rows)):
        now = features(bars[: WINDOW + number])
        assert rows.x[number].tolist() == [now[name] for name in NAMES]
        assert rows.day[number] == bars[WINDOW + number - 1].session.toordinal()
        outcome = bars[WINDOW + number - 1 + HORIZON]
        assert rows.known[number] == outcome.session.toordinal()
        assert rows.y[number] == int(outcome.close > bars[WINDOW + number - 1].close)


def test_rows_of_several_symbols_are_in_the_order_of_their_sessions() -> None:
    rows = make_rows({"B": history(140), "A": history(140)}, NAMES, HORIZON)
    assert rows.symbols == ("A", "B")
    assert rows.symbol.tolist()[:4] == [0, 1, 0, 1]
    assert rows.day.tolist() == sorted(rows.day.tolist())


def test_parting_purges_labels_that_reach_over_the_cut() -> None:
    rows = make_rows({"A": history(200)}, NAMES, HORIZON)
    cut = newest_share(rows, 0.25)
    before, ahead = part_by_day(rows, cut)
    assert before.known.max() < cut <= ahead.day.min()
    assert len(rows) - len(before) - len(ahead) == HORIZON


def test_blocks_cover_the_newest_share_without_overlap() -> None:
    rows = make_rows({"A": history(220)}, NAMES, HORIZON)
    found = blocks(rows, 3, 0.5)
    assert found[0][0] == newest_share(rows, 0.5)
    assert found[-1][1] == rows.day.max()
    assert all(earlier[1] < later[0] for earlier, later in pairwise(found))


def test_the_data_revision_follows_every_bar_and_no_order_of_symbols() -> None:
    bars = history(3)
    assert data_revision({"A": bars, "B": bars}) == data_revision({"B": bars, "A": bars})
    assert data_revision({"A": bars}) != data_revision({"A": bars[:2]})
    assert last_session({"A": bars, "B": bars[:1]}) == date(2020, 1, 3)


def test_the_calibrated_probability_of_a_neutral_score_is_the_symbols_base_rate() -> None:
    calibrator = Calibrator(0.5, log_odds(0.52), {"A": log_odds(0.55) - log_odds(0.52)})
    assert calibrator.probability(0.0, "A") == pytest.approx(0.55)
    assert calibrator.probability(0.0, "UNKNOWN") == pytest.approx(0.52)
    assert calibrator.probability(0.0, None) == pytest.approx(0.52)


def test_far_scores_stay_within_zero_and_one() -> None:
    calibrator = Calibrator(1.0, 0.0, {})
    assert calibrator.probability(1000.0, None) == 1.0
    assert calibrator.probability(-1000.0, None) == 0.0
