"""A running system's bars as files that a replay reads: as traded, with the splits and dividends that it knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bellwether.messages.market_data import (
    Bar,
    Bars,
    CorporateAction,
    CorporateActions,
    Coverage,
    GetBars,
    GetCorporateActions,
    GetCoverage,
)
from bellwether.runtime.history import PAGE

T = TypeVar("T")
_TITLES = "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits"
Histories = Mapping[str, tuple[list[Bar], list[CorporateAction]]]


class Asks(Protocol):
    """Whoever can call a service's methods."""

    async def request(self, peer: str, method: str, params: Any, result: type[T], *, idempotent: bool = True) -> T:
        """Return a method's result."""


async def fetch(peers: Asks, symbols: Sequence[str], last: date | None) -> Histories:
    """Return the bars of the symbols that have any, up to a day, unadjusted, with their splits and dividends.

    Raises:
        RpcError: as market-data says.
    """
    coverage = await peers.request("market-data", "get_coverage", GetCoverage(list(symbols)), Coverage)
    found: dict[str, tuple[list[Bar], list[CorporateAction]]] = {}
    for symbol in symbols:
        if symbol not in coverage.last:
            continue
        bars = await _bars(peers, symbol)
        kept = [bar for bar in bars if last is None or bar.session <= last]
        if not kept:
            continue
        question = GetCorporateActions(kept[-1].session, [symbol], since=kept[0].session)
        actions = await peers.request("market-data", "get_corporate_actions", question, CorporateActions)
        found[symbol] = (kept, actions.actions)
    return found


def write(histories: Histories, folder: Path) -> str:
    """Write one SYMBOL.csv per symbol; return the sha256 of all of them.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    for symbol in sorted(histories):
        text = csv_text(*histories[symbol])
        hashed.update(f"{symbol}\n{text}".encode())
        (folder / f"{symbol}.csv").write_text(text, "utf-8")
    return hashed.hexdigest()


def csv_text(bars: Sequence[Bar], actions: Sequence[CorporateAction]) -> str:
    """Return a symbol's bars as a file's text; a float is written so that reading it gives the same one."""
    splits = {one.session: one.ratio for one in actions if one.kind == "split"}
    dividends = {one.session: one.amount for one in actions if one.kind == "dividend"}
    lines = [
        f"{bar.session},{bar.open!r},{bar.high!r},{bar.low!r},{bar.close!r},{bar.volume!r},"
        f"{dividends.get(bar.session, 0.0)!r},{splits.get(bar.session, 0.0)!r}"
        for bar in bars
    ]
    return "\n".join([_TITLES, *lines]) + "\n"


async def _bars(peers: Asks, symbol: str) -> list[Bar]:
    found: list[Bar] = []
    while True:
        question = GetBars(symbol, count=PAGE, adjusted=False, before=found[0].session if found else None)
        page = (await peers.request("market-data", "get_bars", question, Bars)).bars
        found = [*page, *found]
        if len(page) < PAGE:
            return found
