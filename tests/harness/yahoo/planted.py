"""Shares of which a model is to buy some, whatever day it is, and the stand-in in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from bellwether.market.sessions import Calendar
from harness.authority import make_authority
from harness.yahoo.shares import DAILY, MEAN_SESSIONS, Share, default_shares
from harness.yahoo.standin import HOSTS, StandIn

SIGNAL = 0.5
FALLEN = 3
"""So many of the shares at least are that far below their mean that a model which has seen the signal buys them."""


def planted(symbols: Sequence[str], calendar: Calendar, now: datetime) -> dict[str, Share]:
    """Return shares of which some have fallen clearly below their mean by now, from where they rise."""
    for walk in range(1000):
        shares = default_shares(symbols, calendar, SIGNAL, walk)
        if sum(_has_fallen(share, now) for share in shares.values()) >= FALLEN:
            return shares
    raise AssertionError(f"in no walk {FALLEN} shares have fallen by {now}")


def most_fallen(shares: Mapping[str, Share], now: datetime) -> str:
    """Return the share that is furthest below its mean: the surest to be bought."""
    return min(shares, key=lambda symbol: _below(shares[symbol], now))


def on_calendar(yahoo: StandIn, calendar: Calendar) -> None:
    """Have the shares trade on other sessions from now on; what is before the first other one stays as it was."""
    yahoo.shares = {symbol: replace(share, calendar=calendar) for symbol, share in yahoo.shares.items()}


@contextmanager
def standing_in_beside(folder: Path, host: str = "127.0.0.1") -> Iterator[StandIn]:
    """Run a stand-in, without shares at first, in a thread of its own."""
    authority, tls = make_authority(folder, HOSTS)
    yahoo = StandIn({}, authority, tls)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(yahoo.serving(host)):
        yield yahoo


def _has_fallen(share: Share, now: datetime) -> bool:
    return _below(share, now) < 1 - DAILY


def _below(share: Share, now: datetime) -> float:
    """Return the newest close over the mean."""
    closes = [row.close for row in share.rows(now)[-MEAN_SESSIONS:]]
    return closes[-1] * len(closes) / sum(closes)
