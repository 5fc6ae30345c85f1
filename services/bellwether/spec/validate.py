"""Whether a resource file would be accepted, and if not, why: the same answer as the API server's, before asking it."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from pydantic import ValidationError

from bellwether.spec.models import API_VERSION, KIND, TradingSystem
from bellwether.spec.schema import Schema, defaulted, resource_schema
from bellwether.spec.validate_rules import RulesUnavailable, rule_problems
from bellwether.spec.validate_structure import Problem, findings, kind_of, matches, unknown_fields
from bellwether.spec.validate_yaml import parse

__all__ = ["InvalidDeclaration", "Problem", "RulesUnavailable", "load", "validate"]

_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_LONGEST_OBJECT_NAME = 253


class InvalidDeclaration(ValueError):
    """A declaration that would be refused; `problems` says why, one line each in the message."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(text: str) -> TradingSystem:
    """Return the one TradingSystem of a file's text, with defaults; other kinds in the file are passed over.

    Raises:
        InvalidDeclaration: when the text cannot be read, holds none or several, or the one is not right.
        RulesUnavailable: when the rules between fields cannot be checked here.
    """
    document, problems = _only_system(text)
    problems = problems or validate(document)
    if problems:
        raise InvalidDeclaration(problems)
    return TradingSystem.model_validate(_completed(document))


def read_document(text: str) -> Any:
    """Return the one TradingSystem of a file's text as plain data, as it is written.

    Raises:
        InvalidDeclaration: when the text cannot be read, or holds none or several.
    """
    document, problems = _only_system(text)
    if problems:
        raise InvalidDeclaration(problems)
    return document


def validate(document: Any, old: Any = None, *, rules: bool = True) -> list[Problem]:
    """Return what is wrong with a TradingSystem as plain data; an empty list when it would be accepted.

    Args:
        document: the resource as read from YAML or JSON; its status is not looked at.
        old: the stored resource that it replaces, to check rules about changes; None for a new one.
        rules: whether the rules between fields are checked too.

    Raises:
        RulesUnavailable: when the rules between fields cannot be checked here.
    """
    problems = _head_problems(document)
    if problems:
        return problems
    schema = _schema()
    completed = _completed(document)
    problems = list(unknown_fields(_without_server_fields(document), schema, ""))
    found = list(findings(completed, schema, ""))
    problems += _name_problems(document["metadata"]["name"]) + [finding.problem for finding in found]
    if rules and not any(finding.blocks_rules for finding in found):
        before = {} if old is None else {"old": _completed(old)}
        # An edit of the declaration leaves the stored status as it is, and a rule may look at it.
        stored = {} if old is None or "status" not in old else {"status": old["status"]}
        problems += rule_problems({**completed, **stored}, schema, **before)
    return problems or _model_problems(completed)


def _head_problems(document: Any) -> list[Problem]:
    """Return what keeps the document from being looked at as a TradingSystem at all."""
    if not isinstance(document, dict):
        return [Problem("", f"a TradingSystem is a block with apiVersion, kind, metadata and spec, not {_a(document)}")]
    problems = []
    for head, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if head not in document:
            problems.append(Problem(head, f"is required: write {head}: {wanted}"))
        elif document[head] != wanted:
            problems.append(Problem(head, f"is {document[head]!r}: write {head}: {wanted}"))
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return [*problems, Problem("metadata", "is required: a block with the system's name")]
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        problems.append(Problem("metadata.name", "is required: the system's name, as text"))
    for field in ("labels", "annotations"):
        entries = metadata.get(field) or {}
        if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
            problems.append(Problem(f"metadata.{field}", "must be a map of text to text: put numbers in quotes"))
    return problems


def _name_problems(name: str) -> list[Problem]:
    """Return what every kind of object in a cluster refuses as a name, besides this kind's own rule."""
    if len(name) <= _LONGEST_OBJECT_NAME and matches(_OBJECT_NAME, name):
        return []
    return [
        Problem("metadata.name", f"{name!r} is not the name of an object: use a-z, 0-9 and -, from letter to letter")
    ]


def _only_system(text: str) -> tuple[Any, list[Problem]]:
    documents, problems = parse(text)
    if problems:
        return None, problems
    if len(documents) == 1:
        return documents[0], []
    systems = [found for found in documents if isinstance(found, dict) and found.get("kind") == KIND]
    if len(systems) != 1:
        count = "no" if not systems else str(len(systems))
        return None, [Problem("", f"the file holds {count} {KIND}: it must hold exactly one")]
    return systems[0], []


def _completed(document: Any) -> Any:
    return defaulted(_without_server_fields(document), _schema())


def _without_server_fields(document: Any) -> Any:
    """Return the document without its status, which only the operator writes."""
    return {name: copy.deepcopy(part) for name, part in document.items() if name != "status"}


@cache
def _schema() -> Schema:
    return resource_schema()


def _model_problems(completed: Any) -> list[Problem]:
    """Return what only the models refuse; nothing, as long as the schema says all that they say."""
    try:
        TradingSystem.model_validate(completed)
    except ValidationError as error:
        return [Problem(_path(entry["loc"]), entry["msg"]) for entry in error.errors(include_url=False)]
    return []


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _a(value: Any) -> str:
    return {"array": "a list", "string": "text", "null": "nothing"}.get(kind_of(value), "a number")
