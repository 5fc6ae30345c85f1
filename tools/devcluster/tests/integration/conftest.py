import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import build, needs
from devcluster.settings import find

HERE = Path(__file__).parent
OF_A_NODE = {"test_csi.py", "test_neighbours.py", "test_node.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    obstacle = no_node()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.cluster)
            if obstacle and item.path.name in OF_A_NODE:
                item.add_marker(pytest.mark.skip(reason=obstacle))


def no_node() -> str:
    """Return why no embedded node can be here, though a control plane can; empty where it can."""
    if os.geteuid() != 0:
        return "a node needs root: mounts, cgroups and networks of its own"
    missing = needs.missing_packages(needs.PACKAGES_OF_NODE)
    return f"a node needs the packages {' '.join(missing)}" if missing else ""


@pytest.fixture(scope="session")
def programs() -> Path:
    return build.ensure(find(), lambda text: print(text, file=sys.stderr))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path: the sockets of a node lie in it."""
    path = Path(tempfile.mkdtemp(prefix="devcluster-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
