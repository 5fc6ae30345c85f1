"""Each call that the topology allows is made somewhere: a right that nobody uses is one too many."""

import ast
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from bellwether.local.registry import MODULES
from bellwether.topology import BUILT_IN_METHODS, SERVICES
from environments.machine import ROOT
from gate.imports import Imports

BESIDE = {"gateway": ["services/bellwether/local/narrator.py"]}
"""Files that ask under a service's name and that the service itself does not import."""
IMPORTS = Imports(ROOT)


@cache
def calls_in(file: Path) -> frozenset[tuple[str, str]]:
    """Return what the code of a file calls."""
    return frozenset(calls(ast.parse((ROOT / file).read_bytes())))


def calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what a module may call: a peer and a method that stand side by side in the arguments of a call.

    A built-in method is called of many peers by a variable: it is yielded with no peer, too.
    """
    names = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            values = [names.get(one.id, one) if isinstance(one, ast.Name) else one for one in node.args]
            texts = [one.value if isinstance(one, ast.Constant) else None for one in values]
            for peer, method in pairwise(texts):
                if isinstance(method, str):
                    yield (peer if isinstance(peer, str) else ""), method


def made_by(service: str) -> set[tuple[str, str]]:
    """Return what the code that a service imports calls."""
    own = "services" / Path(*MODULES[service].split(".")).with_suffix(".py")
    files = IMPORTS.closure([own, *map(Path, BESIDE.get(service, ()))])
    return {one for file in files if file.suffix == ".py" for one in calls_in(file)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_call_only_what_it_calls(service: str) -> None:
    allowed = [(peer, method) for peer, methods in SERVICES[service].calls.items() for method in methods]
    made = made_by(service) if allowed else set()
    unused = [
        f"{peer}.{method}"
        for peer, method in allowed
        if (peer, method) not in made and (method not in BUILT_IN_METHODS or ("", method) not in made)
    ]
    assert not unused, f"{service}: no code calls {', '.join(unused)}: take it out of its row in topology.py"


def test_a_call_is_read_from_its_arguments() -> None:
    text = 'METHOD = "get_b"\nask("a", "get_a", None)\nask(peer, "health")\nask("a", METHOD)\n("a", "get_c")'
    assert set(calls(ast.parse(text))) == {("a", "get_a"), ("", "health"), ("a", "get_b")}
