"""Finding out what this machine has."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from devcluster import needs, settings
from environments.choose import Facts

ROOT = Path(__file__).resolve().parents[3]
CLUSTERS = settings.read(ROOT)
"""What pyproject.toml says of the clusters of tools/devcluster."""


def facts() -> Facts:
    """Return what decides where the system can run."""
    missing = tuple(needs.missing_packages({**needs.PACKAGES_OF_NODE, **needs.PACKAGES_OF_IMAGES}))
    return Facts(
        docker_answers=_docker_answers(),
        is_linux=sys.platform == "linux",
        is_root=os.geteuid() == 0,
        can_install=not missing or shutil.which("apt-get") is not None,
        missing_packages=missing,
    )


def _docker_answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def processor() -> str:
    """Return the processor's name, for pages that state what a figure was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()
