import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate.imports import Imports
from gate.record import KEPT, PARTS, Part, fingerprint, passes, record_file, write_passes

PART = Part("moves", tests=("tests/moves",), files=("tools/mover/**/*",), modules=("services/desk/move.py",))
TOOLS = {"python": "3.11", "kernel": "6"}
FILES = {
    "pyproject.toml": "",
    "requirements/dev.txt": "a==1",
    "services/desk/__init__.py": "",
    "services/desk/move.py": "import desk.folders\n",
    "services/desk/folders.py": "",
    "services/desk/command.py": "import desk.move\n",
    "services/desk/other.py": "",
    "tests/moves/test_moves.py": "",
    "tests/other/test_other.py": "",
    "tools/mover/go/main.go": "",
}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "clone" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "clone"


def printed(top: Path, tools: dict[str, str] = TOOLS) -> str:
    return fingerprint(PART, top, Imports(top), tools)


@pytest.mark.parametrize(
    "changed",
    [
        "requirements/dev.txt",
        "services/desk/move.py",
        "services/desk/folders.py",
        "services/desk/command.py",
        "tests/moves/test_moves.py",
        "tests/moves/test_new.py",
        "tools/mover/go/main.go",
    ],
)
def test_a_change_of_what_is_tested_has_another_fingerprint(top: Path, changed: str) -> None:
    before = printed(top)
    with (top / changed).open("a") as file:
        file.write("# edited\n")
    assert printed(top) != before


@pytest.mark.parametrize("changed", ["services/desk/other.py", "tests/other/test_other.py"])
def test_a_change_of_anything_else_has_the_same(top: Path, changed: str) -> None:
    before = printed(top)
    (top / changed).write_text("# edited\n")
    assert printed(top) == before


def test_another_toolchain_has_another_fingerprint(top: Path) -> None:
    assert printed(top, {**TOOLS, "kernel": "7"}) != printed(top)


def test_without_a_record_or_with_one_that_cannot_be_read_nothing_has_passed(tmp_path: Path) -> None:
    file = tmp_path / "passed.json"
    assert passes(file) == {}
    for text in ("", "[1]", "{"):
        file.write_text(text)
        assert passes(file) == {}


def test_what_passed_is_remembered_with_its_time_and_the_oldest_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "state" / "passed.json"
    write_passes(file, ["a"], datetime(2026, 11, 1, 9, 30, tzinfo=UTC))
    assert passes(file) == {"a": "2026-11-01 09:30 UTC"}
    write_passes(file, [f"b{number}" for number in range(KEPT)], datetime(2026, 11, 2, tzinfo=UTC))
    assert "a" not in passes(file)
    assert len(json.loads(file.read_text())) == KEPT


def test_the_record_lies_outside_the_clone(tmp_path: Path) -> None:
    assert record_file({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "bellwether" / "gate" / "passed.json"
    assert record_file({}).is_relative_to(Path.home())


def test_every_test_and_module_that_a_part_names_is_there() -> None:
    top = Path(__file__).parents[3]
    for part in PARTS:
        assert [each for each in (*part.tests, *part.modules) if not (top / each).exists()] == []
