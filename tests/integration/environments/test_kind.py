import subprocess
import sys

import pytest

from devcluster import build
from environments.machine import CLUSTERS, ROOT
from harness.until import DEADLINE

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


def test_our_kind_configuration_is_one_that_kind_understands() -> None:
    program = build.ensure(CLUSTERS, lambda text: print(text, file=sys.stderr)) / "kindconfig"
    file = ROOT / "tests" / "e2e" / "kind.yaml"
    found = subprocess.run([program, file], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("node control-plane")
