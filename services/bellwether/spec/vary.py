"""Variations of a declaration: a path, the values it takes, and every declaration that follows. Pure.

A path is written as in the file, from `spec` on: `trading.sizing.value`, `spec.quality.minScore`. An entry of a list is
named by its key or its place, one of a map by its key: `tasks[prediction_generation].offset`, `symbols[0]`,
`trading.instruments[CBA.AX]`. A value is text and is read as its field's type: a field of text takes it as it stands, a
number, a truth value, a list or a block is read as YAML. `null` takes a field out.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import yaml

from bellwether.spec.schema import MAP_KEYS, Schema, defaulted, resource_schema

MOST_VARIANTS = 20
"""How many declarations one comparison has, the unchanged one among them."""
_PATH = re.compile(r"^[a-zA-Z]\w*(\[[^\[\]]+\])*(\.[a-zA-Z][-\w]*(\[[^\[\]]+\])*)*$")
_PART = re.compile(r"\[([^\[\]]+)\]|([a-zA-Z][-\w]*)")
_YAML_TYPES: dict[str, type] = {"array": list, "boolean": bool, "integer": int, "object": dict}


class VaryError(ValueError):
    """A path or value that cannot be used; the message names it and says what would be right."""


class Varied(NamedTuple):
    """One field and the values it takes."""

    path: str
    values: tuple[str, ...]


class Change(NamedTuple):
    """One field and its value."""

    path: str
    value: str

    def __str__(self) -> str:
        """Return it as `path=value`."""
        return f"{self.path}={self.value}"


Variant = tuple[Change, ...]
"""What is changed in one declaration; nothing in the first one."""


def parse_varied(text: str) -> Varied:
    """Return the field and values of `path=value,value`; a comma inside of brackets or braces separates nothing.

    Raises:
        VaryError: when there is no path or no value.
    """
    path, sign, rest = text.partition("=")
    values = _split(rest)
    if not sign or not path.strip() or not all(values):
        raise VaryError(f"{text!r}: a variation is written path=value,value, as trading.sizing.value=0.05,0.1")
    return Varied(path.strip(), tuple(values))


def variants(varied: Sequence[Varied]) -> list[Variant]:
    """Return the unchanged declaration first, then every combination of the values; the last path changes fastest.

    Raises:
        VaryError: when a path or value stands there twice, or there are too many combinations.
    """
    paths = [_tidy(one.path) for one in varied]
    for one, path in zip(varied, paths, strict=True):
        if paths.count(path) > 1:
            raise VaryError(f"vary: {path} stands there twice: give all its values at once")
        if len(set(one.values)) < len(one.values):
            raise VaryError(f"vary: {path}: {', '.join(one.values)}: a value stands there twice")
    if not varied:
        return [()]
    count = 1
    for one in varied:
        count *= len(one.values)
    if count >= MOST_VARIANTS:
        raise VaryError(
            f"vary: {count} combinations and the unchanged declaration: at most {MOST_VARIANTS} are compared at once"
        )
    changes = [[Change(path, value) for value in one.values] for one, path in zip(varied, paths, strict=True)]
    return [(), *itertools.product(*changes)]


def variant_name(variant: Variant) -> str:
    """Return what tables call a variant."""
    return ", ".join(map(str, variant)) or "as declared"


def changed(document: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """Return a TradingSystem as plain data, with defaults and these changes. It may break rules between fields.

    Raises:
        VaryError: when a path leads nowhere, or a value is not of its field's type.
    """
    found = defaulted(copy.deepcopy(dict(document)), _schema())
    for change in variant:
        _change(found["spec"], change)
    return dict(found)


def _change(spec: Any, change: Change) -> None:
    steps = _steps(change.path)
    place, schema, shown = spec, _schema()["properties"]["spec"], "spec"
    for step in steps[:-1]:
        key, schema, shown = _step(place, schema, step, shown)
        if isinstance(place, dict) and place.get(key) is None:
            place[key] = [] if schema["type"] == "array" else {}
        place = place[key]
    key, schema, shown = _step(place, schema, steps[-1], shown)
    value = _value(change.value, schema, shown)
    if value is not None:
        place[key] = value
    elif isinstance(place, dict):
        place.pop(key, None)
    else:
        del place[key]


def _step(place: Any, schema: Schema, step: tuple[str, str], shown: str) -> tuple[Any, Schema, str]:
    """Return where a step leads: the key in `place`, its schema, and the path so far."""
    kind, name = step
    if kind == "field" and "properties" in schema:
        known = schema["properties"]
        if name not in known:
            raise VaryError(f"vary: {shown} has no field {name}; it has {', '.join(sorted(known))}")
        return name, known[name], f"{shown}.{name}"
    if "additionalProperties" in schema:
        return name, schema["additionalProperties"], f"{shown}[{name}]"
    if schema["type"] == "array" and kind == "entry":
        return _place_of(place, schema, name, shown), schema["items"], f"{shown}[{name}]"
    words = {"array": f"a list: name an entry as {shown}[0]", "object": "a block: name its field after a dot"}
    raise VaryError(f"vary: {shown}, at {name!r}: {shown} is {words.get(schema['type'], 'a value without parts')}")


def _place_of(entries: Sequence[Any], schema: Schema, name: str, shown: str) -> int:
    keys = schema.get(MAP_KEYS)
    if keys:
        names = [str(one.get(keys[0])) for one in entries]
        if name in names:
            return names.index(name)
        raise VaryError(f"vary: {shown} has no entry {name}; it has {', '.join(names) or 'none'}")
    if name.isdigit() and int(name) < len(entries):
        return int(name)
    raise VaryError(f"vary: {shown}[{name}]: its {len(entries)} entries are counted from 0")


def _value(text: str, schema: Schema, shown: str) -> Any:
    if text == "null":
        return None
    kind = schema["type"]
    if kind == "string":
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    wanted = _YAML_TYPES[kind]
    if not isinstance(value, wanted) or (kind == "integer" and isinstance(value, bool)):
        words = {"integer": "a whole number", "boolean": "true or false", "array": "a list, as [a, b]"}
        raise VaryError(f"vary: {shown}={text}: must be {words.get(kind, 'a block, as {a: b}')}")
    return value


def _steps(path: str) -> list[tuple[str, str]]:
    tidy = _tidy(path)
    return [("entry", entry) if entry else ("field", field) for entry, field in _PART.findall(tidy)]


def _tidy(path: str) -> str:
    if not _PATH.match(path):
        raise VaryError(
            f"vary: {path!r} is no path: write it as trading.sizing.value or tasks[morning_analysis].offset"
        )
    return path.removeprefix("spec.")


def _split(text: str) -> list[str]:
    """Return the parts between commas that are in no bracket, brace or quote."""
    parts, depth, quote, start = [], 0, "", 0
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


@cache
def _schema() -> Schema:
    return resource_schema()
