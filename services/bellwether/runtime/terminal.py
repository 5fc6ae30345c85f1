"""Text from outside on its way to a terminal: what would steer the terminal, or turn its text around, is shown."""

from __future__ import annotations

import unicodedata
from typing import Any

_STEERS = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode's control characters, marks of direction (U+202E), lone surrogates, private use, separators of lines."""


def visible(text: str, keep: str = "") -> str:
    r"""Return the text with everything that is no plain character written as \n, \x1b or \u202e; `keep` stays."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(one) if unicodedata.category(one) in _STEERS and one not in keep else one for one in text)


def all_visible(answer: Any) -> Any:
    """Return plain data with all of its text visible, names of fields included."""
    if isinstance(answer, str):
        return visible(answer)
    if isinstance(answer, dict):
        return {all_visible(name): all_visible(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [all_visible(one) for one in answer]
    return answer


def _shown(one: str) -> str:
    if one in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[one]
    number = ord(one)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
