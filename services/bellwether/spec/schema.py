"""The custom resource definition, from the models of the declaration.

What a cluster accepts is a structural schema: no references, no unions, every list, map and string with a bound (the
cost of its validation rules is computed from these bounds). What cannot be said in that form is refused here, with
the path of the field, rather than left out in silence.

The one thing that is translated: what a map says of its keys becomes a validation rule.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from bellwether.spec.models import GROUP, KIND, PLURAL, SHORT_NAME, VERSION, TradingSystem, TradingSystemSpec
from bellwether.spec.status import TradingSystemStatus

Schema = dict[str, Any]

MAP_KEYS = "x-kubernetes-list-map-keys"
LIST_TYPE = "x-kubernetes-list-type"
RULES = "x-kubernetes-validations"


def column(name: str, path: str, description: str = "", kind: str = "string", *, wide: bool = False) -> Schema:
    """Return a column of `kubectl get`; with `wide` it is there with -o wide only."""
    said: Schema = {"description": description} if description else {}
    return {"name": name, "type": kind, **said, **({"priority": 1} if wide else {}), "jsonPath": path}


def condition(kind: str, part: str = "status") -> str:
    """Return the path of one part of a condition."""
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


AGE = column("Age", ".metadata.creationTimestamp", kind="date")
PRINTER_COLUMNS = (
    column("Ready", condition("Ready"), "Whether the system does what it declares."),
    column("Reason", condition("Ready", "reason"), "Why it is ready or not, in one word."),
    column("Session", ".status.session.state", "Whether the exchange trades now."),
    column("Calendar", ".spec.market.calendar"),
    column("Clock", ".spec.clock.mode"),
    column("Trading", ".spec.trading.mode"),
    column("Message", condition("Ready", "message"), wide=True),
    column("Release", ".status.release", wide=True),
    AGE,
)

_KEPT = (
    "type",
    "format",
    "description",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    MAP_KEYS,
    LIST_TYPE,
    RULES,
)
_DROPPED = {
    "title",
    "examples",
    "additionalProperties",
    "properties",
    "items",
    "const",
    "propertyNames",
    "patternProperties",
    "anyOf",
}
_DROPPED_PREFIX = "x-bellwether-"


class SchemaError(ValueError):
    """A model that cannot be said as a structural schema; the message names the field."""


class _WithFactories(GenerateJsonSchema):
    """Reports the values of default factories too, so that the cluster sets the same defaults as the models."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        if "default_factory" in schema and not schema.get("default_factory_takes_data"):
            return schema["default_factory"]()  # type: ignore[call-arg]
        return super().get_default_value(schema)


def custom_resource_definition() -> Schema:
    """Return the CustomResourceDefinition of TradingSystem as plain data."""
    names = {"kind": KIND, "plural": PLURAL, "shortNames": [SHORT_NAME]}
    return definition_of(names, PRINTER_COLUMNS, resource_schema())


def action_schema(spec: type[BaseModel], status: type[BaseModel], description: str, rule: Schema) -> Schema:
    """Return the structural schema of a whole resource that is an action; `rule` is on its metadata, with its words."""
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": structural_schema(spec, "spec"),
        "status": structural_schema(status, "status"),
    }
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": properties,
        RULES: [rule],
    }


def definition_of(names: Schema, columns: Sequence[Schema], schema: Schema) -> Schema:
    """Return a CustomResourceDefinition of our group; `names` has kind, plural and shortNames."""
    kind, plural = str(names["kind"]), str(names["plural"])
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": names["shortNames"],
                "categories": ["bellwether"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [dict(column) for column in columns],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def resource_schema() -> Schema:
    """Return the structural schema of a whole TradingSystem."""
    spec = structural_schema(TradingSystemSpec, "spec")
    spec["description"] = TradingSystem.model_fields["spec"].description or spec["description"]
    spec["default"] = defaulted({}, spec)
    status = structural_schema(TradingSystemStatus, "status")
    schema: Schema = {
        "type": "object",
        "description": _one_line(TradingSystem.__doc__ or ""),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    rules = (TradingSystem.model_config.get("json_schema_extra") or {}).get(RULES)  # type: ignore[union-attr]
    if rules:
        schema[RULES] = copy.deepcopy(rules)
    return schema


def structural_schema(model: type[BaseModel], path: str) -> Schema:
    """Return the structural schema of a model.

    Args:
        model: the model; its fields are named by their aliases.
        path: what messages call it.

    Raises:
        SchemaError: naming the field that cannot be said, or that has no bound.
    """
    mode: JsonSchemaMode = "validation"
    full = model.model_json_schema(by_alias=True, mode=mode, schema_generator=_WithFactories)
    schema = _structural(full, full.get("$defs", {}), path)
    for found, part in walk(schema, path):
        _check_bounds(part, found)
    return schema


def walk(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every part of a structural schema with its path: `spec.tasks[].name`, `spec.services{}.cpu`."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def _structural(raw: Schema, definitions: Mapping[str, Schema], path: str) -> Schema:
    raw = _resolved(raw, definitions, path)
    unknown = {
        key
        for key in raw
        if key not in _KEPT and key not in _DROPPED and key != "$defs" and not key.startswith(_DROPPED_PREFIX)
    }
    if unknown:
        raise SchemaError(f"{path}: a structural schema cannot say {', '.join(sorted(unknown))}")
    schema: Schema = {key: copy.deepcopy(raw[key]) for key in _KEPT if key in raw}
    if "const" in raw:
        schema["enum"] = [raw["const"]]
    if "type" not in schema:
        raise SchemaError(f"{path}: has no single type; use one type, or an enum with optional blocks and a rule")
    if "description" in schema:
        schema["description"] = _one_line(schema["description"])
    if schema["type"] == "integer":
        schema.setdefault("format", "int64")
    if "properties" in raw:
        schema["properties"] = {
            name: _structural(part, definitions, f"{path}.{name}") for name, part in raw["properties"].items()
        }
    elif (values := _values_of_map(raw)) is not None:
        schema["additionalProperties"] = _structural(values, definitions, f"{path}{{}}")
        _add_key_rule(schema, raw, definitions, path)
    elif schema["type"] == "object":
        raise SchemaError(f"{path}: an object without declared fields would be stored empty")
    if schema["type"] == "array":
        if "items" not in raw:
            raise SchemaError(f"{path}: a list must say what is in it")
        schema["items"] = _structural(raw["items"], definitions, f"{path}[]")
        schema[LIST_TYPE] = "map" if MAP_KEYS in schema else schema.get(LIST_TYPE, "atomic")
    _shorten_default(schema)
    return schema


def _resolved(raw: Schema, definitions: Mapping[str, Schema], path: str) -> Schema:
    """Return the schema with its reference looked up and `X or null` read as an optional X."""
    if "$ref" in raw:
        target = definitions[raw["$ref"].removeprefix("#/$defs/")]
        return _resolved(target | {key: value for key, value in raw.items() if key != "$ref"}, definitions, path)
    if "anyOf" in raw:
        choices = [choice for choice in raw["anyOf"] if choice != {"type": "null"}]
        if len(choices) != 1:
            raise SchemaError(f"{path}: a union of {len(choices)} types; use an enum and optional blocks with a rule")
        rest = {key: value for key, value in raw.items() if key != "anyOf"}
        return _resolved(choices[0] | rest, definitions, path)
    return raw


def _values_of_map(raw: Schema) -> Schema | None:
    """Return the schema of a map's values; keys with a pattern are written by pydantic as patternProperties."""
    if isinstance(raw.get("additionalProperties"), dict):
        return dict(raw["additionalProperties"])
    patterns = list(raw.get("patternProperties", {}).values())
    return dict(patterns[0]) if len(patterns) == 1 else None


def _add_key_rule(schema: Schema, raw: Schema, definitions: Mapping[str, Schema], path: str) -> None:
    """Say the allowed keys of a map as a rule: a structural schema has no words for them."""
    names = _resolved(raw.get("propertyNames", {}), definitions, path)
    patterns = [*raw.get("patternProperties", {}), *([names["pattern"]] if "pattern" in names else [])]
    unknown = set(names) - {"type", "enum", "pattern", "minLength", "maxLength", "title", "description", "examples"}
    if unknown:
        raise SchemaError(f"{path}: a rule cannot say {', '.join(sorted(unknown))} of a map's keys")
    tests, words = [], []
    if "enum" in names:
        listed = ", ".join(f"'{key}'" for key in names["enum"])
        tests.append(f"key in [{listed}]")
        words.append(f"be among {', '.join(names['enum'])}")
    for pattern in patterns:
        if "'" in pattern:
            raise SchemaError(f"{path}: the pattern of a map's keys cannot hold a quote")
        tests.append(f"key.matches(r'{pattern}')")
        words.append(f"match {pattern}")
    if "minLength" in names:
        tests.append(f"key.size() >= {names['minLength']}")
        words.append(f"have at least {names['minLength']} characters")
    if "maxLength" in names:
        tests.append(f"key.size() <= {names['maxLength']}")
        words.append(f"have at most {names['maxLength']} characters")
    if tests:
        rule = {"rule": f"self.all(key, {' && '.join(tests)})", "message": f"keys must {' and '.join(words)}"}
        schema[RULES] = [*schema.get(RULES, []), rule]


def _shorten_default(schema: Schema) -> None:
    """Say a default as briefly as the API server allows: none for what is empty, {} for a block's own defaults.

    The API server checks a default against the rules before it completes it, so a block with rules says it in full.
    """
    if "default" not in schema:
        return
    default = _without_empty(schema["default"])
    if schema["type"] == "object" and "properties" in schema and default == defaulted({}, schema):
        schema["default"] = default if any(RULES in part for _, part in walk(schema)) else {}
    elif default in (None, [], {}):
        del schema["default"]
    else:
        schema["default"] = default


def defaulted(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the value with the schema's defaults filled in, as the API server does before it validates.

    A null where null is not a value counts as absent.
    """
    if isinstance(value, dict) and "properties" in schema:
        found = {name: part for name, part in value.items() if part is not None or name not in schema["properties"]}
        for name, part in schema["properties"].items():
            if name not in found and "default" in part:
                found[name] = copy.deepcopy(part["default"])
        return {
            name: defaulted(part, schema["properties"][name]) if name in schema["properties"] else part
            for name, part in found.items()
        }
    if isinstance(value, dict) and "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        kept = {key: inner.get("default") if part is None else part for key, part in value.items()}
        return {key: defaulted(part, inner) for key, part in kept.items() if part is not None}
    if isinstance(value, list) and "items" in schema:
        return [defaulted(part, schema["items"]) for part in value]
    return value


def _without_empty(value: Any) -> Any:
    """Return the value without fields that are null or an empty list or map, which say the same as absence."""
    if isinstance(value, dict):
        found = {name: _without_empty(part) for name, part in value.items()}
        return {name: part for name, part in found.items() if part not in (None, [], {})}
    if isinstance(value, list):
        return [_without_empty(part) for part in value]
    return value


def _check_bounds(schema: Mapping[str, Any], path: str) -> None:
    kind = schema["type"]
    needed = {"array": "maxItems", "string": "maxLength", "integer": "maximum"}.get(kind)
    if kind == "object" and "additionalProperties" in schema:
        needed = "maxProperties"
    if needed is not None and needed not in schema and "enum" not in schema:
        raise SchemaError(f"{path}: a {kind} without {needed}; every list, map, string and number needs a bound")
    if kind == "number":
        raise SchemaError(f"{path}: a float; write money and ratios as strings with a pattern")
    if schema.get(LIST_TYPE) == "map":
        missing = set(schema[MAP_KEYS]) - set(schema["items"].get("properties", {}))
        if missing:
            raise SchemaError(f"{path}: its entries have no field {', '.join(sorted(missing))} to be distinguished by")


def _one_line(text: str) -> str:
    return " ".join(text.split())
