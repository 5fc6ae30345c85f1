from pathlib import Path

import pytest

from gate.imports import Imports

FILES = {
    "services/desk/__init__.py": "",
    "services/desk/book.py": "import json\nfrom desk import orders\n",
    "services/desk/orders.py": "def place() -> None: ...\n",
    "services/desk/report.py": 'COMMAND = ["python", "-m", "desk.serve"]\n',
    "services/desk/serve/__main__.py": "import desk.orders\n",
    "tests/conftest.py": "import harness.clock\n",
    "tests/harness/clock.py": "",
    "tests/unit/helper.py": "",
    "tests/unit/test_book.py": "def test() -> None:\n    from desk.book import Book\n",
    "tests/unit/test_patched.py": 'NAME = "desk.orders.place"\n',
    "tests/unit/test_relative.py": "from .helper import a\n",
    "tests/unit/test_started.py": 'COMMAND = ["python", "-m", "desk.serve"]\n',
}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def closure(top: Path, *names: str) -> set[str]:
    return {str(each) for each in Imports(top).closure(map(Path, names))}


def test_a_test_needs_what_it_imports_within_functions_too_and_the_conftests_above_it(top: Path) -> None:
    assert closure(top, "tests/unit/test_book.py") == {
        "tests/unit/test_book.py",
        "tests/conftest.py",
        "tests/harness/clock.py",
        "services/desk/__init__.py",
        "services/desk/book.py",
        "services/desk/orders.py",
    }


@pytest.mark.parametrize(
    ("test", "needed"),
    [
        ("test_patched.py", "services/desk/orders.py"),
        ("test_relative.py", "tests/unit/helper.py"),
        ("test_started.py", "services/desk/serve/__main__.py"),
    ],
)
def test_a_name_in_a_string_a_relative_import_and_a_started_module_count_too(top: Path, test: str, needed: str) -> None:
    assert needed in closure(top, f"tests/unit/{test}")


def test_a_command_that_the_product_writes_down_is_none_that_it_starts(top: Path) -> None:
    assert "services/desk/serve/__main__.py" not in closure(top, "services/desk/report.py")


def test_users_are_those_who_import_directly(top: Path) -> None:
    users = Imports(top).users([Path("services/desk/orders.py")])
    assert {str(each) for each in users} == {"services/desk/book.py", "services/desk/serve/__main__.py"}
