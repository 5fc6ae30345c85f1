"""`make test-changed`: the tests that an edit can reach, for the time before it is committed.

An edit is what differs from where this branch left `main` (BASE=... names another), with files that git does not know.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from devcluster.typed import Parser
from environments.machine import ROOT
from gate.imports import Imports

ALL = {"pyproject.toml", "requirements/dev.txt"}
"""Whatever tests do may depend on these."""
EVERYWHERE = {"bellwether", "bellwether_operator", "docs", "operator", "services", "tests", "tools"}
"""Folders whose mention says nothing."""
FOLDERS = ("tests", "tools/devcluster/tests")


def reached(top: Path, changed: Iterable[Path], tests: Iterable[Path]) -> list[Path]:
    """Return the test files that a change of some files can reach.

    A test reaches a Python file by imports; any other file by a mention, in itself or in what it imports, of the file's
    name or of a folder that it lies in; a tool by the name of the tests' own folder.
    """
    changed, tests = set(changed), sorted(tests)
    if ALL & {str(each) for each in changed}:
        return tests
    imports = Imports(top)
    data = [each for each in changed if each.suffix != ".py"]
    words = {f'"{folder}"' for each in data for folder in each.parts[:-1] if folder not in EVERYWHERE}
    words |= {each.name for each in data}
    tools = {each.parts[1] for each in data if each.parts[0] == "tools" and len(each.parts) > 2}
    mentions: dict[Path, bool] = {}

    def mentioned(file: Path) -> bool:
        if file not in mentions:
            text = (top / file).read_text("utf-8") if words else ""
            mentions[file] = any(word in text for word in words)
        return mentions[file]

    def is_reached(test: Path) -> bool:
        needed = imports.closure([test])
        return bool(needed & changed or tools & set(test.parts) or any(mentioned(each) for each in needed))

    return [test for test in tests if is_reached(test)]


def changed_files(top: Path, base: str) -> set[Path]:
    """Return what differs from where HEAD left `base`, committed or not."""

    def git(*arguments: str) -> list[str]:
        done = subprocess.run(["git", *arguments], cwd=top, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    (start,) = git("merge-base", base, "HEAD")
    names = git("diff", "--name-only", "--no-renames", start) + git("ls-files", "--others", "--exclude-standard")
    return {Path(name) for name in names}


def main() -> int:
    """Run the unit and integration tests that are reached; only name those of a whole node."""
    Parser(prog="python -m gate.changed", description=__doc__).parse_args()
    base = os.environ.get("BASE") or "main"
    try:
        changed = changed_files(ROOT, base)
    except subprocess.CalledProcessError as error:
        print(f"error: git says of BASE={base}: {error.stderr.strip()}", file=sys.stderr)
        return 1
    tests = [each.relative_to(ROOT) for folder in FOLDERS for each in (ROOT / folder).rglob("test_*.py")]
    found = reached(ROOT, changed, tests)
    whole = [str(each) for each in found if each.parts[1] == "e2e"]
    quick = [str(each) for each in found if each.parts[1] != "e2e"]
    print(f"{len(changed)} files differ from {base}; they reach {len(found)} of {len(tests)} test files")
    code = 0
    if quick:
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *quick]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if whole:
        print("not run, since they need a whole node (`make e2e`): " + " ".join(whole))
    return code


if __name__ == "__main__":
    sys.exit(main())
