"""From what the child says of a symbol to rows that can be stored, or to words that say why not (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from bellwether.market.sessions import Calendar, OutsideCalendar
from bellwether.market_data.rows import Loaded, OddRow, SourceError, SourceRow
from bellwether.messages.market_data import Bar

SOURCE = "yahoo"
PENCE = {"GBp": ("GBP", 0.01), "GBX": ("GBP", 0.01)}
"""Currencies that are a hundredth of another, as Yahoo writes them."""
LISTED: Mapping[str, tuple[str, str]] = {
    "XASX": ("AUD", ".AX"),
    "XHKG": ("HKD", ".HK"),
    "XLON": ("GBP", ".L"),
    "XNYS": ("USD", ""),
    "XTKS": ("JPY", ".T"),
}
"""Per calendar, the currency its shares trade in, and how Yahoo's symbols of that exchange end."""
OF_ALL = ("rate-limited", "network", "down")
"""Kinds of refusal that are Yahoo's fault or that of the way there: no other symbol would fare better."""
RECENT = 30
"""So many of the newest rows are looked at when rows seem to lie on the wrong days."""
WRONG_SHARE = 10
HUNDREDFOLD = (50.0, 200.0)
"""A price this many times the one before it, or that part of it, is stated in another unit."""
AGREEMENT = 0.005
"""How far a restated close may lie from the stored one before everything is fetched again."""

Figure = float | None
"""A number of a row; None where Yahoo has none."""


class Meta(msgspec.Struct, frozen=True):
    """What an answer says of itself."""

    currency: str | None = None
    exchange: str | None = None
    timezone: str | None = None
    type: str | None = None
    market_time: float | None = None
    period_start: float | None = None
    period_end: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """One line of the child: rows and what they are of, or an error's kind and words."""

    symbol: str
    requests: int
    meta: Meta | None = None
    rows: list[tuple[str, Figure, Figure, Figure, Figure, Figure, Figure, Figure, Figure]] = []
    """Of each day its open, high, low, close, adjusted close, volume, dividend and split."""
    news: list[tuple[str, str, str]] = []
    """Of each article title, source, and time of publishing as Yahoo writes it; empty where there is none."""
    error: str = ""
    message: str = ""


class Refused(SourceError):
    """Why an answer gives no bars.

    The kinds of `OF_ALL` name no symbol; `shape`, `unknown` and `wrong` are of one.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_answer(line: bytes) -> Answer:
    """Return what a line of the child says.

    Raises:
        Refused: for a line of another form.
    """
    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.MsgspecError as error:
        raise Refused("shape", f"the process that asks Yahoo gave a line that cannot be read: {error}") from error


def loaded(answer: Answer, calendar: Calendar, at: datetime) -> Loaded:
    """Return the rows of an answer that came at an instant, in the units that Yahoo states them in, after later splits.

    Left out, and named in `odd`: rows without prices, the row of a session that Yahoo says is under way, and rows in
    another unit (a hundred times their neighbours).

    Raises:
        Refused: for an error, an empty answer, a symbol of another exchange or currency, and rows that lie on days
            without a session.
    """
    symbol = answer.symbol
    if answer.error or answer.meta is None:
        kind, words = answer.error or "shape", answer.message or "Yahoo gave no answer"
        raise Refused(kind, words if kind in OF_ALL else f"{symbol}: {words}")
    by = _unit(symbol, answer.meta, calendar)
    rows: list[SourceRow] = []
    odd: list[OddRow] = []
    running = _running_day(answer.meta, calendar)
    for row in answer.rows:
        read = _row(row, by, running)
        if isinstance(read, SourceRow):
            rows.append(read)
        else:
            odd.append(read)
    if not rows:
        raise Refused(
            "shape", f"{symbol}: Yahoo answered without any price; that is taken for a fault, not for no bars"
        )
    rows = sorted({row.session: row for row in rows}.values(), key=lambda row: row.session)
    _refuse_wrong_days(symbol, rows, calendar)
    rows, hundredfold = _one_unit(rows)
    return Loaded(
        rows=tuple(rows),
        source=SOURCE,
        fingerprint=hashlib.sha256(msgspec.json.encode([answer.rows, running])).hexdigest(),
        recorded_at=at,
        split_adjusted=True,
        states_actions=True,
        odd=(*odd, *hundredfold),
    )


def _unit(symbol: str, meta: Meta, calendar: Calendar) -> float:
    """Return what prices are multiplied by to be in the calendar's currency; refuse what trades elsewhere."""
    currency, ending = LISTED[calendar.name]
    hint = f"; symbols of {calendar.name} end in {ending}" if ending and not symbol.endswith(ending) else ""
    if meta.timezone != str(calendar.timezone):
        raise Refused(
            "wrong",
            f"{symbol} trades at {meta.exchange or 'an exchange'} in the time zone {meta.timezone}, and the declared "
            f"calendar {calendar.name} is in {calendar.timezone}{hint}",
        )
    stated, by = PENCE.get(meta.currency or "", (meta.currency, 1.0))
    if stated != currency:
        raise Refused(
            "wrong", f"{symbol} is stated in {meta.currency}, and shares of {calendar.name} trade in {currency}{hint}"
        )
    return by


def _running_day(meta: Meta, calendar: Calendar) -> date | None:
    """Return the day whose session was under way when Yahoo last saw a price, by Yahoo's own word.

    Before an open, Yahoo's current period is the coming session, and the price is that of the session before.
    """
    if meta.market_time is None or meta.period_start is None or meta.period_end is None:
        return None
    if not meta.period_start <= meta.market_time < meta.period_end:
        return None
    return calendar.local_day(datetime.fromtimestamp(meta.market_time, UTC))


def _row(row: Sequence[Any], by: float, running: date | None) -> SourceRow | OddRow:
    day = date.fromisoformat(row[0])
    if day == running:
        return OddRow(SOURCE, day, "SESSION_UNDER_WAY", f"{day} is not over by Yahoo's own word: a quote, not a bar")
    prices, adjusted, volume, dividend, split = row[1:5], row[5], row[6], row[7], row[8]
    if any(price is None or price <= 0.0 for price in prices):
        if dividend or (split and split != 1.0):
            action = f"split {split:g}" if split else f"dividend {dividend:g}"
            return OddRow(SOURCE, day, "ACTION_WITHOUT_PRICES", f"{day} has a {action} and no prices")
        return OddRow(SOURCE, day, "NO_PRICES", f"{day} has no prices at Yahoo: {_said(prices)}")
    first, high, low, close = (float(price) * by for price in prices)
    return SourceRow(
        session=day,
        open=first,
        high=max(high, first, close),
        low=min(low, first, close),
        close=close,
        volume=volume or 0.0,
        adjusted_close=None if adjusted is None or adjusted <= 0.0 else adjusted * by,
        split=split or 1.0,
        dividend=(dividend or 0.0) * by,
        where=SOURCE,
        flags=("HIGH_LOW_WIDENED",) if max(first, close) > high or min(first, close) < low else (),
    )


def _said(prices: Iterable[float | None]) -> str:
    return ", ".join("null" if price is None else f"{price:g}" for price in prices)


def _refuse_wrong_days(symbol: str, rows: Sequence[SourceRow], calendar: Calendar) -> None:
    newest = rows[-RECENT:]
    wrong = [row.session for row in newest if not _trades(calendar, row.session)]
    if len(wrong) >= 2 and len(wrong) * WRONG_SHARE >= len(newest):
        raise Refused(
            "wrong",
            f"{symbol}: {len(wrong)} of the newest {len(newest)} rows lie on days without a session of "
            f"{calendar.name}, such as {wrong[-1]:%A} {wrong[-1]}: the rows are dated wrongly and none is taken",
        )


def _trades(calendar: Calendar, day: date) -> bool:
    try:
        return calendar.session_on(day) is not None
    except OutsideCalendar:
        return True


def _one_unit(rows: Sequence[SourceRow]) -> tuple[list[SourceRow], list[OddRow]]:
    """Return the rows without those that are stated at about 100 times, or a hundredth of, the one before them."""
    least, most = HUNDREDFOLD
    kept: list[SourceRow] = []
    odd: list[OddRow] = []
    for row in rows:
        ratio = row.close / kept[-1].close if kept else 1.0
        if least <= ratio <= most or 1.0 / most <= ratio <= 1.0 / least:
            words = f"{row.session} closes at {row.close:g} after {kept[-1].close:g}: another unit, so it is left out"
            odd.append(OddRow(SOURCE, row.session, "HUNDREDFOLD", words))
        else:
            kept.append(row)
    return kept, odd


def disagreement(found: Loaded, stored: Iterable[Bar]) -> str:
    """Return where newly fetched rows contradict stored bars as traded, in words; empty where they agree.

    Only closes are compared: volumes and the range of a day are corrected often.
    """
    known = {bar.session: bar for bar in stored}
    units = 1.0
    for row in reversed(found.rows):
        bar = known.get(row.session)
        if bar is not None and abs(row.close * units / bar.close - 1.0) > AGREEMENT:
            return f"the close of {row.session} is {row.close * units:g} now and was {bar.close:g}"
        units *= row.split or 1.0
    return ""


def newest_final(found: Loaded, calendar: Calendar, delay: timedelta) -> date | None:
    """Return the newest session whose row is final: stated after its close and the delay."""
    for row in reversed(found.rows):
        try:
            session = calendar.session_on(row.session)
        except OutsideCalendar:
            continue
        if session is not None and session.close + delay <= found.recorded_at:
            return row.session
    return None
