"""The reference pages: every field of TradingSystem, and every code with which an order is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bellwether.messages.alarms import ALARMS
from bellwether.spec.models import API_VERSION, KIND, PLURAL, SHORT_NAME
from bellwether.spec.schema import LIST_TYPE, MAP_KEYS, RULES
from bellwether.trading.codes import code_table

Schema = Mapping[str, Any]

_LONGEST_DEFAULT = 60
_TYPES = {"boolean": "true or false", "integer": "whole number", "string": "text"}


def page(schema: Schema) -> str:
    """Return the page as Markdown."""
    lines = [
        f"# {KIND}",
        "",
        "<!-- Written by `make generate` from services/bellwether/spec/models.py: change those, not this page. -->",
        "",
        f"{schema['description']} `apiVersion: {API_VERSION}`, `kind: {KIND}`; "
        f"`kubectl get {SHORT_NAME}` lists them (plural `{PLURAL}`).",
        "",
        "Every field has a default or is optional unless it says *required*. Durations are written as `1h30m`, days as",
        "`2009-01-02`, times of day as `14:10` in the exchange's time zone, money and ratios as text in quotes.",
        'Write `mode: "off"` with quotes: without them YAML reads off as false.',
        "",
    ]
    lines += _rules_of("metadata", schema)
    for name in ("spec", "status"):
        lines += _block(name, schema["properties"][name])
    return "\n".join(lines).rstrip() + "\n"


def _block(path: str, schema: Schema) -> list[str]:
    lines = [f"## {path}", "", schema.get("description", ""), ""]
    lines += ["| field | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    required = schema.get("required", [])
    for name, part in schema["properties"].items():
        cells = [f"`{name}`", kind(part), _default(part, name in required), bounds(part), part.get("description", "")]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    lines.append("")
    lines += _rules_of(path, schema)
    for inner_path, inner in _inner_blocks(path, schema):
        lines += _block(inner_path, inner)
    return lines


def _inner_blocks(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, part in schema["properties"].items():
        inner_path, inner = f"{path}.{name}", part
        if "items" in part:
            inner_path, inner = f"{inner_path}[]", part["items"]
        elif "additionalProperties" in part:
            inner_path, inner = f"{inner_path}.<name>", part["additionalProperties"]
        if "properties" in inner:
            yield inner_path, inner


def _rules_of(path: str, schema: Schema) -> list[str]:
    lines = [f"- {rule['message']}" for rule in schema.get(RULES, [])]
    for name, part in schema.get("properties", {}).items():
        if "properties" not in part:
            lines += [f"- `{name}`: {rule['message']}" for rule in part.get(RULES, [])]
    return [f"Rules of `{path}`:", "", *lines, ""] if lines else []


def kind(schema: Schema) -> str:
    """Return a field's type in words."""
    if schema["type"] == "array":
        inner = schema["items"]
        entries = "entries" if "properties" in inner else kind(inner)
        if schema.get(LIST_TYPE) == "map":
            return f"list of {entries}, each {' and '.join(schema[MAP_KEYS])} once"
        return f"list of {entries}, each once" if schema.get(LIST_TYPE) == "set" else f"list of {entries}"
    if "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        return f"map of name to {'block' if 'properties' in inner else kind(inner)}"
    if schema["type"] == "object":
        return "block"
    return (
        "one of " + ", ".join(f"`{_plain(value)}`" for value in schema["enum"])
        if "enum" in schema
        else _TYPES[schema["type"]]
    )


def bounds(schema: Schema) -> str:
    """Return a field's bounds in words."""
    parts = []
    if "minimum" in schema or "maximum" in schema:
        parts.append(f"{schema.get('minimum', '')} to {schema.get('maximum', '')}".strip())
    for low, high, unit in (
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "entries"),
        ("minProperties", "maxProperties", "names"),
    ):
        least, most = schema.get(low), schema.get(high)
        if least is not None and least == most:
            parts.append(f"{most} {unit}")
        elif least:
            parts.append(f"{least} to {most} {unit}")
        elif most is not None:
            parts.append(f"at most {most} {unit}")
    for part in (schema, schema.get("items", {})):
        if "pattern" in part:
            parts.append(f"`{part['pattern']}`")
    return "; ".join(parts)


def _default(schema: Schema, required: bool) -> str:
    if required:
        return "*required*"
    if "default" not in schema:
        return ""
    if "properties" in schema:
        return "its fields' own"
    value = schema["default"]
    text = json.dumps(value) if not isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return " ".join(f"`{entry}`" for entry in value)
    if len(text) > _LONGEST_DEFAULT and isinstance(value, list):
        return ", ".join(f"`{' '.join(map(str, entry.values()))}`" for entry in value)
    return f"`{text}`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def refusals() -> str:
    """Return the page of the codes."""
    intro = (
        "# Why there was no order\n\n"
        "Made from the code by `make generate`. A guard answers with code, value and limit; the first "
        "that objects decides.\n`bellwether why SYMBOL` and `GET /v1/refusals` show them.\n\n"
    )
    return intro + code_table()


def alarms() -> str:
    """Return the page of the alarms: what each means, and what to do."""
    lines = [
        "# Alarms",
        "",
        "Made from the code by `make generate`. What is wrong now: `bellwether alerts`, `GET /v1/alerts`.",
        "Who is notified: [notifications](../notifications.md). An alarm is raised and resolved once, whatever happens "
        "in between.",
        "",
        "| alarm | severity | meaning | what to do |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{name}` | {one.severity} | {one.meaning} | {one.todo} |" for name, one in sorted(ALARMS.items())]
    return "\n".join(lines) + "\n"
