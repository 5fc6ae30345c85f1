"""All bars in memory, and the answers of R2 as of an instant (pure: nothing is read or written here)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import msgspec

from bellwether.market.sessions import Calendar
from bellwether.market.slots import expected_bar
from bellwether.market_data import indicators
from bellwether.market_data.actions import Action
from bellwether.market_data.known import Hold, Rules, Stored
from bellwether.market_data.series import Series, View
from bellwether.messages.market_data import (
    Bar,
    Bars,
    Context,
    CorporateAction,
    Evidence,
    Freshness,
    GetBars,
    GetWindows,
    MarketContext,
    MarketData,
    SymbolFreshness,
    Technical,
    Volume,
    Window,
)
from bellwether.runtime.errors import RpcError
from bellwether.training.indicators import relative_strength


class NoData(RpcError):
    """A question that the bars cannot answer."""


NO_QUOTES: Mapping[date, Bar] = {}
SURELY_FINAL = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of one symbol: final bars as traded, oldest first, its actions, quotes, and why it is held back."""

    bars: Sequence[Bar]
    actions: Sequence[Action]
    quotes: Mapping[date, Bar] = field(default_factory=lambda: NO_QUOTES)
    hold: Hold | None = None


def recorded_of(stored: Stored, rules: Rules) -> Recorded:
    """Return what is stored, final bars and quotes apart; a row from before the open is not even a quote."""
    bars: list[Bar] = []
    quotes: dict[date, Bar] = {}
    for day, kept in stored.bars.items():
        if kept.recorded_at.date() - day > SURELY_FINAL or rules.final(day, kept.recorded_at):
            bars.append(kept.bar)
        elif rules.opened(day, kept.recorded_at):
            quotes[day] = kept.bar
    return Recorded(bars, [known.action for known in stored.actions], quotes, stored.hold)


class LoadedBars:
    """The series of all loaded symbols on one calendar, and which of them are declared."""

    def __init__(self, calendar: Calendar, declared: Sequence[str], margin: str, horizon: int) -> None:
        self.calendar = calendar
        self.declared = tuple(declared)
        self.margin = margin
        self.horizon = horizon
        self.errors: dict[str, str] = {}
        self.loading: dict[str, str] = {}
        self.odd: dict[str, list[str]] = {}
        """Rows that were left out, and what else is odd about a symbol's source, for people."""
        self._series: dict[str, Series] = {}
        self._states: dict[str, tuple[tuple[int, int, date], MarketData]] = {}
        self._context: tuple[tuple[tuple[int, int], ...], Context] | None = None
        self._context_at: tuple[datetime, Context] | None = None

    def put(self, symbol: str, recorded: Recorded) -> Series:
        """Take in a symbol's bars, in place of what was there."""
        self._states.pop(symbol, None)
        self._context = self._context_at = None
        series = self._series[symbol] = Series(
            recorded.bars, recorded.actions, self.calendar, recorded.quotes, recorded.hold
        )
        return series

    def knows(self, symbol: str) -> bool:
        """Whether a symbol's bars were taken in, declared or not."""
        return symbol in self._series

    def hold_words(self, symbol: str) -> str | None:
        """Return why a symbol is held back, now or from a later session on; None where it is not."""
        hold = self._series[symbol].hold if symbol in self._series else None
        return None if hold is None else held_back(symbol, hold)

    def series(self, symbol: str) -> Series:
        """Return a symbol's series.

        Raises:
            NoData: SOURCE_UNAVAILABLE, BARS_LOADING or NO_BARS for a declared symbol, UNKNOWN_SYMBOL for another.
        """
        found = self._series.get(symbol)
        if found is not None:
            return found
        if symbol in self.errors:
            raise NoData("SOURCE_UNAVAILABLE", self.errors[symbol], symbol=symbol)
        if symbol in self.loading:
            raise NoData("BARS_LOADING", self.loading[symbol], symbol=symbol)
        if symbol in self.declared:
            raise NoData("NO_BARS", f"{symbol} has no bars yet: they are being loaded", symbol=symbol)
        raise NoData(
            "UNKNOWN_SYMBOL", f"{symbol} is not declared; declared are {', '.join(self.declared)}", symbol=symbol
        )

    def view(self, symbol: str, as_of: datetime) -> View:
        """Return what is known of a symbol.

        Raises:
            NoData: as `series`, and NO_BARS where no session of it is complete yet.
        """
        series = self.series(symbol)
        view = series.as_of(as_of)
        if not view.count:
            first, hold = series.first, series.held(self.calendar.local_day(as_of))
            if hold is not None:
                raise NoData("SOURCE_UNAVAILABLE", held_back(symbol, hold), symbol=symbol)
            if first is None:
                raise NoData("NO_BARS", f"{symbol} has no complete bar yet{_quoted(series)}", symbol=symbol)
            raise NoData(
                "NO_BARS",
                f"{symbol} has no complete bar at {as_of.isoformat()}; its first is of {first}",
                symbol=symbol,
            )
        return view

    def market_data(self, symbol: str, as_of: datetime) -> MarketData:
        """Return the state of a symbol, from complete bars only.

        Raises:
            NoData: as `view`, NOT_ENOUGH_BARS where a state would say too little, HELD_BACK for a symbol in doubt.
        """
        view = self.view(symbol, as_of)
        hold = view.series.held(self.calendar.local_day(as_of))
        if hold is not None:
            raise NoData("HELD_BACK", held_back(symbol, hold), symbol=symbol)
        newest = self.calendar.previous_session(as_of).day
        key = (view.epoch, view.count, newest)
        kept = self._states.get(symbol)
        if kept is not None and kept[0] == key:
            found = kept[1]
        else:
            found = self._state(symbol, view, as_of, newest)
            self._states[symbol] = (key, found)
        context = self.context(as_of)
        margin = indicators.scaled_margin(self.margin, context)
        base_rate, _ = view.base_rate(self.horizon)
        market = MarketContext(context=context, buy_threshold=base_rate + margin, base_rate=base_rate, margin=margin)
        return msgspec.structs.replace(found, as_of=as_of, market_context=market)

    def context(self, as_of: datetime) -> Context:
        """Return the market's mood, from the complete bars of all declared symbols."""
        if self._context_at is not None and self._context_at[0] == as_of:
            return self._context_at[1]
        views = [self._series[symbol].as_of(as_of) for symbol in self.declared if symbol in self._series]
        key = tuple((view.epoch, view.count) for view in views)
        if self._context is None or self._context[0] != key:
            histories = [view.moves(indicators.CONTEXT_BARS) for view in views]
            self._context = (key, indicators.market_context(histories))
        self._context_at = (as_of, self._context[1])
        return self._context[1]

    def opening_prices(self, session: date, symbols: Iterable[str], as_of: datetime) -> dict[str, float]:
        """Return opening prices as traded; symbols that did not trade are left out.

        Raises:
            NoData: NOT_OPEN_YET before that session's open, NO_SESSION on another day.
        """
        found = self.calendar.session_on(session)
        if found is None:
            raise NoData("NO_SESSION", f"{self.calendar.name} has no session on {session}")
        if as_of < found.open:
            raise NoData("NOT_OPEN_YET", f"the session of {session} opens at {found.open.isoformat()}")
        prices: dict[str, float] = {}
        for symbol in symbols:
            series = self._series.get(symbol)
            bar = None if series is None else series.traded_on(session)
            if bar is not None:
                prices[symbol] = bar.open
        return prices

    def corporate_actions(
        self, session: date, symbols: Iterable[str], as_of: datetime, since: date | None = None
    ) -> list[CorporateAction]:
        """Return the actions effective before the opens from `since` to a session, by symbol and session, splits first.

        Raises:
            NoData: NOT_KNOWN_YET for a day that has not started at the exchange.
        """
        if session > self.calendar.local_day(as_of):
            raise NoData(
                "NOT_KNOWN_YET", f"corporate actions of {session} are reported on that day, it is {as_of.date()}"
            )
        return [
            CorporateAction(symbol, action.session, action.kind, action.ratio, action.amount)
            for symbol in sorted(set(symbols))
            if symbol in self._series
            for action in self._series[symbol].actions_within(since or session, session)
        ]

    def coverage(self, symbols: Sequence[str]) -> Mapping[str, tuple[date, date]]:
        """Return first and last session by symbol, over all that is recorded."""
        found = {}
        for symbol in symbols or self.declared:
            series = self._series.get(symbol)
            if series is not None and series.first is not None and series.last is not None:
                found[symbol] = (series.first, series.last)
        return found

    def freshness(self, as_of: datetime) -> Freshness:
        """Return whether the newest bars of the declared symbols are those that can be expected; age is in sessions.

        Raises:
            OutsideCalendar: when the calendar's table does not reach so far.
        """
        expected = expected_bar(self.calendar, as_of)
        return Freshness(expected, [self._freshness_of(symbol, expected, as_of) for symbol in self.declared])

    def _freshness_of(self, symbol: str, expected: date, as_of: datetime) -> SymbolFreshness:
        try:
            series = self.series(symbol)
            last = series.unadjusted(as_of).last
        except NoData as error:
            return SymbolFreshness(symbol, False, None, 0.0, str(error))
        hold = series.held(self.calendar.local_day(as_of))
        if hold is not None:
            return SymbolFreshness(symbol, False, None, 0.0, f"HELD_BACK: {held_back(symbol, hold)}")
        said = f"SOURCE_UNAVAILABLE: {self.errors[symbol]}" if symbol in self.errors else ""
        if last is None:
            words = f"NO_BARS: {symbol} has no complete bar yet{_quoted(series)}"
            return SymbolFreshness(symbol, False, None, 0.0, said or words)
        behind = self.calendar.sessions_between(last.session, expected)
        if behind <= 0:
            return SymbolFreshness(symbol, True, last.session, last.close, said)
        sessions = "1 session" if behind == 1 else f"{behind} sessions"
        late = f"the newest bar is of {last.session}, {sessions} before that of {expected}{_quoted(series)}"
        if self.odd.get(symbol):
            late += f"; left out was {self.odd[symbol][-1]}"
        return SymbolFreshness(symbol, False, last.session, last.close, f"{late}; {said}" if said else late)

    def _state(self, symbol: str, view: View, as_of: datetime, newest: date) -> MarketData:
        bars = view.bars(indicators.STATE_BARS)
        if len(bars) < indicators.MINIMUM_BARS:
            words = f"{symbol} has {len(bars)} complete bars; its state needs {indicators.MINIMUM_BARS}"
            raise NoData("NOT_ENOUGH_BARS", words, symbol=symbol)
        strength = relative_strength([bar.close for bar in bars])
        return MarketData(
            symbol=symbol,
            as_of=as_of,
            technical=Technical(
                current_price=view.traded.bars(1)[-1].close,
                rsi=strength,
                tech_score=indicators.tech_score(bars, strength),
            ),
            volume=Volume(
                volume_trend=indicators.volume_trend(bars),
                volume_quality_score=indicators.volume_quality_score(bars, self.calendar, newest),
            ),
            market_context=MarketContext(context="NEUTRAL", buy_threshold=0.0, base_rate=0.0, margin=0.0),
            last_session=bars[-1].session,
            revision=view.revision,
        )


def evidence_of(book: LoadedBars, symbol: str, count: int, as_of: datetime, known: str = "") -> Evidence:
    """Return a symbol's newest complete bars, up to `count`, and what was passed over among them.

    A symbol without any bar has evidence too: none of it.

    Raises:
        NoData: UNKNOWN_SYMBOL, or SOURCE_UNAVAILABLE where nothing is stored.
    """
    expected = expected_bar(book.calendar, as_of)
    series = book.series(symbol)
    view = series.as_of(as_of)
    first, today = view.first_day(count) or expected, book.calendar.local_day(as_of)
    passed_over = sum(first <= day <= today for day in series.off_calendar)
    revision = view.revision_of(count)
    hold = series.held(today)
    words = "" if hold is None else f"{hold.code}: {hold.message}"
    token = f"{revision} {expected} {passed_over} {words}"
    if token == known:
        return Evidence(symbol, token, expected, unchanged=True)
    return Evidence(symbol, token, expected, view.bars(count), revision, passed_over, words)


def bars_of(series: Series, request: GetBars, as_of: datetime) -> Bars:
    """Return the newest bars that a request asks for."""
    view = series.as_of(as_of) if request.adjusted else series.unadjusted(as_of)
    if request.before is not None:
        view = view.before(request.before)
    return Bars(request.symbol, view.bars(request.count), view.revision_of(request.count))


def window_of(book: LoadedBars, symbol: str, request: GetWindows, as_of: datetime) -> Window:
    """Return state and newest bars of a symbol, and why either is missing: too few bars have no state."""
    market: MarketData | None = None
    code = message = ""
    try:
        market = book.market_data(symbol, as_of)
    except NoData as error:
        code, message = error.code, error.message
    try:
        view = book.view(symbol, as_of)
    except NoData as error:
        return Window(market, None, error.code, error.message)
    revision = view.revision_of(request.count)
    bars = [] if request.known.get(symbol) == revision else view.bars(request.count)
    return Window(market, Bars(symbol, bars, revision), code, message)


def held_back(symbol: str, hold: Hold) -> str:
    """Return why a symbol is held back, for people."""
    return f"{symbol} is held back from {hold.since} on: {hold.code}: {hold.message}"


def _quoted(series: Series) -> str:
    """Return what is to be said of the newest quote that no bar has followed, empty where there is none."""
    newest = max(series.quotes, default=None)
    if newest is None or (series.last is not None and newest < series.last):
        return ""
    return (
        f"; the row of {newest} was recorded before its session was over and its source's delay had passed: "
        "it becomes the bar when the source states it again"
    )
