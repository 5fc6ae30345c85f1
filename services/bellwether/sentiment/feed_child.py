"""The process that parses one feed, within limits of time and memory, and then ends.

A feed that is made for it keeps a parser busy for minutes or lets it ask for gigabytes. In a process of its own that
harms nobody: it gets the feed on standard input, a line of JSON first, and answers with one line of JSON.
"""

from __future__ import annotations

import calendar
import contextlib
import io
import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from bellwether.sentiment.csv_news import NewsError
from bellwether.sentiment.raw import Raw
from bellwether.sentiment.scoring import LONGEST_SOURCE, clean

MOST_ENTRIES = 500


def main(given: BinaryIO, out: BinaryIO) -> None:
    """Answer with the headlines, or with the words that say why there are none."""
    settings = json.loads(given.readline())
    _limit(settings["bytes"], settings["cpu_seconds"])
    out.write(json.dumps(_answer(settings, given.read())).encode() + b"\n")


def _answer(settings: dict[str, Any], body: bytes) -> dict[str, Any]:
    fetched = datetime.fromisoformat(settings["fetched"])
    try:
        found = headlines_of(body, settings["content_type"], settings["source"], fetched)
    except NewsError as error:
        return {"error": str(error)}
    except (MemoryError, SystemError):  # the latter where code in C got no memory and did not say so
        return {"error": f"parsing it takes more than {settings['bytes'] // 2**20} MiB"}
    except Exception as error:  # a fault of the parser is the feed's, whatever it is
        return {"error": f"it cannot be parsed ({type(error).__name__})"}
    return {"headlines": [[raw.published.isoformat(), raw.source, raw.title] for raw in found]}


def _limit(most_bytes: int, seconds: int) -> None:
    """Bound memory and time of this process, and have it ended first where the machine's memory is short."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


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


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
