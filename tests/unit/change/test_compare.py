from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.change.compare import FieldChange, changes, lacking

NAMES = st.sampled_from(["name", "port", "a", "b"])
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "y"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


def listed(found: list[FieldChange]) -> list[tuple[str, Any, Any]]:
    return [(each.path, each.old, each.new) for each in found]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, [("a.b", 1, 3)]),
        ({"a": True}, {"a": 1}, [("a", True, 1)]),
        ({}, {"a": {"b": 1}}, [("a", None, {"b": 1})]),
        ({"a": {"b": 1}}, {}, [("a", {"b": 1}, None)]),
        ({"symbols": ["A", "B"]}, {"symbols": ["A", "C"]}, [("symbols", ["A", "B"], ["A", "C"])]),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "A", "value": "9"}, {"name": "C", "value": "3"}]},
            [
                ("env[A].value", "1", "9"),
                ("env[C]", None, {"name": "C", "value": "3"}),
                ("env[B]", {"name": "B", "value": "2"}, None),
            ],
        ),
        (
            {"overrides": [{"date": "2026-11-24", "closed": True}]},
            {"overrides": [{"date": "2026-11-24", "close": "12:00"}]},
            [("overrides[2026-11-24].close", None, "12:00"), ("overrides[2026-11-24].closed", True, None)],
        ),
        ({"l": [{"name": "a"}, {"name": "b"}]}, {"l": [{"name": "b"}, {"name": "a"}]}, [("l", ["a", "b"], ["b", "a"])]),
        ({"l": []}, {"l": [{"name": "a"}]}, [("l[a]", None, {"name": "a"})]),
        ({"l": [{"x": 1}]}, {"l": [{"x": 2}]}, [("l[0].x", 1, 2)]),
        ({"l": [{"x": 1}]}, {"l": [{"x": 1}, {"x": 2}]}, [("l", [{"x": 1}], [{"x": 1}, {"x": 2}])]),
        ({"a": {"b": 1}}, {"a": 3}, [("a", {"b": 1}, 3)]),
    ],
)
def test_each_field_that_differs_is_named_with_both_values(old: Any, new: Any, expected: list[Any]) -> None:
    assert listed(changes(old, new)) == expected


@given(OBJECTS, OBJECTS)
def test_there_are_changes_exactly_where_objects_differ(old: Any, new: Any) -> None:
    assert bool(changes(old, new)) is (_ordered(old) != _ordered(new))


def _ordered(value: Any) -> str:
    """Return a text that is equal for objects that are equal whatever the order of their fields; True is not 1."""
    if isinstance(value, dict):
        return f"{{{sorted((name, _ordered(each)) for name, each in value.items())}}}"
    return str([_ordered(each) for each in value]) if isinstance(value, list) else repr(value)


@given(OBJECTS, OBJECTS)
def test_a_change_back_names_the_same_fields(old: Any, new: Any) -> None:
    def unordered(found: list[FieldChange], *, swapped: bool) -> set[tuple[str, str]]:
        both = [(each.new, each.old) if swapped else (each.old, each.new) for each in found]
        return {(each.path, repr(values)) for each, values in zip(found, both, strict=True)}

    assert unordered(changes(old, new), swapped=False) == unordered(changes(new, old), swapped=True)


@pytest.mark.parametrize("name", [[], {}, None, 0.5])
def test_what_is_no_name_tells_no_entries_apart(name: Any) -> None:
    there = [{"name": name, "v": 1}]
    assert listed(changes(there, [{"name": name, "v": 2}])) == [("[0].v", 1, 2)]
    assert listed(list(lacking([{"name": "x"}], there))) == [("[x]", None, {"name": "x"})]
    assert list(lacking(there, there)) == []


@given(OBJECTS)
def test_what_is_there_is_not_lacking(value: Any) -> None:
    assert list(lacking(value, value)) == []


@given(OBJECTS, st.dictionaries(st.sampled_from(["other", "more"]), VALUES, max_size=2))
def test_what_others_added_is_no_difference(desired: Any, added: Any) -> None:
    assert list(lacking(desired, {**desired, **added})) == []


@pytest.mark.parametrize(
    ("desired", "observed", "expected"),
    [
        ({"a": {}, "b": [], "c": ""}, {}, []),
        ({"a": 1, "b": 2}, {"b": 3}, [("a", None, 1), ("b", 3, 2)]),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}, {"name": "x", "v": 2, "w": 3}]}, [("a[x].v", 2, 1)]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a[0]", 2, 1), ("a[1]", 1, 2)]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1, 2], [1])]),
        ({"a": {"b": 1}}, {"a": 3}, [("a", 3, {"b": 1})]),
        ({"a": {"b": 1}}, None, [("", None, {"a": {"b": 1}})]),
    ],
)
def test_what_is_lacking_is_named_with_what_is_there(desired: Any, observed: Any, expected: list[Any]) -> None:
    assert listed(list(lacking(desired, observed))) == expected
