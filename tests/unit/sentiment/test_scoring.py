"""What headlines say together, which are seen, and which are about a symbol."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bellwether.messages.sentiment import Headline, SymbolSentiment
from bellwether.sentiment.raw import Collection, Raw, Relevance, analyze
from bellwether.sentiment.scoring import clean, score_of

NOW = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
SYMBOLS = ["CBA.AX", "ANZ.AX", "NAB.AX", "WBC.AX", "MQG.AX", "COL.AX", "BHP.AX"]
BAD = "Westpac plunges as regulator opens money laundering probe"


def asked(
    *found: Raw, as_of: datetime = NOW, symbol: str = "WBC.AX", fetched: datetime | None = None
) -> SymbolSentiment:
    news = Collection(Relevance(SYMBOLS, {}))
    news.add(found, fetched)
    return analyze(symbol, news.about(symbol), as_of, timedelta(hours=72))


def test_no_news_is_an_answer_marked_so_and_no_neutral_score() -> None:
    found = asked()
    assert (found.sentiment_score, found.news_confidence, found.news_quality_score) == (None, 0.0, 0.0)
    assert (found.headlines, found.reason) == ([], "NO_NEWS")


def test_neutral_news_is_a_score_of_zero() -> None:
    found = asked(Raw(NOW - HOUR, "Wire", "Westpac names venue of annual meeting"))
    assert (found.sentiment_score, found.reason) == (0.0, "")
    assert found.news_confidence > 0.5


def test_a_headline_that_was_not_available_at_the_instant_is_not_seen() -> None:
    assert asked(Raw(NOW + HOUR, "Wire", BAD)).reason == "NO_NEWS"
    assert asked(Raw(NOW - HOUR, "Wire", BAD), fetched=NOW + HOUR).reason == "NO_NEWS"
    (seen,) = asked(Raw(NOW - HOUR, "Wire", BAD), fetched=NOW).headlines
    assert (seen.published, seen.available_at) == (NOW - HOUR, NOW)


def test_what_comes_later_changes_nothing_of_an_earlier_instant() -> None:
    early = Raw(NOW - HOUR, "Wire", BAD)
    later = Raw(NOW + HOUR, "Wire", "Westpac profit beats forecasts")
    assert asked(early, later) == asked(early)


def test_a_headline_that_is_read_again_keeps_its_first_instant() -> None:
    news = Collection(Relevance(SYMBOLS, {}))
    raw = Raw(NOW - HOUR, "Wire", BAD)
    news.add([raw], NOW)
    news.add([raw], NOW + HOUR)
    assert [one.available_at for one in news.about("WBC.AX")] == [NOW]
    assert news.read == 1


def test_a_headline_is_too_old_by_when_it_was_published_not_by_when_it_was_fetched() -> None:
    assert asked(Raw(NOW - timedelta(hours=73), "Wire", BAD), fetched=NOW).reason == "NO_NEWS"


def test_the_same_news_from_several_places_counts_once() -> None:
    found = asked(
        Raw(NOW - HOUR, "Wire", BAD),
        Raw(NOW - 2 * HOUR, "Paper", BAD.upper()),
        Raw(NOW - HOUR, "Blog", BAD + " today"),
    )
    assert ([one.source for one in found.headlines], found.duplicates) == (["Paper"], 2)


def test_confidence_grows_with_headlines_that_agree_and_falls_where_they_do_not() -> None:
    bad = Raw(NOW - HOUR, "Wire", BAD)
    worse = Raw(NOW - HOUR, "Paper", "Fraud at Westpac: shares crash")
    good = Raw(NOW - HOUR, "Paper", "Record profit lifts Westpac")
    one, agreed, torn = asked(bad), asked(bad, worse), asked(bad, good)
    assert one.news_confidence < agreed.news_confidence
    assert torn.news_confidence < agreed.news_confidence
    assert agreed.news_quality_score > one.news_quality_score


def test_old_news_and_news_of_nobody_count_less() -> None:
    fresh, old = asked(Raw(NOW, "Wire", BAD)), asked(Raw(NOW - 60 * HOUR, "Wire", BAD))
    unnamed = asked(Raw(NOW, "", BAD))
    assert fresh.sentiment_score == old.sentiment_score
    assert fresh.news_confidence > unnamed.news_confidence > old.news_confidence
    assert fresh.news_quality_score > unnamed.news_quality_score


@pytest.mark.parametrize(
    ("title", "sign"),
    [
        (BAD, -1),
        ("BHP issues profit warning", -1),
        ("Coles downgraded after earnings miss", -1),
        ("Macquarie cuts dividend", -1),
        ("ANZ beats forecasts and raises dividend", 1),
        ("Record profit at CommBank", 1),
        ("Interest on NAB treasury shares unchanged", 0),
    ],
)
def test_the_words_of_finance_count_as_finance_means_them(title: str, sign: int) -> None:
    score = score_of(title)
    assert (score > 0.05) - (score < -0.05) == sign, score


@pytest.mark.parametrize(
    ("title", "about"),
    [
        ("Westpac lifts rates", ("WBC.AX",)),
        ("WESTPAC LIFTS RATES", ("WBC.AX",)),
        ("Big banks ANZ, NAB and CommBank follow", ("CBA.AX", "ANZ.AX", "NAB.AX")),
        ("ASX:COL opens higher", ("COL.AX",)),
        ("Coles's profit", ("COL.AX",)),
        ("Ranzler and nabbed goods", ()),
        ("Nicoles opens a shop", ()),
        ("Copper rises", ()),
    ],
)
def test_a_headline_is_about_the_firms_that_it_names(title: str, about: tuple[str, ...]) -> None:
    assert Relevance(SYMBOLS, {}).symbols(title) == about


def test_headlines_about_other_firms_are_dropped_and_counted() -> None:
    news = Collection(Relevance(["XYZ"], {"XYZ": ["Acme Rockets"]}))
    news.add([Raw(NOW, "Wire", BAD), Raw(NOW, "Wire", "Acme Rockets soars"), Raw(NOW, "Wire", "It soars", "XYZ")], None)
    assert (news.read, news.others, len(news.about("XYZ"))) == (3, 1, 2)


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("<b>BHP</b> &amp; Rio<script>alert('x')</script>", "BHP & Rio"),
        ("&lt;img src=x onerror=alert(1)&gt;BHP falls", "BHP falls"),
        ("BHP\x1b[31m falls\n\n\u202e hard\x00", "BHP [31m falls hard"),
        ("profit < loss at BHP", "profit < loss at BHP"),
        ("x" * 5000, "x" * 300),
        ("<script>" * 1000, ""),
    ],
)
def test_a_title_is_one_line_of_plain_text(title: str, plain: str) -> None:
    assert clean(title) == plain


def test_headlines_come_newest_first() -> None:
    found = asked(Raw(NOW - 2 * HOUR, "Wire", "Westpac one"), Raw(NOW - HOUR, "Wire", "Westpac opens another branch"))
    assert [type(one) for one in found.headlines] == [Headline, Headline]
    assert found.headlines[0].published > found.headlines[1].published
