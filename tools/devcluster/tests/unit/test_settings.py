from pathlib import Path

import pytest

from devcluster.errors import ClusterError
from devcluster.settings import Settings, find, read

TABLE = """
[tool.devcluster]
prefix = "shop"
cache = "shop/clusters"
targets = ["web"]

[tool.devcluster.packages]
restic = "restic"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(TABLE)
    return tmp_path


def test_a_project_that_says_nothing_has_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'\n")
    found = read(tmp_path)
    assert found == Settings(tmp_path)
    assert (found.prefix, found.cache_home) == ("devcluster", Path("/cache/devcluster"))
    assert found.state_home == Path.home() / ".local" / "state" / "devcluster"


def test_settings_are_those_of_the_nearest_project_above_that_has_some(project: Path) -> None:
    inside = project / "web" / "src"
    inside.mkdir(parents=True)
    (project / "web" / "pyproject.toml").write_text("[project]\nname = 'web'\n")
    found = find(inside)
    assert found == read(project)
    assert (found.project, found.prefix, found.targets) == (project, "shop", ("web",))
    assert found.packages == {"restic": "restic"}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('prefiks = "a"', r"has 'prefiks'; it may have: prefix, cache, state, targets, packages"),
        ('prefix = "A b"', r"has prefix = 'A b'; it must be 1 to 20 lower-case letters and digits, a letter first"),
        ('targets = "web"', r"has targets = 'web'; it must be a list"),
        ("prefix = ", r"pyproject.toml cannot be read: "),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_file(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.devcluster]\n{line}\n")
    with pytest.raises(ClusterError, match=complaint):
        find(tmp_path)
