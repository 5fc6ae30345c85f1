"""The package devcluster is of use to others: it knows nothing of this project."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from environments.machine import CLUSTERS, ROOT

PACKAGE = ROOT / "tools" / "devcluster"


def _files() -> list[Path]:
    made = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", "dist"}
    return [file for file in PACKAGE.rglob("*") if file.is_file() and not made & set(file.parts)]


def test_no_file_of_the_package_names_this_project() -> None:
    assert len(_files()) > 50
    assert [str(file) for file in _files() if b"bellwether" in file.read_bytes().lower()] == []


def test_this_projects_clusters_keep_what_they_built_and_their_names() -> None:
    assert (CLUSTERS.project, CLUSTERS.prefix, CLUSTERS.cache_home.name) == (ROOT, "bellwether", "bellwether")
    assert CLUSTERS.state_home.parts[-2:] == ("bellwether", "devcluster")


def test_an_installed_package_starts_anywhere_and_has_the_sources_of_its_programs(tmp_path: Path) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=copy, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("devcluster-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    script = "from devcluster.settings import find, go_module; print(find().prefix, (go_module() / 'go.mod').exists())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "devcluster True\n", done.stderr
