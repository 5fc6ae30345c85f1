"""Which files of the project a Python file needs, by what it imports or starts (static: nothing is run)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOTS = (
    "services",
    "operator",
    *(f"tools/{name}" for name in ("devcluster", "environments", "generate", "gate", "bench", "soak")),
    "tests",
)
"""The folders that modules are looked for in."""
_DOTTED = re.compile(r"[a-z_]\w*(\.\w+)+")


class Imports:
    """The import graph of a working tree."""

    def __init__(self, top: Path) -> None:
        """Read nothing yet."""
        self._top = top
        self.needs = cache(self._needs)

    def closure(self, files: Iterable[Path]) -> frozenset[Path]:
        """Return these files and all that they need, directly or not, as paths from the top folder."""
        found: set[Path] = set()
        waiting = list(files)
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting += self.needs(file) - found
        return frozenset(found)

    def users(self, files: Iterable[Path]) -> frozenset[Path]:
        """Return the files of the product that need one of these directly."""
        wanted = set(files)
        product = [each for folder in ("services", "operator") for each in (self._top / folder).rglob("*.py")]
        return frozenset(file for path in product if self.needs(file := path.relative_to(self._top)) & wanted)

    def _needs(self, file: Path) -> frozenset[Path]:
        """Return the files that one needs directly."""
        if file.suffix != ".py":
            return frozenset()
        tree = ast.parse((self._top / file).read_bytes())
        found = {each for name in _names(tree, file) for each in self._files(name)}
        if "tests" in file.parts:
            found |= {conftest for folder in file.parents if self._is_file(conftest := folder / "conftest.py")}
        return frozenset(found - {file})

    def _files(self, name: str) -> Iterator[Path]:
        """Yield the file of a module, and the packages above it; nothing for what is not the project's.

        Of a name that goes on behind a module (`module.Class`) the module counts.
        """
        parts = name.split(".")
        for root in map(Path, ROOTS):
            if not (self._top / root / parts[0]).is_dir():
                continue
            for end in range(1, len(parts) + 1):
                inside = root.joinpath(*parts[:end])
                for file in (inside / "__init__.py", inside.with_suffix(".py")):
                    if self._is_file(file):
                        yield file

    @cache  # noqa: B019 (one graph lives as long as the process)
    def _is_file(self, file: Path) -> bool:
        return (self._top / file).is_file()


def _names(tree: ast.Module, file: Path) -> Iterator[str]:
    """Yield the full names of what a module may load: by import, by name in a string, by `python -m`."""
    starts = file.parts[0] in ("tests", "tools")  # what the product names so, pods start
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, file)
            yield from (f"{module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            yield node.value
        elif starts and isinstance(node, ast.Call | ast.List | ast.Tuple):
            words = node.args if isinstance(node, ast.Call) else node.elts
            texts = [each.value if isinstance(each, ast.Constant) else None for each in words]
            for flag, started in pairwise(texts):
                if flag == "-m" and isinstance(started, str):
                    yield from (started, f"{started}.__main__")


def _absolute(node: ast.ImportFrom, file: Path) -> str:
    if not node.level:
        return node.module or ""
    root = next(each for each in map(Path, ROOTS) if file.is_relative_to(each))
    package = file.relative_to(root).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])
