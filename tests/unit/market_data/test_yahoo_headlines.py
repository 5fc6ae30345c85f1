"""When Yahoo's news is asked for, and what its articles become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bellwether.market_data.yahoo.answers import read_answer
from bellwether.market_data.yahoo.door import is_due, items_of
from bellwether.messages.sentiment import NewsItem

NOW = datetime(2026, 11, 24, 22, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("asked", "slots", "due"),
    [
        (None, [], True),
        (NOW - 14 * MINUTE, [], False),
        (NOW - 15 * MINUTE, [], True),
        (NOW - 8 * MINUTE, [NOW + 5 * MINUTE], True),
        (NOW - 4 * MINUTE, [NOW + 5 * MINUTE], False),
        (NOW - 8 * MINUTE, [NOW + 15 * MINUTE], False),
        (NOW - 8 * MINUTE, [NOW], False),
    ],
)
def test_news_is_asked_for_every_quarter_of_an_hour_and_once_before_each_slot(
    asked: datetime | None, slots: list[datetime], due: bool
) -> None:
    assert is_due(asked, slots, NOW) is due


def test_an_article_without_a_readable_time_counts_from_when_it_was_fetched() -> None:
    articles = b'[["a","Wire","2026-11-24T21:00:00Z"],["b","","soon"],["c","","2026-11-24"]]'
    line = b'{"symbol":"X","requests":1,"news":' + articles + b"}"
    assert items_of(read_answer(line), NOW) == [
        NewsItem("a", "Wire", NOW - 60 * MINUTE, NOW),
        NewsItem("b", "", NOW, NOW),
        NewsItem("c", "", NOW, NOW),
    ]
