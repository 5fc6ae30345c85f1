"""The declaration's rules (CEL), evaluated as the API server evaluates them, with its paths and its words.

The evaluator is the native module of the package `common-expression-language`. It is loaded without that package's own
start-up, which would bring a terminal toolkit (25 MB) into a service's process.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bellwether.spec.schema import LIST_TYPE, MAP_KEYS, RULES
from bellwether.spec.validate_structure import Problem

_ABSENT: Any = object()


class RulesUnavailable(RuntimeError):
    """The evaluator is not installed, so rules between fields cannot be checked here."""


def rule_problems(value: Any, schema: Mapping[str, Any], path: str = "", old: Any = _ABSENT) -> Iterator[Problem]:
    """Yield the rules that the value breaks.

    Args:
        value: the document, or a part of it, with defaults filled in.
        schema: its schema.
        path: where the part is.
        old: what stood there before an edit; without it, rules about changes are left out, as at creation.

    Raises:
        RulesUnavailable: when the evaluator is not installed.
    """
    for rule in schema.get(RULES, []):
        if "oldSelf" in rule["rule"] and old is _ABSENT:
            continue
        variables = {"self": value} if old is _ABSENT else {"self": value, "oldSelf": old}
        if not _holds(rule["rule"], variables):
            # As the API server says it: of a single value, with the value.
            said = f"{json.dumps(value)}: " if isinstance(value, str) else ""
            yield Problem((path + rule.get("fieldPath", "")).removeprefix("."), said + rule["message"])
    if isinstance(value, dict) and "properties" in schema:
        for name, part in schema["properties"].items():
            if name in value:
                before = old.get(name, _ABSENT) if isinstance(old, dict) else _ABSENT
                yield from rule_problems(value[name], part, f"{path}.{name}" if path else name, before)
    elif isinstance(value, dict) and "additionalProperties" in schema:
        for key, entry in value.items():
            before = old.get(key, _ABSENT) if isinstance(old, dict) else _ABSENT
            yield from rule_problems(entry, schema["additionalProperties"], f"{path}[{key}]", before)
    elif isinstance(value, list) and "items" in schema:
        for index, entry in enumerate(value):
            yield from rule_problems(entry, schema["items"], f"{path}[{index}]", _counterpart(entry, old, schema))


def _counterpart(entry: Any, old: Any, schema: Mapping[str, Any]) -> Any:
    """Return the entry of the old list with the same keys; entries of other lists cannot be distinguished."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(old, list):
        return _ABSENT
    keys = schema[MAP_KEYS]
    wanted = [entry.get(key) for key in keys]
    return next((before for before in old if [before.get(key) for key in keys] == wanted), _ABSENT)


def _holds(rule: str, variables: Mapping[str, Any]) -> bool:
    context = _evaluator().Context(variables=dict(variables), functions=_SIZES)
    return _compiled(rule)(context) is True


_MEBIBYTES = {"Mi": 1, "Gi": 1 << 10, "Ti": 1 << 20}


def _quantity(text: str) -> int:
    return int(text[:-2]) * _MEBIBYTES[text[-2:]]


def _compare(left: int, right: int) -> int:
    return (left > right) - (left < right)


_SIZES = {"quantity": _quantity, "compareTo": _compare}
"""Of the API server's own additions to CEL, what our rules use: sizes in Mi, Gi and Ti, compared."""


@cache
def _compiled(rule: str) -> Callable[[Any], Any]:
    execute: Callable[[Any], Any] = _evaluator().compile(rule).execute
    return execute


@cache
def _evaluator() -> ModuleType:
    package = importlib.util.find_spec("cel")
    for folder in (package.submodule_search_locations or []) if package else []:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            file = Path(folder) / f"cel{suffix}"
            spec = importlib.util.spec_from_file_location("cel.cel", file) if file.exists() else None
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise RulesUnavailable("rules between fields cannot be checked: install the package common-expression-language")
