import os
import platform

import pytest

from devcluster import needs
from devcluster.config import Level
from devcluster.errors import ClusterError


def test_a_package_is_named_once_however_many_programs_lack() -> None:
    lacking = {"ctr", "containerd", "buildah", "cni:bridge"}
    programs = {**needs.PACKAGES_OF_NODE, **needs.PACKAGES_OF_IMAGES}
    found = needs.missing_packages(programs, lambda program: program not in lacking)
    assert found == ["buildah", "containerd", "containernetworking-plugins"]


def test_a_node_without_root_or_packages_says_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(needs, "missing_packages", lambda _: ["containerd", "runc"])
    with pytest.raises(ClusterError, match=r"Missing: root: .*; the Debian packages containerd runc: .*--install"):
        needs.check(Level.NODE)
    needs.check(Level.CONTROL_PLANE)


def test_another_system_than_linux_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(ClusterError, match="this is Darwin; the embedded cluster needs Linux"):
        needs.check(Level.CONTROL_PLANE)
