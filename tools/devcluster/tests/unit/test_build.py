from pathlib import Path

import pytest

from devcluster.build import build_command, go_sources, is_new_enough, source_hash
from devcluster.errors import ClusterError
from devcluster.settings import go_module


def test_versions_are_stamped_from_go_mod() -> None:
    text = (go_module() / "go.mod").read_text()
    link = build_command("go", text, Path("/out"))[5]
    assert "k8s.io/component-base/version.gitVersion=v1." in link
    assert "helm.sh/helm/v4/internal/version.version=v4." in link


def test_a_go_mod_without_kubernetes_is_refused() -> None:
    with pytest.raises(ClusterError, match=r"go\.mod names no version of k8s\.io/kubernetes"):
        build_command("go", "module x\n", Path("/out"))


def test_the_cache_follows_the_sources_and_the_recipe() -> None:
    names = {
        source_hash({"a.go": b"1"}, "r"),
        source_hash({"a.go": b"2"}, "r"),
        source_hash({"b.go": b"1"}, "r"),
        source_hash({"a.go": b"1"}, "s"),
        source_hash({"a.go": b"1", "b.go": b""}, "r"),
    }
    assert len(names) == 5
    assert source_hash({"a": b"", "b": b"x"}, "r") == source_hash({"b": b"x", "a": b""}, "r")


def test_tests_of_the_go_programs_do_not_count_as_sources(tmp_path: Path) -> None:
    for name in ("main.go", "main_test.go", "go.mod", "go.sum", "README.md"):
        (tmp_path / name).write_text(name)
    assert sorted(go_sources(tmp_path)) == ["go.mod", "go.sum", "main.go"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("go1.26.8", True), ("go1.27rc1", True), ("go2.0", True), ("go1.19.8", False), ("", False)],
)
def test_an_old_compiler_is_passed_over(version: str, expected: bool) -> None:
    assert is_new_enough(version, "1.26") is expected
