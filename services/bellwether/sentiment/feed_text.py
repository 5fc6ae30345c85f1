"""From the bytes of an RSS or Atom feed to headlines. What a feed says is never trusted."""

from __future__ import annotations

import calendar
import io
import time
from datetime import UTC, datetime
from typing import Any

from bellwether.sentiment.csv_news import NewsError
from bellwether.sentiment.raw import Raw
from bellwether.sentiment.scoring import LONGEST_SOURCE, clean

MOST_ENTRIES = 500


def headlines_of(body: bytes, content_type: str, source: str, fetched: datetime) -> list[Raw]:
    """Return a feed's headlines; one without a time of publishing counts from when it was fetched.

    A feed that declares entities of its own is refused before it is parsed: no feed needs them, XML bombs do.

    Raises:
        NewsError: when it is no feed.
    """
    import feedparser

    if b"<!entity" in body.replace(b"\0", b"").lower():
        raise NewsError("it declares XML entities, which no feed needs")
    # A stream, because a text could be taken for an address to open.
    parsed: Any = feedparser.parse(io.BytesIO(body), response_headers={"content-type": content_type or "text/xml"})
    if not parsed.get("version") and not parsed.entries:
        raise NewsError("it is neither RSS nor Atom")
    named = source or clean(_text(parsed.feed.get("title")))[:LONGEST_SOURCE]
    found = []
    for entry in parsed.entries[:MOST_ENTRIES]:
        title = clean(_text(entry.get("title")))
        if title:
            about = entry.get("source")
            own = clean(_text(about.get("title")))[:LONGEST_SOURCE] if isinstance(about, dict) else ""
            found.append(Raw(_published(entry, fetched), source or own or named, title))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _published(entry: Any, fetched: datetime) -> datetime:
    parsed = entry.get("published_parsed") or entry.get("updated_parsed")
    if not isinstance(parsed, time.struct_time):
        return fetched
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC)
    except (OverflowError, ValueError, OSError):
        return fetched
