"""The sentences that the lexicon is measured on, and the measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.sentiment.phrases import PHRASES
from bellwether.sentiment.words import WORDS
from generate.headlines import (
    FILE,
    Item,
    accuracy,
    confusion,
    in_held_out_only,
    interval,
    judges,
    kappa,
    macro_f1,
    read,
)


def test_the_sentences_are_those_that_were_frozen(tmp_path: Path) -> None:
    items = read()
    assert len({item.title for item in items}) == len(items) >= 300
    held = sum(item.held_out for item in items)
    assert 0.4 < held / len(items) < 0.6
    changed = tmp_path / "headlines.csv"
    changed.write_text(FILE.read_text().replace("Westpac to report", "Westpac fails to report"))
    with pytest.raises(ValueError, match="frozen was"):
        read(changed)


def test_on_the_held_out_half_our_words_do_better_than_vader_alone_and_that_than_the_majority() -> None:
    items = read()
    held = [item for item in items if item.held_out]
    right = {name: accuracy(confusion(held, judge)) for name, judge in judges(items).items()}
    assert right["majority class"] < right["VADER alone"] < right["VADER with our lexicon"]


def test_measures_of_a_known_table() -> None:
    found = {(1, 1): 2, (1, -1): 1, (-1, -1): 3, (0, -1): 2}
    assert accuracy(found) == 5 / 8
    assert macro_f1(found) == pytest.approx((2 * 2 / (3 + 2) + 2 * 3 / (3 + 6) + 0) / 3)
    low, high = interval(found, accuracy)
    assert low < 5 / 8 < high
    assert interval({(1, 1): 5}, accuracy) == (1.0, 1.0)


def test_kappa_is_agreement_beyond_chance() -> None:
    def items(*labels: tuple[int, int]) -> list[Item]:
        return [Item(str(number), *pair) for number, pair in enumerate(labels)]

    assert kappa(items((1, 1), (0, 0), (-1, -1))) == 1.0
    assert kappa(items((1, 1), (1, -1), (-1, 1), (-1, -1))) == 0.0
    assert kappa(items((1, 1), (1, 1), (-1, -1), (-1, 1))) == pytest.approx((0.75 - 0.5) / 0.5)


def test_words_and_phrases_of_the_held_out_half_only_are_counted() -> None:
    items = [Item(title, 0, 0) for title in ("BHP posts record-high profit", "Acme ups profit", "Profit is up")]
    assert [item.held_out for item in items] == [True, False, False]
    assert in_held_out_only(["record high", "profit", "up", "recor"], items) == ["record high"]


def test_valences_are_vaders_and_phrases_are_of_several_words() -> None:
    assert all(-4.0 <= value <= 4.0 for value in [*WORDS.values(), *PHRASES.values()])
    assert all(word.isalpha() and word.islower() for word in WORDS)
    assert all(" " in phrase and phrase.islower() for phrase in PHRASES)
