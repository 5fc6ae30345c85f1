"""What files and feeds hold, and which hosts are public."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bellwether.sentiment.csv_news import NewsError, rows_of
from bellwether.sentiment.feed_child import headlines_of
from bellwether.sentiment.fetching import is_public
from bellwether.sentiment.raw import Raw

NOW = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
AT = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
RSS = (
    '<?xml version="1.0" encoding="{encoding}"?><rss version="2.0"><channel><title>The Wire</title>{items}</channel>'
    "</rss>"
)
ITEM = "<item><title>{title}</title><pubDate>Mon, 23 Nov 2026 09:00:00 +1100</pubDate></item>"
ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom"><title>Paper</title><entry><title type="html">&lt;b&gt;BHP&lt;/b&gt; '
    "soars</title><updated>2026-11-22T22:00:00Z</updated></entry></feed>"
)


def rss(*titles: str, encoding: str = "utf-8") -> bytes:
    return RSS.format(encoding=encoding, items="".join(ITEM.format(title=one) for one in titles)).encode(encoding)


def read(body: bytes, source: str = "", content_type: str = "") -> list[Raw]:
    return headlines_of(body, content_type, source, NOW)


def test_a_file_of_headlines_is_read_and_odd_rows_are_named() -> None:
    found = rows_of(
        "published,source,title,symbol\n"
        "2026-11-23T09:00:00+11:00,Wire,BHP soars,\n"
        '2026-11-22T22:00:00Z,,"Iron, ore",BHP.AX\n'
        "2026-11-22,Wire,no time,\n"
        "yesterday,Wire,no day,\n"
        "2026-11-22T22:00:00Z,Wire,,\n",
        "news.csv",
    )
    assert found.found == [Raw(AT, "Wire", "BHP soars"), Raw(AT, "", "Iron, ore", "BHP.AX")]
    assert [line.partition(":")[0] for line in found.odd] == ["news.csv line 4", "news.csv line 5", "news.csv line 6"]
    assert "without a time zone: write 2026-11-23T04:30:00Z" in found.odd[0]


def test_a_file_with_another_heading_is_refused() -> None:
    with pytest.raises(NewsError, match="the heading is 'date,headline', without published and title"):
        rows_of("date,headline\n", "news.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_a_feed_is_read_in_its_encoding(encoding: str) -> None:
    assert read(rss("Café BHP", encoding=encoding)) == [Raw(AT, "The Wire", "Café BHP")]


def test_an_atom_feed_is_read_and_a_declared_source_goes_first() -> None:
    assert read(ATOM.encode()) == [Raw(AT, "Paper", "BHP soars")]
    assert read(ATOM.encode(), "Mine") == [Raw(AT, "Mine", "BHP soars")]


def test_a_headline_without_a_time_counts_from_when_it_was_fetched() -> None:
    body = RSS.format(encoding="utf-8", items="<item><title>BHP</title></item>").encode()
    assert read(body) == [Raw(NOW, "The Wire", "BHP")]


def test_html_scripts_and_control_characters_do_not_get_into_a_title() -> None:
    (found,) = read(rss("&lt;script&gt;alert(1)&lt;/script&gt;BHP &lt;i&gt;falls&lt;/i&gt;&#27;&#8238;"))
    assert found.title == "BHP falls"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_feed_that_declares_entities_is_refused_unparsed(encoding: str) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    body = RSS.format(encoding=encoding, items=ITEM.format(title="&b;&f;")).replace("?><rss", f"?>{bomb}<rss")
    with pytest.raises(NewsError, match="declares XML entities"):
        read(body.encode(encoding))


@pytest.mark.parametrize("body", [b"", b"not a feed", b"<html><body>Sign in</body></html>", b"\x00\xff\xfe" * 50])
def test_what_is_no_feed_is_refused(body: bytes) -> None:
    with pytest.raises(NewsError, match="neither RSS nor Atom"):
        read(body)


def test_of_a_broken_feed_what_can_be_read_is_read() -> None:
    found = read(rss("BHP soars", "BHP & < falls")[:-40])
    assert found[0].title == "BHP soars"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public
