"""One name for one thing: words that were retired stay so, and names that two things had belong to one."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]
RETIRED = {
    "anew": "again",
    "begun": "started",
    "deed": "action",
    "is away": "is unreachable",
    "are away": "are unreachable",
    "misfit": "problem",
    "misfits": "problems",
    "moment": "instant",
    "told": "reported, notified or known",
    "was away": "was unreachable",
}
STORED = re.compile(r"(FROM|INTO|UPDATE|EXISTS) begun|begun-with|moment in time|[\"'](begun|moment)[\"']")
"""Where a retired word stays: a name in stored data, or another meaning."""
FOLDERS = ("services", "operator", "tools", "tests", "docs", "charts", "manifests", "models")
TEXTS = {".py", ".md", ".yaml", ".tpl", ".txt", ".html", ".js"}
KEPT = {ROOT / "docs" / "concepts.md", Path(__file__)}
"""They name the retired words."""
SINGLE = {"Book", "Decision", "Desk", "Ledger", "Order", "Outcome", "Session", "Settled"}
"""Each is the name of one class of services and operator at most."""
CLASS = re.compile(rf"^ *class ({'|'.join(SINGLE)})\b", re.MULTILINE)


def _files() -> list[Path]:
    decisions = ROOT / "docs" / "decisions"  # what was decided then is said in the words of then
    found = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in TEXTS]
    found += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile")]
    return [file for file in found if decisions not in file.parents and file not in KEPT]


def test_no_retired_word_is_used() -> None:
    words = re.compile(rf"(?<![a-z])({'|'.join(RETIRED)})(?![a-z])", re.IGNORECASE)
    used = [
        f"{file.relative_to(ROOT)}:{number}: write {RETIRED[found[0].lower()]!r} for {found[0]!r}"
        for file in _files()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        for found in [words.search(STORED.sub("", line).replace("_", " "))]
        if found is not None
    ]
    assert used == []


def test_a_name_that_once_had_two_meanings_has_one() -> None:
    classes: Counter[str] = Counter()
    for file in (*(ROOT / "services").rglob("*.py"), *(ROOT / "operator").rglob("*.py")):
        classes.update(CLASS.findall(file.read_text("utf-8")))
    assert {name for name, count in classes.items() if count > 1} == set()
    assert classes
