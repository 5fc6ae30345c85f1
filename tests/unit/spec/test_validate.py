"""Reading a file as kubectl does, and the errors that a person meets."""

import sys
from pathlib import Path

import pytest

from bellwether.spec import validate_rules
from bellwether.spec.validate import (
    InvalidDeclaration,
    Problem,
    RulesUnavailable,
    load,
    validate,
)
from bellwether.spec.validate_yaml import parse
from harness.bad_systems import GOOD, merged

HEAD = "apiVersion: bellwether.dev/v1alpha1\nkind: TradingSystem\nmetadata: {name: demo}\n"


def validate_text(text: str) -> list[Problem]:
    try:
        return validate(load(text))
    except InvalidDeclaration as error:
        return list(error.problems)


def first(text: str) -> str:
    return str(validate_text(text)[0])


def test_the_smallest_file_is_a_system_with_defaults() -> None:
    system = load(HEAD)
    assert system.metadata.name == "demo"
    assert system.spec.market.calendar == "XASX"


def test_days_and_times_need_no_quotes() -> None:
    text = HEAD + "spec: {market: {overrides: [{date: 2026-12-24, close: 12:30}]}}"
    (override,) = load(text).spec.market.overrides
    assert (override.date, override.close) == ("2026-12-24", "12:30")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("14:10", "14:10"),
        ("2026-12-24", "2026-12-24"),
        ("2026-12-24T10:00:00Z", "2026-12-24T10:00:00Z"),
        ("yes", True),
        ("off", False),
        ("Y", True),
        ("n", False),
        ("012", 10),
        ("0x1f", 31),
        ("-7", -7),
        ("0", 0),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-_", "-_"),
        ("=", "="),
        ("08", 8.0),
        ("1.2.3", "1.2.3"),
        ("CBA.AX", "CBA.AX"),
        ('"5"', "5"),
        ("~", None),
    ],
)
def test_a_plain_word_is_read_as_kubectl_reads_it(text: str, value: object) -> None:
    documents, problems = parse(f"field: {text}")
    assert problems == []
    assert documents == [{"field": value}]
    found = documents[0]["field"]
    assert isinstance(found, type(value))
    assert isinstance(found, bool) == isinstance(value, bool)


def test_fields_named_by_numbers_and_words_are_text() -> None:
    assert parse("{1: a, true: b}")[0] == [{"1": "a", "true": "b"}]


def test_json_is_read_too_and_empty_documents_are_passed_over() -> None:
    assert parse('---\n{"a": [1, null]}\n---\n')[0] == [{"a": [1, None]}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2", "line 1, column 9: this is not YAML that can be read"),
        ("a:\n\tb: 1", "line 2, column 1: this is not YAML that can be read"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: this is not YAML that can be read: a is written twice"),
        ("a: !!python/object:os.system x", "line 1, column 4: this is not YAML that can be read"),
        ("[1]: 2", "a field's name must be text"),
        ("a: \x07", "this is not YAML that can be read"),
        ("", "the file holds no TradingSystem: it must hold exactly one"),
        (f"{HEAD}---\n{HEAD}", "the file holds 2 TradingSystem: it must hold exactly one"),
        ("5", "a TradingSystem is a block with apiVersion, kind, metadata and spec, not a number"),
        ("- a", "not a list"),
        ("kind: TradingSystem\nmetadata: {name: x}", "apiVersion: is required"),
        (
            HEAD.replace("v1alpha1", "v1"),
            "apiVersion: is 'bellwether.dev/v1': write apiVersion: bellwether.dev/v1alpha1",
        ),
        (HEAD.replace("kind: Trad", "kind: Rad"), "kind: is 'RadingSystem': write kind: TradingSystem"),
        (HEAD.replace("{name: demo}", "{}"), "metadata.name: is required"),
        (HEAD.replace("{name: demo}", "demo"), "metadata: is required"),
        (HEAD.replace("demo", "demo, labels: {a: 1}"), "metadata.labels: must be a map of text to text"),
        (HEAD + "spec: 5", "spec: must be a block of fields, not 5"),
        (HEAD + "status: {made: up}\nspec: {symbols: [Y]}", "spec.symbols[0]: must be text, not true"),
        (HEAD + "specs: {}", "specs: there is no field of this name; did you mean spec?"),
    ],
)
def test_a_file_that_is_no_system_is_refused_with_what_would_be_right(text: str, words: str) -> None:
    assert words in first(text)


def test_other_kinds_in_the_file_are_passed_over() -> None:
    assert load(f"kind: Namespace\n---\n{HEAD}").metadata.name == "demo"


def test_loading_a_bad_file_says_every_problem_on_a_line() -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        load(HEAD + "spec: {profile: ha, version: 5}")
    assert {problem.path for problem in caught.value.problems} == {"spec.profile", "spec.version"}
    assert len(str(caught.value).splitlines()) == 2


def test_text_with_a_line_end_does_not_match_by_its_beginning() -> None:
    (problem,) = validate(GOOD | {"spec": GOOD["spec"] | {"storage": {"size": "1Gi\n"}}})
    assert problem.path == "spec.storage.size"


def test_a_problem_reads_as_a_line() -> None:
    assert str(Problem("spec.profile", "is wrong")) == "spec.profile: is wrong"
    assert str(Problem("", "is wrong")) == "is wrong"


def test_without_the_evaluator_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    # Asked again beside its cache: it can be loaded only once in a process.
    monkeypatch.setattr(validate_rules, "_evaluator", validate_rules._evaluator.__wrapped__)
    with pytest.raises(RulesUnavailable, match="install the package common-expression-language"):
        validate(GOOD)


def test_the_evaluator_brings_no_terminal_toolkit_along() -> None:
    import subprocess

    services = Path(validate_rules.__file__).parents[2]
    code = f"import sys; sys.path.insert(0, {str(services)!r}); from bellwether.spec.validate import load; " + (
        f"load({HEAD!r}); print(*[m for m in ('rich', 'typer', 'prompt_toolkit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_a_size_that_the_cluster_refused_may_be_taken_back() -> None:
    stored = merged(GOOD, {"spec": {"storage": {"size": "4Gi"}}, "status": {"volumeSize": "2Gi"}})
    assert validate(merged(GOOD, {"spec": {"storage": {"size": "2Gi"}}}), old=stored) == []
    (problem,) = validate(merged(GOOD, {"spec": {"storage": {"size": "1Gi"}}}), old=stored)
    assert str(problem) == "spec.storage: storage.size can only grow: a volume cannot shrink"


@pytest.mark.parametrize(
    ("typed", "proposal"),
    [
        ("0005", 'put it in quotes, "0005"'),
        ("1E5", 'put it in quotes, "1E5"'),
        ("1_000", 'put it in quotes, "1_000"'),
        ("cba.ax", "did you mean CBA.AX?"),
    ],
)
def test_a_proposal_keeps_what_was_typed(typed: str, proposal: str) -> None:
    text = (
        "apiVersion: bellwether.dev/v1alpha1\nkind: TradingSystem\nmetadata: {name: demo}\n"
        f"spec: {{symbols: [{typed}], data: {{provider: csv, csv: {{directory: bars}}}}}}\n"
    )
    (problem,) = validate_text(text)
    assert problem.path == "spec.symbols[0]"
    assert proposal in problem.message
