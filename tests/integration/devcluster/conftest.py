import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import build

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def programs() -> Path:
    return build.ensure(lambda text: print(text, file=sys.stderr))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path: the sockets of a node lie in it."""
    path = Path(tempfile.mkdtemp(prefix="devcluster-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
