"""What the process that parses a feed answers when the parser fails."""

from __future__ import annotations

import pytest

from bellwether.sentiment import feed_child

SETTINGS = {"bytes": 40 * 2**20, "content_type": "", "source": "", "fetched": "2026-11-23T04:30:00+00:00"}


@pytest.mark.parametrize(
    ("failure", "reported"),
    [
        (MemoryError(), "parsing it takes more than 40 MiB"),
        (SystemError("error return without exception set"), "parsing it takes more than 40 MiB"),
        (KeyError("title"), "it cannot be parsed (KeyError)"),
    ],
)
def test_a_parser_that_fails_is_reported_in_words(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, reported: str
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(feed_child, "headlines_of", fail)
    assert feed_child._answer(SETTINGS, b"") == {"error": reported}
