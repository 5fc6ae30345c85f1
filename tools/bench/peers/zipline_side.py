"""The strategy in zipline-reloaded, in an environment of its own: FOLDER of bars and model.json, FIRST and LAST day.

Prints one JSON document: when each session's decisions were made (seconds since the first), and what came of it.
Bars are ingested before the clock starts. Commission, slippage and metrics are zipline's own defaults.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from peers import strategy

FOLDER, FIRST, LAST = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
os.environ["ZIPLINE_ROOT"] = str(FOLDER / "zipline")  # read while zipline is imported

import pandas as pd  # noqa: E402
from zipline import run_algorithm  # noqa: E402
from zipline.api import get_open_orders, order, order_target_percent, symbol  # noqa: E402
from zipline.data import bundles  # noqa: E402
from zipline.finance.execution import StopOrder  # noqa: E402
from zipline.utils.calendar_utils import get_calendar  # noqa: E402

MODEL = json.loads((FOLDER / "model.json").read_text())
FILES = sorted((FOLDER / "bars").glob("*.csv"))
FIELDS = ["open", "high", "low", "close", "volume"]


def ingest(_environ: Any, assets: Any, _minutes: Any, daily: Any, adjustments: Any, *_others: Any) -> None:
    """Write the bars into zipline's own store."""
    frames = [pd.read_csv(file, index_col="date", parse_dates=["date"]) for file in FILES]
    about = pd.DataFrame(
        {
            "symbol": [file.stem for file in FILES],
            "asset_name": [file.stem for file in FILES],
            "start_date": [frame.index[0] for frame in frames],
            "end_date": [frame.index[-1] for frame in frames],
            "auto_close_date": [frame.index[-1] + pd.Timedelta(days=1) for frame in frames],
            "exchange": ["MADE"] * len(FILES),
        }
    )
    daily.write(enumerate(frames), show_progress=False)
    exchanges = pd.DataFrame([{"exchange": "MADE", "canonical_name": "MADE", "country_code": "US"}])
    assets.write(equities=about, exchanges=exchanges)
    adjustments.write()


def initialize(context: Any) -> None:
    """Name the shares; nothing is held."""
    context.shares = [symbol(file.stem) for file in FILES]
    context.times, context.held, context.orders = [], {}, 0


def handle_data(context: Any, data: Any) -> None:
    """Decide on each share once, and order what follows from it."""
    # A field at a time: all at once, or a share at a time, took three to eight times as long.
    columns = [data.history(context.shares, name, strategy.WINDOW, "1d").to_numpy() for name in FIELDS]
    for number, share in enumerate(context.shares):
        window = [column[:, number].tolist() for column in columns]
        _trade(context, share, strategy.wanted(strategy.probability(MODEL, window)), window[3][-1])
    context.times.append(time.perf_counter())


def _trade(context: Any, share: Any, action: str, close: float) -> None:
    amount = context.portfolio.positions[share].amount
    waiting = get_open_orders(share)
    if amount == 0:
        context.held[share] = 0
        if action == "buy" and not waiting:
            order_target_percent(share, strategy.SHARE)
            context.orders += 1
        return
    context.held[share] = context.held.get(share, 0) + 1
    if action == "sell" or context.held[share] >= strategy.HELD_SESSIONS:
        for one in waiting:
            context.cancel_order(one)
        order_target_percent(share, 0.0)
        context.orders += 1
    elif not waiting:
        order(share, -amount, style=StopOrder(close * (1.0 - strategy.STOP_LOSS)))
        context.orders += 1


def main() -> None:
    """Ingest, run, and print."""
    bundles.register("made", ingest, calendar_name="XNYS")
    began = time.perf_counter()
    bundles.ingest("made", show_progress=False)
    ingested = time.perf_counter() - began
    start, end = pd.Timestamp(FIRST), pd.Timestamp(LAST)
    sessions = get_calendar("XNYS").sessions_in_range(start, end)
    result: dict[str, Any] = {}

    def analyze(context: Any, figures: Any) -> None:
        result.update(
            times=[one - context.times[0] for one in context.times],
            orders=context.orders,
            equity=float(figures.portfolio_value.iloc[-1]),
            ingested=ingested,
        )

    run_algorithm(
        start=start,
        end=end,
        initialize=initialize,
        handle_data=handle_data,
        analyze=analyze,
        capital_base=100_000,
        data_frequency="daily",
        bundle="made",
        benchmark_returns=pd.Series(0.0, index=sessions),
    )
    print(json.dumps(result))


main()
