"""What outsiders wrote steers no terminal."""

from __future__ import annotations

import pytest

from bellwether.runtime.terminal import all_visible, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CBA.AX", "CBA.AX"),
        ("Zürich €, 日本", "Zürich €, 日本"),
        ("red\x1b[31m", r"red\x1b[31m"),
        ("\u202egnitset", r"\u202egnitset"),
        ("a\0b", r"a\x00b"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("\x9b2J", r"\x9b2J"),
        ("\u2028", r"\u2028"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_would_steer_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_of_our_own_stay() -> None:
    assert visible("one\n\x07two", keep="\n") == "one\n\\x07two"


def test_an_answer_is_made_visible_as_a_whole() -> None:
    assert all_visible({"halts": ["\x1b]0;x"], "n": 1, "none": None}) == {"halts": [r"\x1b]0;x"], "n": 1, "none": None}
