"""A declaration changed at a path: which fields a path reaches, how values are read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether.spec.validate import validate
from bellwether.spec.vary import Change, Varied, VaryError, changed, parse_varied, variant_name, variants

SYSTEM: dict[str, Any] = {
    "apiVersion": "bellwether.dev/v1alpha1",
    "kind": "TradingSystem",
    "metadata": {"name": "bank"},
    "spec": {
        "market": {"calendar": "XNYS"},
        "symbols": ["AAPL", "IBM"],
        "data": {"provider": "replay"},
        "clock": {"mode": "replay", "from": "2009-01-02"},
        "trading": {"mode": "simulated", "currency": "USD", "initialCash": "100000"},
    },
}


def spec_after(path: str, value: str) -> dict[str, Any]:
    found = changed(SYSTEM, (Change(path, value),))
    assert validate(found) == []
    return dict(found["spec"])


@pytest.mark.parametrize("path", ["trading.sizing.value", "spec.trading.sizing.value"])
def test_text_stays_text_though_it_looks_like_a_number(path: str) -> None:
    assert spec_after(path, "0.05")["trading"]["sizing"]["value"] == "0.05"


def test_numbers_lists_truth_values_and_entries_are_reached() -> None:
    assert spec_after("trading.risk.maxOrdersPerSession", "3")["trading"]["risk"]["maxOrdersPerSession"] == 3
    assert spec_after("symbols", "[IBM]")["symbols"] == ["IBM"]
    assert spec_after("symbols[0]", "MSFT")["symbols"] == ["MSFT", "IBM"]
    assert spec_after("trading.halted", "true")["trading"]["halted"] is True
    tasks = spec_after("tasks[morning_analysis].offset", "-45m")["tasks"]
    assert {one["name"]: one.get("offset") for one in tasks}["morning_analysis"] == "-45m"
    assert spec_after("predictions.model", "direction-boost")["predictions"]["model"] == "direction-boost"
    epics = {"AAPL": {"epic": "UA.D.AAPL.DAILY.IP"}}
    assert spec_after("trading.instruments[AAPL].epic", "UA.D.AAPL.DAILY.IP")["trading"]["instruments"] == epics


def test_null_takes_a_field_out_and_the_document_that_was_given_stays() -> None:
    before = changed(SYSTEM, (Change("clock.to", "2009-12-31"),))
    after = changed(before, (Change("clock.to", "null"),))
    assert before["spec"]["clock"]["to"] == "2009-12-31"
    assert "to" not in after["spec"]["clock"]
    assert "to" not in SYSTEM["spec"]["clock"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("trading.sizng", "1", "spec.trading has no field sizng; it has"),
        ("trading.risk.maxOrdersPerSession", "many", "spec.trading.risk.maxOrdersPerSession=many: must be a whole"),
        ("trading.halted", "maybe", "spec.trading.halted=maybe: must be true or false"),
        ("symbols", "IBM", "spec.symbols=IBM: must be a list, as [a, b]"),
        ("symbols[7]", "IBM", "spec.symbols[7]: its 2 entries are counted from 0"),
        ("tasks[noon].offset", "1m", "spec.tasks has no entry noon; it has morning_analysis"),
        ("tasks.offset", "1m", "spec.tasks is a list: name an entry as spec.tasks[0]"),
        ("market.calendar.name", "1", "spec.market.calendar is a value without parts"),
        ("trading..x", "1", "'trading..x' is no path"),
    ],
)
def test_what_leads_nowhere_is_refused_with_what_would_be_right(path: str, value: str, words: str) -> None:
    with pytest.raises(VaryError) as refused:
        changed(SYSTEM, (Change(path, value),))
    assert words in str(refused.value)


def test_every_combination_comes_once_after_the_unchanged_declaration() -> None:
    found = variants([Varied("spec.a", ("1", "2")), Varied("b", ("x", "y"))])
    names = [variant_name(one) for one in found]
    assert names == ["as declared", "a=1, b=x", "a=1, b=y", "a=2, b=x", "a=2, b=y"]
    assert variants([]) == [()]


@pytest.mark.parametrize(
    ("varied", "words"),
    [
        ([Varied("a", ("1",)), Varied("spec.a", ("2",))], "a stands there twice"),
        ([Varied("a", ("1", "1"))], "a value stands there twice"),
        ([Varied("a", tuple("12345")), Varied("b", tuple("1234"))], "20 combinations"),
    ],
)
def test_repeated_or_too_many_variations_are_refused(varied: list[Varied], words: str) -> None:
    with pytest.raises(VaryError) as refused:
        variants(varied)
    assert words in str(refused.value)


def test_a_variation_is_read_from_text() -> None:
    assert parse_varied("a.b=1, 2") == Varied("a.b", ("1", "2"))
    assert parse_varied("symbols=[A, B],[C]") == Varied("symbols", ("[A, B]", "[C]"))
    for wrong in ("a.b", "=1", "a=", "a=1,,2"):
        with pytest.raises(VaryError):
            parse_varied(wrong)
