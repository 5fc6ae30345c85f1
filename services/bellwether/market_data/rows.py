"""What a source states of one symbol: its rows, and the rows that were left out (pure).

Sources hand over what they read, in the source's own units; what it means (splits, final or not, which version
supersedes which) is decided behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from bellwether.messages.market_data import Bar


class SourceError(Exception):
    """Bars cannot be had; the message names the file, line, column and value, or what is missing."""


class NotYet(SourceError):
    """Bars are on their way; the message says how far they are."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One session of one symbol as a source states it.

    Attributes:
        session: the exchange's day.
        open: price in the source's units, as `high`, `low` and `close`.
        volume: in shares, in the source's units.
        adjusted_close: close scaled down for every later split and dividend; None where the source does not say.
        split: new shares for one old, effective before this open; 1.0 is a stated none, None is not stated.
        dividend: cash per share in the row's units, ex at this open; None is not stated.
        where: the place to name to people, such as "CBA.AX.csv, line 12" or "yahoo".
        flags: codes of what is odd about a row that is kept.
    """

    session: date
    open: float
    high: float
    low: float
    close: float
    volume: float
    adjusted_close: float | None = None
    split: float | None = None
    dividend: float | None = None
    where: str = ""
    flags: tuple[str, ...] = ()

    @property
    def bar(self) -> Bar:
        """The row's prices and volume in the source's units."""
        return Bar(self.session, self.open, self.high, self.low, self.close, self.volume)


@dataclass(frozen=True, slots=True)
class OddRow:
    """A row that was left out: where it stands, its session if that could be read, a stable code, and words."""

    where: str
    session: date | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a source has of one symbol at one time.

    Attributes:
        rows: in the order of their sessions, each session once.
        source: who states it: "csv:…", "yahoo", "recorded:…".
        fingerprint: a hash; equal means nothing new.
        recorded_at: when the source stated it, in UTC: a file's modification time, the end of a fetch. A row is its
            session's final bar only if it was recorded after the close and the source's delay.
        split_adjusted: prices are stated in the units after all later splits that the source knew; else as traded.
        states_actions: the rows' splits and dividends are the truth; else they are inferred.
        odd: rows that were left out.
    """

    rows: tuple[SourceRow, ...]
    source: str
    fingerprint: str
    recorded_at: datetime
    split_adjusted: bool = False
    states_actions: bool = False
    odd: tuple[OddRow, ...] = ()
