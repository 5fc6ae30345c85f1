"""The generator: what the definition says, and what it refuses to say."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from bellwether.spec.models import TradingSystem, TradingSystemSpec
from bellwether.spec.schema import (
    LIST_TYPE,
    MAP_KEYS,
    RULES,
    SchemaError,
    custom_resource_definition,
    defaulted,
    resource_schema,
    structural_schema,
    walk,
)

Short = Annotated[str, Field(max_length=5)]


class Inner(BaseModel):
    size: int = Field(1, ge=0, le=9, description="How much\n  of it.")


class WithRule(BaseModel):
    model_config = ConfigDict(json_schema_extra={RULES: [{"rule": "has(self.size)", "message": "m"}]})
    size: int = Field(1, le=9)


def model(**fields: Any) -> type[BaseModel]:
    return type(
        "Sample",
        (BaseModel,),
        {"__annotations__": {k: v[0] for k, v in fields.items()}} | {k: v[1] for k, v in fields.items()},
    )


def schema_of(annotation: Any, default: Any = ...) -> dict[str, Any]:
    found: dict[str, Any] = structural_schema(model(field=(annotation, default)), "spec")["properties"]["field"]
    return found


def test_a_nested_model_stands_where_it_is_used() -> None:
    found = schema_of(Inner)
    assert found == {
        "type": "object",
        "properties": {
            "size": {
                "type": "integer",
                "format": "int64",
                "default": 1,
                "minimum": 0,
                "maximum": 9,
                "description": "How much of it.",
            }
        },
    }


def test_a_block_without_rules_is_filled_in_by_its_fields() -> None:
    assert schema_of(Inner, Field(default_factory=Inner))["default"] == {}


def test_a_block_with_rules_says_its_defaults_in_full() -> None:
    assert schema_of(WithRule, Field(default_factory=WithRule))["default"] == {"size": 1}


def test_a_block_with_other_defaults_says_them() -> None:
    assert schema_of(Inner, Field(default_factory=lambda: Inner(size=4)))["default"] == {"size": 4}


def test_what_is_empty_by_default_has_no_default() -> None:
    assert "default" not in schema_of(list[Short], Field(default_factory=list, max_length=3))
    assert "default" not in schema_of(Short | None, None)


def test_lists_say_how_their_entries_are_distinguished() -> None:
    assert schema_of(list[Short], Field(max_length=3))[LIST_TYPE] == "atomic"
    as_set = Field(max_length=3, json_schema_extra={LIST_TYPE: "set"})
    assert schema_of(list[Short], as_set)[LIST_TYPE] == "set"
    as_map = Field(max_length=3, json_schema_extra={MAP_KEYS: ["size"]})
    assert schema_of(list[Inner], as_map)[LIST_TYPE] == "map"


def test_one_allowed_value_is_an_enum() -> None:
    assert schema_of(Literal["nextOpen"])["enum"] == ["nextOpen"]


def test_the_keys_of_a_map_become_a_rule() -> None:
    found = schema_of(dict[Literal["a", "b"], Short], Field(max_length=2))
    assert found[RULES] == [{"rule": "self.all(key, key in ['a', 'b'])", "message": "keys must be among a, b"}]
    key = Annotated[str, Field(pattern="^[a-z]+$", max_length=9)]
    (rule,) = schema_of(dict[key, Short], Field(max_length=2))[RULES]
    assert rule["rule"] == "self.all(key, key.matches(r'^[a-z]+$') && key.size() <= 9)"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "spec.field: a string without maxLength"),
        (int, "spec.field: a integer without maximum"),
        (Annotated[list[Short], Field()], "spec.field: a array without maxItems"),
        (Annotated[list[str], Field(max_length=3)], r"spec.field\[\]: a string without maxLength"),
        (dict[str, Short], "spec.field: a object without maxProperties"),
        (Annotated[dict[str, str], Field(max_length=3)], r"spec.field\{\}: a string without maxLength"),
        (Annotated[float, Field(le=1)], "spec.field: a float"),
        (Short | int, "spec.field: a union of 2 types"),
        (Any, "spec.field: has no single type"),
        (dict[str, Any], "spec.field: an object without declared fields|has no single type"),
        (Annotated[int, Field(le=4, multiple_of=2)], "spec.field: a structural schema cannot say multipleOf"),
        (
            Annotated[list[Inner], Field(max_length=3, json_schema_extra={MAP_KEYS: ["name"]})],
            "spec.field: its entries have no field name",
        ),
    ],
)
def test_what_a_structural_schema_cannot_say_or_bound_is_refused(annotation: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        schema_of(annotation)


def test_every_field_of_the_spec_has_a_meaning() -> None:
    schema = resource_schema()["properties"]["spec"]
    silent = [path for path, part in walk(schema, "spec") if "description" not in part and path[-1] not in "]}"]
    assert silent == []


def test_the_definition_names_the_kind() -> None:
    spec = custom_resource_definition()["spec"]
    assert spec["names"]["shortNames"] == ["tsys"]
    assert spec["scope"] == "Namespaced"
    (version,) = spec["versions"]
    assert version["subresources"] == {"status": {}}
    assert "Ready" in [column["name"] for column in version["additionalPrinterColumns"]]


def test_the_schemas_defaults_are_the_models() -> None:
    completed = defaulted({"apiVersion": "x", "kind": "y", "metadata": {"name": "a"}}, resource_schema())
    assert TradingSystemSpec.model_validate(completed["spec"]) == TradingSystemSpec()
    empties: tuple[Any, ...] = (None, [], {})
    said = TradingSystemSpec().model_dump(mode="json", by_alias=True)
    assert without(said, empties) == without(completed["spec"], empties)


def test_blocks_that_appear_in_maps_and_lists_are_completed_too() -> None:
    document = {
        "metadata": {"name": "a"},
        "spec": {
            "services": {"prediction": {"cpu": "100m"}, "gateway": None},
            "podTemplate": {"tolerations": [{"key": "dedicated"}]},
            "trading": None,
        },
    }
    spec = defaulted(document, resource_schema())["spec"]
    assert spec["services"] == {"prediction": {"cpu": "100m", "enabled": True}}
    assert spec["podTemplate"]["tolerations"] == [{"key": "dedicated", "operator": "Equal"}]
    assert spec["trading"]["mode"] == "off"
    head = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "metadata": {"name": "a"}}
    TradingSystem.model_validate(head | {"spec": spec})


def without(value: Any, empties: tuple[Any, ...]) -> Any:
    if isinstance(value, dict):
        found = {name: without(part, empties) for name, part in value.items()}
        return {name: part for name, part in found.items() if part not in empties}
    if isinstance(value, list):
        return [without(part, empties) for part in value]
    return value
