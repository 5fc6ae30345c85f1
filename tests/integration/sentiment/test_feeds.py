"""Feeds that are slow, huge, malformed, or lead elsewhere: each gets a clear state and harms nothing."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bellwether.messages.sentiment import AnalyzeSentiment, SymbolSentiment
from bellwether.runtime.clock import LiveClock
from bellwether.sentiment import fetching
from bellwether.sentiment.csv_news import NewsError
from bellwether.sentiment.fetching import Reach, fetch
from bellwether.sentiment.service import create as sentiment
from bellwether.spec.models import TradingSystem
from harness.replayed import until
from harness.system import running
from harness.until import DEADLINE

pytestmark = pytest.mark.integration

ITEM = "<item><title>{title}</title></item>"
RSS = "<rss version='2.0'><channel><title>Wire</title>" + ITEM.format(title="BHP plunges") + "</channel></rss>"
LIMITED = Reach(most_bytes=100_000, seconds=DEADLINE)
IMPATIENT = replace(LIMITED, seconds=2.0)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    async def write(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", "connection: close", f"content-length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return write


async def slow(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")


class Feeds:
    """A server on the loopback interface with one feed per path."""

    def __init__(self) -> None:
        self.base = ""
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {
            "/good": answer(RSS.encode(), "content-type: application/rss+xml"),
            "/slow": slow,
            "/endless": endless,
            "/ssh": no_http,
            "/gone": answer(b"", status="404 Not Found"),
            "/page": answer(b"<html><body>Sign in</body></html>", "content-type: text/html"),
            "/bomb": answer(b"<!DOCTYPE r [<!ENTITY a 'x'>]><rss version='2.0'>&a;</rss>"),
            "/gzip": answer(gzip.compress(b"x" * 10_000_000), "content-encoding: gzip"),
            "/hex": answer(b"", "location: http://0x7f000001/good", status="302 Found"),
            "/inside": answer(b"", "location: /good", status="302 Found"),
            "/metadata": answer(b"", "location: http://169.254.169.254/latest", status="302 Found"),
            "/file": answer(b"", "location: file:///etc/passwd", status="302 Found"),
            "/loginname": answer(b"", "location: http://user:name@example.org/", status="302 Found"),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked.append(path)
            await self.answers[path](writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def feeds() -> AsyncIterator[Feeds]:
    found = Feeds()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield found
    server.close()


async def test_a_feed_of_a_private_host_is_read_only_where_that_is_declared(feeds: Feeds) -> None:
    assert (await fetch(f"{feeds.base}/good", LIMITED, private=True)).body == RSS.encode()
    for url in (f"{feeds.base}/good", feeds.base.replace("127.0.0.1", "localhost") + "/good"):
        with pytest.raises(NewsError, match="which is not public"):
            await fetch(url, LIMITED)
    assert feeds.asked == ["/good"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/endless", "longer than 100000 bytes"),
        ("/ssh", "cannot be fetched"),
        ("/gone", "the answer is 404, not 200"),
        ("/gzip", "compressed, though that was not asked for"),
        ("/hex", "host 0x7f000001 has the address 127.0.0.1, which is not public"),
        ("/inside", "127.0.0.1, which is not public"),
        ("/metadata", "169.254.169.254, which is not public"),
        ("/file", "not plain http or https"),
        ("/loginname", "not plain http or https"),
    ],
)
async def test_what_a_feed_must_not_do_is_refused_and_said(feeds: Feeds, path: str, says: str) -> None:
    with pytest.raises(NewsError, match=says):
        await fetch(f"{feeds.base}{path}", LIMITED, private=True)
    assert feeds.asked == [path]


async def test_a_feed_that_never_ends_its_answer_is_given_up(feeds: Feeds) -> None:
    with pytest.raises(NewsError, match="no complete answer in 2 s"):
        await fetch(f"{feeds.base}/slow", IMPATIENT, private=True)
    assert feeds.asked == ["/slow"]


async def test_feeds_that_lead_to_each_other_are_given_up(feeds: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds.answers["/round"] = answer(b"", f"location: {feeds.base}/round", status="302 Found")
    # As if the loopback interface were the internet.
    monkeypatch.setattr(fetching, "is_public", lambda address: True)
    with pytest.raises(NewsError, match="more than 5 redirects"):
        await fetch(f"{feeds.base}/round", LIMITED)
    assert feeds.asked == ["/round"] * 6


def live(*urls: str) -> TradingSystem:
    sentiment = {"provider": "feeds", "feeds": [{"url": url, "private": True} for url in urls]}
    spec: dict[str, Any] = {"symbols": ["BHP.AX", "ANZ.AX"], "sentiment": sentiment}
    return TradingSystem.model_validate({"metadata": {"name": "news", "generation": 1}, "spec": spec})


async def test_one_bad_feed_spoils_no_other_and_health_says_which(feeds: Feeds, tmp_path: Path) -> None:
    urls = [f"{feeds.base}{path}" for path in ("/good", "/gone", "/page", "/bomb", "/metadata")]
    async with running(
        {"sentiment": sentiment}, data_dir=tmp_path, declaration=live(*urls), clock=LiveClock()
    ) as system:
        health: dict[str, Any] = {}

        async def all_asked() -> bool:
            health.update(await system.call("sentiment", "health"))
            return "not fetched yet" not in health["feeds"].values()

        await until(all_asked)
        assert health["status"] == "degraded"
        assert [health["feeds"][url].partition(",")[0] for url in urls] == [
            "read: 1 headlines",
            "the answer is 404",
            "it is neither RSS nor Atom",
            "it declares XML entities",
            "host 169.254.169.254 has the address 169.254.169.254",
        ]

        async def about(symbol: str) -> SymbolSentiment:
            found: SymbolSentiment = await system.call(
                "sentiment", "analyze_sentiment", AnalyzeSentiment(symbol), SymbolSentiment, as_of=datetime.now(UTC)
            )
            return found

        bhp = await about("BHP.AX")
        assert [one.title for one in bhp.headlines] == ["BHP plunges"]
        assert bhp.sentiment_score is not None
        assert bhp.sentiment_score < 0
        assert (await about("ANZ.AX")).reason == "NO_NEWS"
