"""What a program imports is named in the requirements of its image."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from environments.machine import ROOT

pytestmark = pytest.mark.integration

# Imports every module of a package while the packages that are not to be there cannot be found.
PROGRAM = """
import importlib, pkgutil, sys
absent = set(sys.argv[2].split(","))

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
package = importlib.import_module(sys.argv[1])
found = [one.name for one in pkgutil.walk_packages(package.__path__, f"{sys.argv[1]}.") if "__main__" not in one.name]
for name in found:
    importlib.import_module(name)
print(len(found))
"""


def named(requirements: Path) -> set[str]:
    """Return the distributions of a file of hashed requirements, their names in lower case with hyphens."""
    return {hyphens(one) for one in re.findall(r"^([\w.-]+)==", requirements.read_text(), re.MULTILINE)}


def hyphens(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def absent(requirements: Path) -> set[str]:
    """Return what is installed here and would not be where only these requirements are."""
    there = named(requirements)
    return {package for package, by in packages_distributions().items() if not there & {hyphens(one) for one in by}}


def imported(package: str, without: set[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, package, ",".join(sorted(without))]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": ":".join(sys.path)})


def test_the_operator_imports_only_what_its_image_has() -> None:
    done = imported("bellwether_operator", absent(ROOT / "requirements" / "operator.txt"))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 50


@pytest.mark.parametrize("missing", ["kopf", "msgspec"])
def test_a_package_that_the_image_lacks_is_named(missing: str) -> None:
    done = imported("bellwether_operator", {*absent(ROOT / "requirements" / "operator.txt"), missing})
    assert done.returncode == 1
    assert f"No module named '{missing}'" in done.stderr
