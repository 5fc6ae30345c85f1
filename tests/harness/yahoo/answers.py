"""What the stand-in answers (pure): a request, the shares, the switches and the present give status, headers, bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from harness.https_proxy import Reply, as_json
from harness.yahoo.shares import EXCHANGES, Row, Share, stated
from harness.yahoo.switches import Switches

CONSENT = (
    "<html><head><title>Yahoo is part of the Yahoo family of brands</title></head><body><form>"
    '<input name="csrfToken" value="made-up"><input name="sessionId" value="made-up"></form></body></html>'
)
TOO_MANY = "Too Many Requests\r\n"
CHART = "/v8/finance/chart/"
_DAY = 86400


@dataclass(frozen=True)
class Article:
    """One made-up article; of all symbols where none is named."""

    title: str
    published: datetime
    symbol: str = ""
    source: str = "Made Up News"


def kind_of(method: str, path: str) -> str:
    """Return what a request asks for: cookie, crumb, chart, timezone, news, consent or other."""
    route, _, query = path.partition("?")
    if route.startswith(CHART):
        return "timezone" if "range=1d" in query else "chart"
    if route == "/v1/test/getcrumb":
        return "crumb"
    if route == "/xhr/ncp" and method == "POST":
        return "news"
    if "onsent" in route:
        return "consent"
    return "cookie" if route == "/" else "other"


def refusal(code: int, reason: str, description: str) -> Reply:
    """Return an error in a chart's form."""
    return as_json(code, {"chart": {"result": None, "error": {"code": reason, "description": description}}})


def cookie(now: datetime) -> Reply:
    """Return what fc.yahoo.com answers: 404, and the cookie that all else needs."""
    expires = (now + timedelta(days=365)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    value = f"A3=d=made-up; Expires={expires}; Max-Age=31557600; Domain=.yahoo.com; Path=/; SameSite=None; Secure"
    return Reply(404, b"", {"Set-Cookie": f"{value}; HttpOnly"}, "text/html")


def chart(share: Share | None, symbol: str, query: Mapping[str, str], switches: Switches, now: datetime) -> Reply:
    """Return a chart of daily bars: of the asked period, or the newest day for `range`."""
    odd = switches if switches.holds(symbol) else Switches()
    if share is None or odd.delisted:
        return refusal(404, "Not Found", "No data found, symbol may be delisted")
    if odd.empty:
        return as_json(200, {"chart": {"result": [], "error": None}})
    history = stated(share, now, missing=odd.split_untold, restated=odd.restated)
    first, last = _period(query, now)
    chosen = [
        (row, adjusted)
        for row, adjusted in zip(history.rows, history.adjusted, strict=True)
        if first <= row.session.open.timestamp() < last
    ]
    if odd.withheld and chosen and chosen[-1][0].session.open + timedelta(days=1) > now:
        chosen.pop()
    if odd.empty_quote:
        chosen = []
    zone = share.calendar.timezone
    quotes = _quotes(chosen, odd, now)
    timestamps = [_instant(row, odd, zone, now) for row, _ in chosen]
    result: dict[str, Any] = {
        "meta": _meta(share, history.rows, odd, now),
        "timestamp": timestamps,
        "indicators": {"quote": [quotes[0] if chosen else {}], "adjclose": [{"adjclose": quotes[1]}]},
    }
    days = {row.session.day: int(row.session.open.timestamp()) for row, _ in chosen}
    events: dict[str, Any] = {}
    paid = {
        str(days[day]): {"amount": amount, "date": days[day]}
        for day, amount in history.dividends.items()
        if day in days
    }
    if paid:
        events["dividends"] = paid
    split = {
        str(days[day]): {
            "date": days[day],
            "numerator": float(new),
            "denominator": float(old),
            "splitRatio": f"{new}:{old}",
        }
        for day, (new, old) in history.splits.items()
        if day in days
    }
    if split:
        events["splits"] = split
    if events:
        result["events"] = events
    return _shaped(result, odd)


def _shaped(result: dict[str, Any], odd: Switches) -> Reply:
    if odd.shape == "no-timestamp":
        del result["timestamp"]
    elif odd.shape == "no-currency":
        del result["meta"]["currency"]
    elif odd.shape == "renamed":
        result["bars"] = result.pop("indicators")
    elif odd.shape == "text":
        closes = result["indicators"]["quote"][0].get("close", [])
        result["indicators"]["quote"][0]["close"] = ["n/a" for _ in closes]
    return as_json(200, {"chart": {"result": [result], "error": None}})


def _period(query: Mapping[str, str], now: datetime) -> tuple[float, float]:
    if "period1" in query:
        # Yahoo appends the row of the running session also where the period ends before it.
        return float(query["period1"]), max(float(query["period2"]), 0.0) + 1
    return now.timestamp() - 5 * _DAY, now.timestamp() + 1


def _quotes(
    chosen: Sequence[tuple[Row, float]], odd: Switches, now: datetime
) -> tuple[dict[str, list[Any]], list[float | None]]:
    names = ("open", "high", "low", "close", "volume")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    adjusted: list[float | None] = []
    count = len(chosen)
    for number, (row, factor) in enumerate(chosen):
        newest = count - number
        by = 100.0 if newest <= odd.hundredfold else 1.0
        nothing = (newest == 1 and odd.last_row_null) or 2 <= newest < 2 + odd.null_rows
        values = running(row, now)
        for name in names:
            value = values[name]
            columns[name].append(None if nothing else value if name == "volume" else value * by)
        adjusted.append(None if nothing else factor * by * values["close"] / row.close)
    return columns, adjusted


def running(row: Row, now: datetime) -> dict[str, Any]:
    """Return a session's values as far as it has gone: between open and close its price moves on a straight line."""
    length = (row.session.close - row.session.open).total_seconds()
    gone = min(max((now - row.session.open).total_seconds() / length, 0.0), 1.0)
    close = row.open + (row.close - row.open) * gone
    if gone >= 1.0:
        return {"open": row.open, "high": row.high, "low": row.low, "close": row.close, "volume": row.volume}
    return {
        "open": row.open,
        "high": max(row.open, close),
        "low": min(row.open, close),
        "close": close,
        "volume": int(row.volume * gone),
    }


def _instant(row: Row, odd: Switches, zone: ZoneInfo, now: datetime) -> int:
    at = row.session.open
    if row.session.open <= now < row.session.close:
        at = now
    if odd.day_early and at.astimezone(zone).dst():
        at -= timedelta(days=1)
    return int(at.timestamp())


def _meta(share: Share, rows: Sequence[Row], odd: Switches, now: datetime) -> dict[str, Any]:
    zone = odd.timezone or str(share.calendar.timezone)
    short, long, currency = EXCHANGES[share.calendar.name]
    last = rows[-1] if rows else None
    session = last.session if last is not None and now < last.session.close else share.calendar.next_session(now)
    offset = now.astimezone(ZoneInfo(zone)).utcoffset()
    seconds = 0 if offset is None else int(offset.total_seconds())
    period = {
        "timezone": zone,
        "start": int(session.open.timestamp()),
        "end": int(session.close.timestamp()),
        "gmtoffset": seconds,
    }
    if last is not None and now >= last.session.close and last.session.day == share.calendar.local_day(now):
        # Until midnight at the exchange, the current period is that of the day.
        period |= {"start": int(last.session.open.timestamp()), "end": int(last.session.close.timestamp())}
    return {
        "currency": odd.currency or currency,
        "symbol": share.symbol,
        "exchangeName": odd.exchange or short,
        "fullExchangeName": odd.exchange or long,
        "instrumentType": "EQUITY",
        "firstTradeDate": int(rows[0].session.open.timestamp()) if rows else None,
        "regularMarketTime": int(now.timestamp() if last is None else min(now, last.session.close).timestamp()),
        "hasPrePostMarketData": False,
        "gmtoffset": seconds,
        "timezone": now.astimezone(ZoneInfo(zone)).tzname(),
        "exchangeTimezoneName": zone,
        "regularMarketPrice": 0.0 if last is None else running(last, now)["close"],
        "longName": share.name,
        "shortName": share.name,
        "priceHint": 2,
        "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }


def news(symbols: Sequence[str], count: int, reported: Sequence[Article], switches: Switches, now: datetime) -> Reply:
    """Return the newest articles, with an advertisement among them as Yahoo has it.

    Without articles of the test's own, made-up neutral ones of the last days.
    """
    if switches.news == "null":
        return as_json(200, {"data": {"tickerStream": None}, "status": "OK"})
    stream: list[Any] = []
    for symbol in symbols:
        if switches.news == "empty":
            break
        articles = reported or [
            Article(f"Made-up headline {number} about {symbol}", now - timedelta(hours=6 * number))
            for number in (1, 2, 3)
        ]
        stream += [_article(article) for article in articles if article.symbol in ("", symbol)][:count]
        stream.append({"id": "advertisement", "ad": [{"title": "Made-up advertisement"}], "content": None})
    if switches.news == "renamed":
        stream = [{"id": each["id"], "article": each["content"]} for each in stream]
    if switches.news == "odd":
        stream += [{"id": "x"}, {"content": {"title": 7}}, {"content": {"title": "No time", "provider": None}}]
    return as_json(200, {"data": {"tickerStream": {"stream": stream}}, "status": "OK"})


def _article(article: Article) -> dict[str, Any]:
    return {
        "id": f"{article.title}-{article.published:%Y%m%d%H%M}",
        "content": {
            "title": article.title,
            "pubDate": article.published.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "provider": {"displayName": article.source},
            "canonicalUrl": {"url": "https://finance.yahoo.com/made-up/article.html"},
        },
    }
