"""Feeds that are made to hurt a parser: each ends with a clear state, in a process of its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bellwether.sentiment.csv_news import NewsError
from bellwether.sentiment.parsing import Parser
from harness.until import DEADLINE

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
RSS = '<rss version="2.0"><channel><title>Wire</title>{items}</channel></rss>'
GOOD = RSS.format(items="<item><title>BHP falls</title></item>")
MANY = RSS.format(items="<item><title>BHP falls</title></item>" * 14_000)
OPEN = RSS.format(items="<a>" * 100_000)
ATTRIBUTES = RSS.format(items="<item " + " ".join(f'a{number}="x"' for number in range(40_000)) + "/>")
TAG_WITHOUT_END = RSS.format(items="<item><title><![CDATA[BHP <b " + "<b " * 100_000 + "]]></title></item>")
BOMB = (
    '<?xml version="1.0" encoding="cp037"?><!DOCTYPE x [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{number + 1} "{f"&a{number};" * 10}">' for number in range(9))
    + "]>"
    + RSS.format(items="<item><title>&a9;</title></item>")
)


async def titles(parser: Parser, body: bytes, content_type: str = "") -> list[str]:
    return [raw.title for raw in await parser.headlines(body, content_type, "", NOW)]


@pytest.mark.parametrize("body", [OPEN, ATTRIBUTES], ids=["open tags", "attributes"])
async def test_a_feed_that_keeps_the_parser_busy_is_given_up(body: str) -> None:
    # A second of a processor takes far longer where many tests share it.
    parser = Parser(cpu_seconds=1, seconds=DEADLINE)
    with pytest.raises(NewsError, match="parsing it takes more than 1 s of a processor"):
        await titles(parser, body.encode())
    assert await titles(Parser(), GOOD.encode()) == ["BHP falls"]


async def test_a_feed_that_is_not_parsed_in_time_is_given_up() -> None:
    with pytest.raises(NewsError, match=r"parsing it takes longer than 0\.01 s"):
        await titles(Parser(seconds=0.01), GOOD.encode())


async def test_a_feed_that_takes_too_much_memory_is_given_up() -> None:
    with pytest.raises(NewsError, match=r"memory|MiB"):
        await titles(Parser(most_bytes=36 * 1024 * 1024), MANY.encode())


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        (TAG_WITHOUT_END.encode(), "", None),
        (BOMB.encode("cp037"), "", None),
        (GOOD.encode("utf-8"), "text/xml; charset=no-such-thing", ["BHP falls"]),
        (GOOD.replace("falls", "fällt").encode("latin-1"), "text/xml; charset=utf-8", ["BHP fällt"]),
        (GOOD.encode("utf-32"), "", None),
        (b"\x1f\x8b" + GOOD.encode(), "", None),
    ],
    ids=["a tag without end", "a bomb in EBCDIC", "an unknown encoding", "a wrong encoding", "UTF-32", "no gzip"],
)
async def test_an_odd_feed_gives_short_titles_or_a_clear_error(
    body: bytes, content_type: str, found: list[str] | None
) -> None:
    read, error = [], ""
    try:
        read = await titles(Parser(), body, content_type)
    except NewsError as refused:
        error = str(refused)
    assert error in ("", "it is neither RSS nor Atom", "it declares XML entities, which no feed needs")
    assert found is None or read == found
    assert all(len(title) <= 300 and title.isprintable() for title in read)
