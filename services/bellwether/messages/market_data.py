"""What market-data answers and publishes. Prices are in the currency of the symbol, unadjusted unless said."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

from bellwether.messages.envelope import ErrorBody

MOST_BARS = 16_000
"""The most bars of one answer: sixty years of sessions."""
PRICE_SLACK = 0.011
"""Sources round each price by itself: open and close may stand this much outside of high and low."""

Context = Literal["RISK_ON", "NEUTRAL", "RISK_OFF"]


# A bar holds nothing that could lead back to it: the collector need not follow it, which saves 16 bytes of each.
class Bar(msgspec.Struct, frozen=True, gc=False):
    """One session of one symbol. Volume is in shares."""

    session: date
    open: float
    high: float
    low: float
    close: float
    volume: float


class GetBars(msgspec.Struct, frozen=True):
    """Ask for the newest `count` bars of a symbol that are complete at the instant of the request (`as_of`)."""

    symbol: str
    count: int = 250
    adjusted: bool = True
    """True: prices before a split are divided by its ratio, for splits known at `as_of`. Dividends never adjust."""
    before: date | None = None
    """Only bars of sessions before this day, in the same units: a long history is asked for page by page."""
    revision: str | None = None
    """The bars that had this revision, be it an older version of them; where no version has, the newest."""


class Bars(msgspec.Struct, frozen=True):
    """Bars in the order of their sessions; `revision` is the sha256 of their canonical bytes, as hex."""

    symbol: str
    bars: list[Bar]
    revision: str


class Technical(msgspec.Struct, frozen=True):
    """`rsi` 0-100 (Wilder, 14 sessions), `tech_score` 0-100 (50 is indifferent)."""

    current_price: float
    """Last close, as traded: until the open of a split in the units before it, as a trader's shares and orders are."""
    rsi: float
    tech_score: float


class Volume(msgspec.Struct, frozen=True):
    """`volume_trend`: mean of 5 sessions over mean of 20, less 1. `volume_quality_score`: 0-1, share of traded days."""

    volume_trend: float
    volume_quality_score: float


class MarketContext(msgspec.Struct, frozen=True):
    """The market's mood, and what probability a BUY needs in it: `base_rate` + `margin`."""

    context: Context
    buy_threshold: float
    base_rate: float
    """Share of sessions (as of the request) after which the close rose over the model's horizon."""
    margin: float
    """The declared margin, scaled by the context."""


class GetMarketData(msgspec.Struct, frozen=True):
    """Ask for the state of one symbol at the instant of the request."""

    symbol: str


class MarketData(msgspec.Struct, frozen=True):
    """The state of one symbol, computed from complete bars only."""

    symbol: str
    as_of: datetime
    technical: Technical
    volume: Volume
    market_context: MarketContext
    last_session: date
    """The session of the newest bar it was computed from."""
    revision: str
    """Revision of the bars it was computed from."""


class GetWindows(msgspec.Struct, frozen=True):
    """Ask for the state and the newest `count` complete bars of several symbols at the instant of the request."""

    symbols: list[str]
    count: int
    known: dict[str, str] = {}
    """Revisions of bars that the caller has, by symbol: those bars are left out of the answer."""
    traces: dict[str, str] = {}
    """W3C trace contexts by symbol: below each a span says what was answered of that symbol."""


class Window(msgspec.Struct, frozen=True):
    """State and bars of one symbol; where either is missing, `code` and `message` say why, as an error would."""

    market: MarketData | None
    bars: Bars | None
    """Without bars where the caller knows them by their revision."""
    code: str = ""
    message: str = ""


class Windows(msgspec.Struct, frozen=True):
    """State and bars by symbol."""

    symbols: dict[str, Window]


class GetOpeningPrices(msgspec.Struct, frozen=True):
    """Ask for opening prices of a session that has opened at the instant of the request."""

    session: date
    symbols: list[str]


class OpeningPrices(msgspec.Struct, frozen=True):
    """Opening prices by symbol; a symbol that did not trade on that day is left out."""

    session: date
    prices: dict[str, float]


class GetCorporateActions(msgspec.Struct, frozen=True):
    """Ask for splits and dividends whose ex-date is the given session, or lies between `since` and it."""

    session: date
    symbols: list[str]
    since: date | None = None


class CorporateAction(msgspec.Struct, frozen=True):
    """A split (`ratio` new shares for one old) or a cash dividend (`amount` per share), effective before the open."""

    symbol: str
    session: date
    kind: Literal["split", "dividend"]
    ratio: float = 1.0
    amount: float = 0.0


class CorporateActions(msgspec.Struct, frozen=True):
    """Actions by symbol, splits before dividends."""

    actions: list[CorporateAction]


class GetCoverage(msgspec.Struct, frozen=True):
    """Ask how far the bars of the declared symbols reach, or of the given ones."""

    symbols: list[str] = []


class Coverage(msgspec.Struct, frozen=True):
    """First and last session by symbol, over all that is recorded (a replay's future included)."""

    first: dict[str, date]
    last: dict[str, date]
    errors: dict[str, str] = {}
    """Symbols without bars, and why."""
    loading: dict[str, str] = {}
    """Symbols whose first bars are on their way, and how far they are."""


class SymbolFreshness(msgspec.Struct, frozen=True):
    """The newest complete bar of one symbol."""

    symbol: str
    fresh: bool
    """Whether it is of the expected session."""
    last_session: date | None
    """Its session; None where there is no bar."""
    close: float
    """Its closing price as traded; 0 where there is no bar."""
    problem: str = ""
    """What is wrong, for people: how far it is behind, what the source said; empty when nothing is."""


class Freshness(msgspec.Struct, frozen=True):
    """The newest bars by symbol, and the session whose bar can be expected."""

    expected: date
    symbols: list[SymbolFreshness]


class GetEvidence(msgspec.Struct, frozen=True):
    """Ask for what the quality of bars is judged by, symbol by symbol, at the instant of the request.

    `known` holds the `token` of an earlier answer by symbol: where nothing has changed since, no bars are answered.
    """

    symbols: list[str]
    count: int = 260
    known: dict[str, str] = {}


class Evidence(msgspec.Struct, frozen=True):
    """The newest complete bars, in units after the splits known by then, and what was passed over on the way."""

    symbol: str
    token: str
    """Names all that is in the answer."""
    expected: date
    """The session whose bar can be expected."""
    bars: list[Bar] = []
    revision: str = ""
    """Of the bars, as in `Bars`."""
    off_calendar: int = 0
    """Rows on days without a session, which were passed over."""
    held_back: str = ""
    """Why the symbol is held back; empty when it is not."""
    unchanged: bool = False
    """Whether the token is the one that the caller knows: then there are no bars in the answer."""


class Evidences(msgspec.Struct, frozen=True):
    """Evidence by symbol, and of the others why there is none."""

    symbols: dict[str, Evidence]
    errors: dict[str, ErrorBody] = {}


class PublishBars(msgspec.Struct, frozen=True):
    """Say that the bars of a session are complete (the conductor asks this at each close)."""

    session: date


class PublishedBars(msgspec.Struct, frozen=True):
    """Ids of the events that were published, in the order of their symbols."""

    event_ids: list[str]


class MarketDataUpdated(msgspec.Struct, frozen=True):
    """A symbol's newest complete bar changed."""

    symbol: str
    session: date
    revision: str
