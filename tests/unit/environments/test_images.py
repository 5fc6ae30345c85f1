"""What the Dockerfile puts into each image."""

from devcluster.dockerfile import copied, only_for
from environments.machine import CLUSTERS, ROOT


def test_the_operators_image_gets_only_the_operators_packages() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert [p for p in copied(only_for(text, "operator")) if p.startswith("requirements/")] == [
        "requirements/operator.txt"
    ]
    assert "services/bellwether" in copied(only_for(text, "services"))


def test_code_is_copied_last_so_that_its_change_keeps_the_dependencies() -> None:
    for target in CLUSTERS.targets:
        paths = copied(only_for((ROOT / "Dockerfile").read_text(), target))
        kinds = [path.startswith("requirements/") for path in paths]
        assert kinds == sorted(kinds, reverse=True)
