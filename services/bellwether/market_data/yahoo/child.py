"""The process that asks Yahoo, through yfinance: it lives for one batch of symbols and then gives its memory back.

Nothing that stays imports this module: yfinance needs pandas. It is spoken to in lines of JSON. The first line on its
standard input says how to reach Yahoo, each further one names a symbol and the first day of the bars that are wanted,
or how many articles; each gets one line back. Whoever asks
keeps the pace, and ends the batch by closing the input.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

PRICES = ("Open", "High", "Low", "Close", "Adj Close")
REQUEST_SECONDS = 10
LONGEST_TITLE = 1000


def main(lines: TextIO, out: TextIO) -> None:
    """Answer each line until there are no more."""
    settings = json.loads(next(lines))
    session, yf = _prepare(settings)
    for line in lines:
        asked = json.loads(line)
        before = session.count
        ask = _ask_news if "news" in asked else _ask
        answer = {"symbol": asked["symbol"], **ask(yf, session, asked)}
        answer["requests"] = session.count - before
        out.write(json.dumps(answer) + "\n")
        out.flush()


def _prepare(settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a session that counts its requests, and yfinance, set to hide no error and to keep its cookie on disk."""
    import yfinance as yf
    from curl_cffi import requests

    class Counting(requests.Session):  # type: ignore[type-arg]
        count = 0

        def request(self, *args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return super().request(*args, **kwargs)

    warnings.simplefilter("ignore")
    logging.getLogger("yfinance").setLevel(logging.ERROR)
    yf.set_tz_cache_location(settings["cache"])
    yf.config.debug.hide_exceptions = False
    proxy, authorities = settings["proxy"], settings["authorities"]
    if proxy:
        # The declared way holds for every host, whatever the machine says of others.
        for name in ("NO_PROXY", "no_proxy"):
            os.environ.pop(name, None)
    session = Counting(impersonate="chrome", verify=authorities or True, proxies={"all": proxy} if proxy else None)
    return session, yf


def _ask(yf: Any, session: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        ticker = yf.Ticker(asked["symbol"], session=session)
        frame = ticker.history(
            start=asked["start"], interval="1d", auto_adjust=False, actions=True, keepna=True, timeout=REQUEST_SECONDS
        )
        return {"meta": _meta(ticker.get_history_metadata()), "rows": list(_rows(frame))}
    except Exception as error:  # each way in which it can fail is a fact to report, and none may end the batch
        kind, message = _named(error)
        return {"error": kind, "message": message}


def _ask_news(yf: Any, session: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        articles = yf.Ticker(asked["symbol"], session=session).get_news(count=asked["news"])
        found = [each for each in map(_article, articles) if each is not None]
    except Exception as error:
        kind, message = _named(error)
        return {"error": kind, "message": message if kind != "unknown" else f"Yahoo has no news of it ({error})"}
    if articles and not found:
        words = f"Yahoo's news is of another shape than before: of {len(articles)} articles none has a title"
        return {"error": "shape", "message": words}
    return {"news": found[: asked["news"]]}


def _article(article: Any) -> list[str] | None:
    """Return title, source and time of publishing of an article; None for one without a title."""
    content = article.get("content") if isinstance(article, dict) else None
    if not isinstance(content, dict):
        return None
    provider = content.get("provider")
    source = provider.get("displayName") if isinstance(provider, dict) else None
    title, published = content.get("title"), content.get("pubDate")
    if not isinstance(title, str) or not title.strip():
        return None
    return [
        title[:LONGEST_TITLE],
        source[:LONGEST_TITLE] if isinstance(source, str) else "",
        published[:LONGEST_TITLE] if isinstance(published, str) else "",
    ]


def _meta(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the answer says of itself. Other keys would make yfinance ask again."""
    period = (found.get("currentTradingPeriod") or {}).get("regular") or {}
    return {
        "currency": found.get("currency"),
        "exchange": found.get("exchangeName"),
        "timezone": found.get("exchangeTimezoneName"),
        "type": found.get("instrumentType"),
        "market_time": _epoch(found.get("regularMarketTime")),
        "period_start": _epoch(period.get("start")),
        "period_end": _epoch(period.get("end")),
    }


def _epoch(value: Any) -> float | None:
    return float(value.timestamp()) if hasattr(value, "timestamp") else None


def _rows(frame: Any) -> Iterator[list[Any]]:
    """Give [day, open, high, low, close, adjusted close, volume, dividend, split] per row; null for what is none."""
    columns = [[*map(_number, frame[name].tolist())] for name in (*PRICES, "Volume", "Dividends", "Stock Splits")]
    days = [stamp.date().isoformat() for stamp in frame.index]
    for day, *values in zip(days, *columns, strict=True):
        yield [day, *values]


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _named(error: Exception) -> tuple[str, str]:
    """Return what kind of failure it is, and its words."""
    name, message = type(error).__name__, str(error)
    if name == "YFRateLimitError":
        return "rate-limited", "Yahoo answers 429: too many requests"
    if name in ("YFPricesMissingError", "YFTzMissingError", "YFTickerMissingError") or _status(error) == 404:
        return "unknown", f"Yahoo has no prices of it; it may be delisted or have another name now ({message})"
    if name == "YFDataException":
        return "down", "Yahoo says that its site is down"
    if name == "HTTPError":
        return "down", f"Yahoo's answer is {message}"
    if isinstance(error, OSError | TimeoutError):
        # What curl_cffi raises for proxies, names, certificates, time-outs and broken connections are all OSErrors.
        words = message.partition(" See https://curl.se")[0].removeprefix("Failed to perform, ")
        return "network", f"Yahoo cannot be reached: {words}"
    if name == "JSONDecodeError":
        return "down", "Yahoo's answer is not JSON: a consent page, an error page, or a page of the proxy"
    return "shape", f"Yahoo's answer is empty or of another shape than before ({name}: {message})"


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
