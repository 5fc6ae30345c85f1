"""Whether a document has the form that a structural schema asks for: the same paths and bounds as the API server.

What is judged is the document after defaulting. The words are ours: they say what is there and what would be right.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bellwether.spec import fields
from bellwether.spec.schema import LIST_TYPE, MAP_KEYS

_TYPE_WORDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "array": "a list",
    "object": "a block of fields",
}
_PATTERN_WORDS = {
    fields.DURATION_PATTERN: "a duration such as 30m, 1h30m or 500ms",
    fields.OFFSET_PATTERN: "a duration such as -15m or 1h",
    fields.MONEY_PATTERN: 'an amount such as "25000" or "9.95"',
    fields.RATIO_PATTERN: 'a ratio from "0" to "1" such as "0.02"',
    fields.DAY_PATTERN: "a day such as 2009-01-02",
    fields.INSTANT_PATTERN: "an instant of UTC such as 2026-11-23T04:30:00Z",
    fields.TIME_OF_DAY_PATTERN: 'a time of day such as "14:10"',
    fields.LABEL_PATTERN: "the key of a label such as disk or example.com/disk",
    fields.LABEL_VALUE_PATTERN: "the value of a label: at most 63 of A-Z, a-z, 0-9, -, _ and ., not - _ . at an end",
    fields.OBJECT_NAME_PATTERN: "the name of an object: a-z, 0-9, - and ., from letter or digit to letter or digit",
    fields.CLASS_NAME_PATTERN: "the name of a class: a-z, 0-9, - and ., from letter or digit to letter or digit",
}
_LISTED_AT_MOST = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a document.

    Attributes:
        path: the field as the API server names it, such as `spec.tasks[0].offset`; empty for the whole document.
        message: what is wrong and what would be right.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and whether it keeps the API server from evaluating rules at all."""

    problem: Problem
    blocks_rules: bool


def findings(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[Finding]:
    """Yield what is wrong with a value (defaults filled in) by its schema."""
    actual = kind_of(value)
    if actual != schema["type"]:
        yield _blocking(path, _wrong_type(schema["type"], actual, value))
        return
    if "enum" in schema and value not in schema["enum"]:
        yield _blocking(path, _not_among(value, schema["enum"]))
    if actual == "string":
        yield from _of_text(value, schema, path)
    elif actual == "integer":
        yield from _of_number(value, schema, path)
    elif actual == "array":
        yield from _of_list(value, schema, path)
    elif actual == "object":
        yield from _of_object(value, schema, path)


def unknown_fields(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Yield the fields that the schema does not have, with the name that was probably meant."""
    if isinstance(value, dict) and "properties" in schema:
        for name, part in value.items():
            inner_path = f"{path}.{name}" if path else name
            if name in schema["properties"]:
                yield from unknown_fields(part, schema["properties"][name], inner_path)
            else:
                yield Problem(inner_path, _unknown(name, list(schema["properties"])))
    elif isinstance(value, dict) and "additionalProperties" in schema:
        for key, part in value.items():
            yield from unknown_fields(part, schema["additionalProperties"], f"{path}.{key}")
    elif isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield from unknown_fields(part, schema["items"], f"{path}[{index}]")


def kind_of(value: Any) -> str:
    """Return the JSON type of a value; a number without a fraction is an integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _blocking(path: str, message: str) -> Finding:
    return Finding(Problem(path, message), blocks_rules=True)


def _plain(path: str, message: str) -> Finding:
    return Finding(Problem(path, message), blocks_rules=False)


def _of_text(value: str, schema: Mapping[str, Any], path: str) -> Iterator[Finding]:
    most, least, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if most is not None and len(value) > most:
        yield _blocking(path, f"has {len(value)} characters: at most {most} are allowed")
    elif least is not None and len(value) < least and pattern not in _PATTERN_WORDS:
        yield _plain(path, f"{json.dumps(value)} has {len(value)} characters: at least {least} are needed")
    elif pattern is not None and not matches(pattern, value):
        words = f"{_PATTERN_WORDS[pattern]} is needed, " if pattern in _PATTERN_WORDS else ""
        other = next((one for one in (value.upper(), value.lower(), value.strip()) if matches(pattern, one)), None)
        meant = "" if other is None or other == value else f"; did you mean {other}?"
        yield _plain(path, f"{_short(value)} is not right: {words}it must match {pattern}{meant}")


def _of_number(value: float, schema: Mapping[str, Any], path: str) -> Iterator[Finding]:
    most, least = schema.get("maximum"), schema.get("minimum")
    if most is not None and value > most:
        yield _plain(path, f"is {value:g}: it must be at most {most}")
    if least is not None and value < least:
        yield _plain(path, f"is {value:g}: it must be at least {least}")


def _of_list(value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[Finding]:
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(value) > most:
        yield _blocking(path, f"has {len(value)} entries: at most {most} are allowed")
    if least is not None and len(value) < least:
        yield _plain(path, f"has {len(value)} entries: at least {least} are needed")
    for index, part in enumerate(value):
        yield from findings(part, schema["items"], f"{path}[{index}]")
    yield from _duplicates(value, schema, path)


def _duplicates(value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[Finding]:
    keys: Sequence[str] | None = schema.get(MAP_KEYS)
    if keys is None and schema.get(LIST_TYPE) != "set":
        return
    seen: set[str] = set()
    for index, part in enumerate(value):
        if keys is not None:
            if not isinstance(part, dict) or not all(key in part for key in keys):
                continue
            words = ", ".join(f"{key} {json.dumps(part[key])}" for key in keys)
        else:
            words = json.dumps(part)
        if words in seen:
            yield _plain(f"{path}[{index}]", f"{words} is listed twice: each may stand there once")
        seen.add(words)


def _of_object(value: dict[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[Finding]:
    for name in schema.get("required", []):
        if name not in value:
            inner = schema["properties"][name]
            words = inner.get("description", "")
            yield _blocking(f"{path}.{name}", f"is required{': ' + words if words else ''}")
    for name, part in schema.get("properties", {}).items():
        if name in value:
            yield from findings(value[name], part, f"{path}.{name}" if path else name)
    if "additionalProperties" in schema:
        most = schema.get("maxProperties")
        if most is not None and len(value) > most:
            yield _blocking(path, f"has {len(value)} names: at most {most} are allowed")
        for key, part in value.items():
            yield from findings(part, schema["additionalProperties"], f"{path}.{key}")


def matches(pattern: str, value: str) -> bool:
    """Return whether the pattern is found in the text, `$` meaning its very end as in the API server's language."""
    exact = pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern
    return re.search(exact, value) is not None


def _wrong_type(wanted: str, actual: str, value: Any) -> str:
    if actual == "null":
        return f"is empty: {_TYPE_WORDS[wanted]} is needed"
    # A number is shown as it was typed: 0005 and 1E5 are other texts than 5 and 100000.0.
    shown = str(getattr(value, "typed", _short(value)))
    if wanted == "string" and actual == "boolean":
        return f'must be text, not {shown}: off, on, yes and no need quotes in YAML, as in "off"'
    if wanted == "string" and actual in {"integer", "number"}:
        return f'must be text, not the number {shown}: put it in quotes, "{shown}"'
    if wanted in {"integer", "boolean"} and actual == "string":
        return f"must be {_TYPE_WORDS[wanted]}, not the text {shown}: leave out the quotes"
    if actual in {"array", "object"}:
        return f"must be {_TYPE_WORDS[wanted]}, not {_TYPE_WORDS[actual]}"
    return f"must be {_TYPE_WORDS[wanted]}, not {shown}"


def _not_among(value: Any, allowed: Sequence[Any]) -> str:
    listed = " or ".join(json.dumps(choice) for choice in allowed)
    return f"{_short(value)} is not known here: write {listed}{_meant(value, allowed)}"


def _unknown(name: str, known: list[str]) -> str:
    meant = _meant(name, known)
    shown = known if len(known) <= _LISTED_AT_MOST or not meant else []
    return f"there is no field of this name{meant}" + (f" (fields here: {', '.join(shown)})" if shown else "")


def _meant(value: Any, known: Sequence[Any]) -> str:
    by_plain = {_plain_name(str(choice)): str(choice) for choice in known}
    close = difflib.get_close_matches(_plain_name(str(value)), list(by_plain), n=1, cutoff=0.7)
    return f"; did you mean {by_plain[close[0]]}?" if close else ""


def _plain_name(name: str) -> str:
    return re.sub(r"[-_. ]", "", name).lower()


def _short(value: Any) -> str:
    typed = getattr(value, "typed", None)
    text = json.dumps(value, ensure_ascii=False, default=str) if typed is None else str(typed)
    return text if len(text) <= 80 else text[:77] + "..."
