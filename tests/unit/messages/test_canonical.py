from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.messages.canonical import canonical_bytes, content_hash
from bellwether.naming import subject_matches, symbol_token


class Point(msgspec.Struct):
    y: float
    x: Decimal


def test_keys_are_sorted_and_numbers_have_one_spelling() -> None:
    value = {"b": [1.0, 0.1, 1e16], "a": Point(2.5, Decimal("1.50")), "c": datetime(2009, 1, 2, tzinfo=UTC)}
    assert canonical_bytes(value) == b'{"a":{"x":"1.50","y":2.5},"b":[1.0,0.1,1e+16],"c":"2009-01-02T00:00:00Z"}'
    assert canonical_bytes({"d": date(2009, 1, 2), "u": "Zürich"}) == '{"d":"2009-01-02","u":"Zürich"}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_bytes({"value": value})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(min_value=-1e-3, max_value=1e-3)
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(st.integers(), inner),
)


@given(VALUES)
def test_the_quick_way_spells_what_the_standard_library_spells(value: Any) -> None:
    plain = msgspec.to_builtins(value, order="deterministic", str_keys=True)
    spelled = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert canonical_bytes(value) == spelled.encode()


@pytest.mark.parametrize(
    "value", [1e-4, 9.99e-5, -1e-7, 1e16, 9999999999999998.0, -0.0, 5e-324, "e5", ["1e5", 1.5e300]]
)
def test_numbers_at_the_edges_of_plain_notation_are_spelled_by_repr(value: Any) -> None:
    spelled = json.dumps({"a": value}, separators=(",", ":"))
    assert canonical_bytes({"a": value}).decode() == spelled
    assert canonical_bytes(value).decode() == json.dumps(value, separators=(",", ":"))


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_the_order_of_insertion_changes_nothing(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical_bytes(turned) == canonical_bytes(value)
    assert content_hash(turned) == content_hash(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back_bit_for_bit(value: float) -> None:
    assert msgspec.json.decode(canonical_bytes(value)) == value


@pytest.mark.parametrize(
    ("symbol", "token"), [("CBA.AX", "cba-ax"), ("AAPL", "aapl"), ("BRK-B", "brk-b"), ("^AXJO", "axjo")]
)
def test_a_symbol_becomes_one_token(symbol: str, token: str) -> None:
    assert symbol_token(symbol) == token


@pytest.mark.parametrize("text", ["", "..", "株"])
def test_what_can_be_no_symbol_has_no_token(text: str) -> None:
    assert symbol_token(text) == ""


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.b", "a.b", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_subjects_match_as_on_nats(pattern: str, subject: str, fits: bool) -> None:
    assert subject_matches(pattern, subject) is fits
