"""The strategy in backtrader, in an environment of its own: FOLDER of bars and model.json, FIRST and LAST day.

Prints one JSON document: when each session's decisions were made (seconds since the first), and what came of it.
backtrader is under the GPL: this program is the only one that loads it, and it is no part of what is installed.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt

from peers import strategy

FOLDER, FIRST, LAST = Path(sys.argv[1]), date.fromisoformat(sys.argv[2]), date.fromisoformat(sys.argv[3])
MODEL = json.loads((FOLDER / "model.json").read_text())


class Linear(bt.Strategy):  # type: ignore[misc]
    """Decides on each share once a session, and orders what follows from it."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.held: dict[Any, int] = {}
        self.stops: dict[Any, Any] = {}
        self.sent = 0

    def next(self) -> None:
        """Decide on all shares of a session."""
        if self.datas[0].datetime.date(0) < FIRST:
            return
        for data in self.datas:
            columns = (data.open, data.high, data.low, data.close, data.volume)
            window = [line.get(size=strategy.WINDOW).tolist() for line in columns]
            self._trade(data, strategy.wanted(strategy.probability(MODEL, window)))
        self.times.append(time.perf_counter())

    def _trade(self, data: Any, action: str) -> None:
        size = self.getposition(data).size
        if size == 0:
            self.held[data] = 0
            if action == "buy":
                self.order_target_percent(data, target=strategy.SHARE)
                self.sent += 1
            return
        self.held[data] += 1
        stop = self.stops.get(data)
        if action == "sell" or self.held[data] >= strategy.HELD_SESSIONS:
            if stop is not None:
                self.cancel(stop)
            self.close(data)
            self.sent += 1
        elif stop is None or not stop.alive():
            price = data.close[0] * (1.0 - strategy.STOP_LOSS)
            self.stops[data] = self.sell(data, size=size, exectype=bt.Order.Stop, price=price)
            self.sent += 1


def main() -> None:
    """Read the bars, run, and print."""
    engine = bt.Cerebro()
    for file in sorted((FOLDER / "bars").glob("*.csv")):
        feed = bt.feeds.GenericCSVData(
            dataname=str(file),
            dtformat="%Y-%m-%d",
            todate=datetime.combine(LAST, datetime.max.time()),  # a bar stands at the end of its day
            openinterest=-1,
        )
        engine.adddata(feed, name=file.stem)
    engine.addstrategy(Linear)
    engine.broker.setcash(100_000)
    engine.broker.setcommission(commission=0.0008)
    (done,) = engine.run()
    times = [one - done.times[0] for one in done.times]
    print(json.dumps({"times": times, "orders": done.sent, "equity": engine.broker.getvalue(), "ingested": 0.0}))


main()
