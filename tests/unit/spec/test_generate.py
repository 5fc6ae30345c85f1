"""Generated files are up to date, and the published schema only grows."""

import copy
from pathlib import Path
from typing import Any

import pytest

from bellwether.spec.schema import resource_schema
from generate import calendars, compat, definition, reference
from generate.__main__ import PUBLISHED, ROOT, breaking, differing, generated, main

# exchange_calendars calls what the next major version of pandas renames.
pytestmark = pytest.mark.filterwarnings("ignore:DatetimeIndex", "ignore:Series.values")


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    """All generated files, made once: it takes seconds."""
    return generated()


def edited(change: Any) -> list[str]:
    """Return what the check says of today's schema with a change made to the properties of its spec."""
    schema = resource_schema()
    before = compat.summary(copy.deepcopy(schema))
    part = schema["properties"]["spec"]["properties"]
    change(part)
    return compat.problems(before, compat.summary(schema))


def test_the_committed_files_are_what_would_be_written(texts: dict[Path, str]) -> None:
    assert differing(texts, ROOT) == []


def test_the_schema_keeps_what_was_published() -> None:
    assert breaking(ROOT) == []


def test_a_missing_and_a_stale_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    lines = differing({Path("a"): "text", Path("b"): "new"}, tmp_path)
    assert lines == ["a: is missing", "b: differs from what would be written"]


def test_writing_checking_and_publishing_from_nothing(
    texts: dict[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("generate.__main__.generated", lambda: texts)
    assert main(["--check"], tmp_path) == 1
    assert "crds/tradingsystems.bellwether.dev.yaml: is missing" in capsys.readouterr().err
    assert main(["--publish"], tmp_path) == 0
    assert (tmp_path / PUBLISHED).exists()
    assert main(["--check"], tmp_path) == 0
    stale = (tmp_path / PUBLISHED).read_text().replace('"spec.profile"', '"spec.gone"')
    (tmp_path / PUBLISHED).write_text(stale)
    assert main(["--publish"], tmp_path) == 1
    assert "spec.gone: was published and would be gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda spec: spec.pop("profile"), "spec.profile: was published and would be gone"),
        (lambda spec: spec["symbols"].update(maxItems=5), "spec.symbols: maxItems was 50 and would be 5"),
        (lambda spec: spec["symbols"].update(minItems=2), "spec.symbols: minItems was 1 and would be 2"),
        (lambda spec: spec["profile"].update(minLength=1), "spec.profile: minLength was not set and would be 1"),
        (lambda spec: spec["profile"]["enum"].remove("standard"), "spec.profile: standard would no longer be allowed"),
        (lambda spec: spec["version"].update(enum=["1"]), "spec.version: any value was allowed, now one of ['1']"),
        (lambda spec: spec["version"].update(pattern="^x$"), "and would be ^x$"),
        (lambda spec: spec["version"].update(type="integer"), "spec.version: type was string and would be integer"),
        (lambda spec: spec["clock"].update(required=["pace"]), "spec.clock: pace would be required"),
        (lambda spec: spec["profile"].update(default="standard"), "default was compact and would be standard"),
        (lambda spec: spec["profile"].pop("default"), "default was compact and would be not set"),
        (lambda spec: spec["version"].update(default="1"), "default was not set and would be 1"),
        (lambda spec: spec["tasks"]["default"].pop(), "spec.tasks: default was "),
        (
            lambda spec: spec["clock"]["x-kubernetes-validations"].append({"rule": "false", "message": "m"}),
            "spec.clock: has a new rule: false",
        ),
    ],
)
def test_taking_something_back_is_refused(change: Any, line: str) -> None:
    (found,) = edited(change)
    assert line in found


def test_the_one_rule_that_was_added_all_the_same_is_named_with_its_decision_and_no_other_is_spared() -> None:
    (found,) = compat.EXCEPTIONS
    assert (ROOT / compat.EXCEPTIONS[found]).is_file()
    assert found == ("spec", "self.profile == oldSelf.profile")
    for path, rule in (found, ("spec", "self.profile == oldSelf.profile && true"), ("spec.clock", found[1])):
        part = {path: {"type": "object", "rules": [rule]}}
        assert bool(compat.problems({path: {"type": "object"}}, part)) is ((path, rule) != found)


def test_a_service_that_is_added_may_be_configured_and_none_that_was_may_go() -> None:
    names = ["market-data", "gateway"]
    rules = [f"self.all(key, key in {listed})" for listed in (names, [*names, "data-quality"], ["gateway"])]
    kept, more, fewer = ({"spec.services": {"type": "object", "rules": [rule]}} for rule in rules)
    assert compat.problems(kept, more) == []
    assert compat.problems(kept, fewer) == [f"spec.services: has a new rule: {rules[2]}"]


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(extra={"type": "boolean"}),
        lambda spec: spec["symbols"].update(maxItems=500, minItems=0),
        lambda spec: spec["version"].pop("pattern"),
        lambda spec: spec["profile"]["enum"].append("ha"),
        lambda spec: spec["clock"]["x-kubernetes-validations"].pop(),
        lambda spec: spec["tasks"]["default"][0].update(extra=True),
    ],
)
def test_growing_is_allowed(change: Any) -> None:
    assert edited(change) == []


def test_a_summary_survives_its_text() -> None:
    summary = compat.summary(resource_schema())
    assert compat.read(compat.text(summary)) == summary


def test_every_field_is_on_the_reference_page() -> None:
    page = reference.page(resource_schema())
    for heading in ("## spec", "## spec.trading.risk", "## spec.tasks[]", "## spec.services.<name>", "## status"):
        assert f"\n{heading}\n" in page
    assert "| `buyRateAlert` | whole number | `70` | 1 to 100 |" in page
    assert "provider csv needs data.csv.directory" in page


def test_the_definition_says_where_it_comes_from_and_has_no_anchors() -> None:
    text = definition.text()
    assert text.startswith("# Written by `make generate`")
    assert "&id" not in text


def test_an_unknown_release_of_the_calendars_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendars, "BUILT", {})
    with pytest.raises(SystemExit, match=r"add the date of the files in its wheel to BUILT"):
        calendars.known_through()
