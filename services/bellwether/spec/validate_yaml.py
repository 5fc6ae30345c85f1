"""Reading a resource file as kubectl reads it: days and times stay text, a key written twice is an error."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

from bellwether.spec.validate_structure import Problem

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_OTHERS = {_TIMESTAMP, _INT, _FLOAT, "tag:yaml.org,2002:value"}


class TypedInt(int):
    """A whole number that knows how it was written: `0005` is to be proposed as "0005", not as "5"."""

    typed: str


class TypedFloat(float):
    """A number that knows how it was written, such as 1E5."""

    typed: str


class _Loader(yaml.SafeLoader):
    """Differs from this library's YAML 1.1 where kubectl does.

    `2009-01-02` is text, and so is `14:10` (not a base-60 number); a lone `y` or `N` is true or false, so that such a
    symbol needs quotes.
    """

    bool_values: ClassVar[dict[str, bool]] = yaml.SafeLoader.bool_values | {"y": True, "n": False}


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    plain: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items():
        plain[first] = [(tag, pattern) for tag, pattern in entries if tag not in _OTHERS]
    return plain


_Loader.yaml_implicit_resolvers = _resolvers()
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))
_Loader.add_implicit_resolver(
    _INT, re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*)?\.?[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*\.|[-+]?\.inf|\.nan)$", re.I
    ),
    list("-+.0123456789"),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        name = _key_text(key, key_node)
        if name in found:
            raise yaml.constructor.ConstructorError(None, None, f"{name} is written twice", key_node.start_mark)
        found[name] = loader.construct_object(value_node, deep=True)
    return found


def _key_text(key: Any, node: yaml.Node) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise yaml.constructor.ConstructorError(None, None, "a field's name must be text", node.start_mark)


def _integer(loader: _Loader, node: yaml.ScalarNode) -> TypedInt:
    text = str(node.value).replace("_", "").lower()
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if re.fullmatch(r"0[0-7]+", digits):
        digits = f"0o{digits}"
    found = TypedInt(sign * int(digits, 0))
    found.typed = str(node.value)
    return found


def _number(loader: _Loader, node: yaml.ScalarNode) -> TypedFloat:
    found = TypedFloat(str(node.value).replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    found.typed = str(node.value)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor(_INT, _integer)
_Loader.add_constructor(_FLOAT, _number)


def parse(text: str) -> tuple[list[Any], list[Problem]]:
    """Return the documents of a file (YAML or JSON), empty ones left out; or the problem that stops reading."""
    try:
        found = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "YAML"
        return [], [Problem(where, f"this is not YAML that can be read: {error.problem or error.context}")]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return [], [Problem("", f"this is not YAML that can be read: {error}")]
    return found, []
