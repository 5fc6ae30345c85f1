"""What the peers of the bench compute is what the sample's model computes, and their rates are counted as ours."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest

from bellwether.messages.market_data import Bar
from bellwether.training.feature_table import TABLE, WINDOW, View
from bench.peers import BACKTRADER, OURS, PEERS, ZIPLINE, Run, figures_of, peer_run
from peers import strategy


def bars(count: int) -> list[Bar]:
    found = []
    for at in range(count):
        close = 50 + 4 * math.sin(at / 7) + math.sin(at * 1.7)
        found.append(
            Bar(
                date(2009, 1, 1) + timedelta(days=at),
                close - 0.2,
                close + 0.7,
                close - 0.9,
                close,
                1e6 + 1e5 * (at % 9),
            )
        )
    return found


def test_the_peers_features_are_those_of_our_table() -> None:
    window = bars(WINDOW)
    columns = [[getattr(bar, name) for bar in window] for name in ("open", "high", "low", "close", "volume")]
    theirs = strategy.features(*columns)
    ours = {name: TABLE[name].compute(View(window, {})) for name in theirs}
    assert theirs == pytest.approx(ours, rel=1e-9, abs=1e-12)
    assert strategy.WINDOW == WINDOW


def test_a_peers_rates_are_symbol_sessions_between_the_first_and_the_last_session() -> None:
    ends = [0.1 * at for at in range(300)] + [29.9 + 0.2 * at for at in range(1, 253)]
    run = peer_run(ends, 90.0, 120.0)
    assert (run.sessions, run.seconds, run.peak) == (552, 90.0, 120.0)
    assert run.first_year == pytest.approx(40.0)
    assert run.last_year == pytest.approx(20.0)


def test_ours_is_compared_with_each_peer_within_the_rounds() -> None:
    def runs(*rates: float, each: int = 1, peak: float = 100.0) -> list[Run]:
        return [Run(1047, rate, rate, rate, 10.0, peak, each) for rate in rates]

    found = {OURS: runs(300, 600, each=2, peak=150), ZIPLINE: runs(100, 200), BACKTRADER: runs(600, 1200)}
    figures = {figure.what: figure for figure in figures_of(found)}
    beside_zipline = figures[f"symbol-sessions a second, ours / {ZIPLINE}"]
    assert (beside_zipline.value, beside_zipline.verdict) == (3.0, "met")
    assert figures[f"decisions a second, ours / {ZIPLINE}"].value == 6.0
    assert figures[f"symbol-sessions a second, ours / {BACKTRADER}"].value == 0.5
    assert figures[f"symbol-sessions a second, ours / {BACKTRADER}"].target is None
    assert figures[f"highest memory, ours / {ZIPLINE}"].value == 1.5
    assert set(PEERS) == {ZIPLINE, BACKTRADER}
