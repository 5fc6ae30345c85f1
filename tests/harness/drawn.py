"""Declarations drawn from the schema: what it takes, however odd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from bellwether.spec.schema import LIST_TYPE, MAP_KEYS


def values_of(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of values that have a schema's form: its types, bounds, patterns and choices."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"]
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        low, high = schema.get("minimum", 0), schema["maximum"]
        return st.sampled_from(sorted({low, min(low + 1, high), high})) | st.integers(low, high)
    if kind == "string":
        return _text(schema)
    if kind == "array":
        return _list(schema)
    if "properties" in schema:
        return _block(schema)
    return st.just({})


def _text(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), min(schema["maxLength"], 40)
    if "pattern" not in schema:
        return st.text(min_size=least, max_size=most)
    if "(ms|s|m|h)" in schema["pattern"]:
        return _length(signed="-?" in schema["pattern"])
    return st.from_regex(schema["pattern"], fullmatch=True).filter(
        lambda text: least <= len(text) <= schema["maxLength"]
    )


def _length(*, signed: bool) -> st.SearchStrategy[str]:
    """Return durations of up to three parts, from none to some that no machine can count."""
    counts = st.sampled_from(["0", "1", "15", "0.5", "168", "169", "90000", "9" * 9]) | st.integers(0, 10**6).map(str)
    parts = st.lists(st.tuples(counts, st.sampled_from(["ms", "s", "m", "h"])), min_size=1, max_size=3)
    texts = parts.map(lambda found: "".join(count + unit for count, unit in found)).filter(lambda text: len(text) <= 32)
    return st.tuples(st.sampled_from(["", "-"] if signed else [""]), texts).map("".join)


def _list(schema: Mapping[str, Any]) -> st.SearchStrategy[list[Any]]:
    keys = schema.get(MAP_KEYS)
    unique: dict[str, Any] = {}
    if keys is not None:
        unique["unique_by"] = lambda entry: tuple(entry.get(key) for key in keys)
    elif schema.get(LIST_TYPE) == "set":
        unique["unique"] = True
    return st.lists(values_of(schema["items"]), min_size=schema.get("minItems", 0), max_size=3, **unique)


def _block(schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    needed = set(schema.get("required", []))
    parts = {name: values_of(part) for name, part in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: part for name, part in parts.items() if name in needed},
        optional={name: part for name, part in parts.items() if name not in needed},
    )
