from pathlib import Path

from devcluster.config import check_name
from environments.clusters import of_clone


def test_each_clone_has_a_cluster_of_its_own_for_a_purpose() -> None:
    names = {of_clone(purpose, Path(root)) for purpose in ("e2e", "other") for root in ("/src/a", "/src/b")}
    assert len(names) == 4
    assert of_clone("e2e", Path("/src/a")) in names
    for name in names:
        assert check_name(name) == name
