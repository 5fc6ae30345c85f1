"""The text of a unit file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Settings = list[tuple[str, str]]
"""Keys and values in order; a key may come more than once."""

_NEEDS_QUOTES = re.compile(r"[\s\"'\\;]")


def unit_text(sections: Mapping[str, Iterable[tuple[str, str]]]) -> str:
    """Return the text of a unit with these sections."""
    blocks = []
    for name, settings in sections.items():
        lines = [f"[{name}]", *(f"{key}={value}" for key, value in settings)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def word(text: str) -> str:
    """Return one word of a command line or an assignment, so that systemd reads it as it stands."""
    plain = text.replace("%", "%%")
    if not _NEEDS_QUOTES.search(plain):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def command(words: Iterable[str]) -> str:
    """Return a command line; `$` would be a variable and is doubled."""
    return " ".join(word(one).replace("$", "$$") for one in words)


def assignments(variables: Mapping[str, str]) -> Settings:
    """Return one Environment= line per variable; `%d` in a value stays systemd's own, the folder of credentials."""
    return [("Environment", word(f"{name}={value}").replace("%%d", "%d")) for name, value in sorted(variables.items())]
