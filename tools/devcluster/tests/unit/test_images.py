from pathlib import Path

import pytest

from devcluster.errors import ClusterError
from devcluster.images import copy_inputs, recipe

DOCKERFILE = "FROM x AS services\nCOPY services /app\nFROM x AS operator\nCOPY operator /app\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in ("services/app", "operator/app"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "main.py").write_text("print(1)\n")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def _names(tree: Path) -> tuple[str, str]:
    return recipe("services", tree, "some").name, recipe("operator", tree, "some").name


def test_an_image_is_named_after_what_is_in_it(tree: Path) -> None:
    services, operator = _names(tree)
    assert services.startswith("localhost/some/services:dev-")
    assert len(services.rpartition("-")[2]) == 12
    (tree / "services/app/main.py").write_text("print(2)\n")
    changed, same = _names(tree)
    assert changed != services
    assert same == operator


def test_a_moved_file_is_a_change(tree: Path) -> None:
    before = _names(tree)[0]
    (tree / "services/app/main.py").rename(tree / "services/app/other.py")
    assert _names(tree)[0] != before


def test_bytecode_and_file_times_are_no_change(tree: Path) -> None:
    before = _names(tree)
    (tree / "services/app/__pycache__").mkdir()
    (tree / "services/app/__pycache__/main.pyc").write_bytes(b"x")
    (tree / "services/app/main.py").touch()
    assert _names(tree) == before


def test_a_path_that_is_not_there_is_named(tree: Path) -> None:
    (tree / "Dockerfile").write_text(DOCKERFILE.replace("COPY operator", "COPY nothing"))
    with pytest.raises(ClusterError, match=r"the Dockerfile copies .*/nothing, which is not there"):
        recipe("operator", tree, "some")


def test_a_copy_of_the_inputs_makes_the_same_image_and_holds_nothing_else(tree: Path) -> None:
    wanted = recipe("services", tree, "some")
    context = tree / "context"
    copy_inputs(wanted, tree, context)
    (tree / "services/app/main.py").write_text("edited during the build\n")
    assert recipe("services", context, "some").name == wanted.name
    assert sorted(p.name for p in context.rglob("*") if p.is_file()) == ["Dockerfile", "main.py"]
