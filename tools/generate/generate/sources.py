"""What only the source text says: the sentences below fields, and the errors that a package raises."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

_RAISED = "RpcError"


@cache
def field_words(kind: type) -> dict[str, str]:
    """Return the sentences that stand below the fields of a class, by field; those of its bases too."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one.__module__.startswith("bellwether"):
            found |= _words_in(one.__module__).get(one.__name__, {})
    return found


@cache
def _words_in(module: str) -> dict[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            words: dict[str, str] = {}
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(text):
                    words[field.target.id] = inspect.cleandoc(text.value.value)  # type: ignore[attr-defined]
            found[node.name] = words
    return found


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def raised(folder: Path) -> dict[str, str]:
    """Return the codes of the errors that the modules of a folder raise, each with the first message found for it."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text("utf-8")
        if _RAISED not in text:
            continue
        tree = ast.parse(text)
        constants = _constants(tree)
        for call in _calls(tree):
            code = _code(call.args[0], constants)
            if code is not None:
                found.setdefault(code, _message(call.args[1]) if len(call.args) > 1 else "")
    return found


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _called(node.func) == _RAISED:
            yield node


def _called(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _constants(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def _code(node: ast.expr, constants: dict[str, str]) -> str | None:
    """Return the code that an argument stands for; None where it is that of another error, which is passed on."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id, node.id if node.id.isupper() else None)
    if isinstance(node, ast.Attribute) and node.attr.isupper():
        return node.attr
    return None


def _message(node: Any) -> str:
    """Return a message as it stands in the source, with `{...}` for what is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{…}" for part in node.values)
    return ""
