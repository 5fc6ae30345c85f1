from pathlib import Path

import pytest

from gate.changed import reached

FILES = {
    "services/desk/__init__.py": "",
    "services/desk/orders.py": "",
    "services/desk/charted.py": 'CHART = ROOT / "charts" / "desk"\n',
    "tests/integration/mover/test_mover.py": "",
    "tests/unit/test_orders.py": "import desk.orders\n",
    "tests/unit/test_chart.py": "import desk.charted\n",
    "tests/unit/test_page.py": 'PAGE = ROOT / "docs" / "limits.md"\n',
}
TESTS = [Path(name) for name in FILES if "test_" in name]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ("services/desk/orders.py", ["test_orders"]),
        ("charts/desk/values.yaml", ["test_chart"]),
        ("docs/limits.md", ["test_page"]),
        ("docs/other.md", []),
        ("tools/mover/go/main.go", ["test_mover"]),
        ("tests/unit/test_page.py", ["test_page"]),
        ("tests/unit/test_deleted.py", []),
        ("requirements/dev.txt", ["test_mover", "test_chart", "test_orders", "test_page"]),
    ],
)
def test_a_change_reaches_the_tests_that_import_or_name_it(top: Path, changed: str, names: list[str]) -> None:
    assert [each.stem for each in reached(top, [Path(changed)], TESTS)] == names
