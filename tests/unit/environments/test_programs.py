"""The environments over stand-ins of docker, kind and kubectl that write down what they are asked."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from devcluster.errors import ClusterError
from environments import kind_program, publish
from environments.clusters import CONFIRMED, Current, Kind, of_clone
from environments.machine import ROOT

PROGRAM = """#!/bin/sh
printf '%s\\n' "$(basename "$0") $*" >> "$ASKED"
case "$*" in
  "get clusters") printf 'bellwether\\n%s\\n' "$THERE" ;;
  "config current-context") echo production ;;
esac
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the programs were asked, a line each."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("docker", "kind", "kubectl"):
        (programs / name).write_text(PROGRAM)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("THERE", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(CONFIRMED, raising=False)
    return tmp_path / "asked"


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize("there", [False, True])
def test_the_tests_cluster_is_not_the_developers_own_nor_is_its_kubeconfig(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    mine = of_clone("e2e")
    if there:
        monkeypatch.setenv("THERE", mine)
    env = Kind(mine)
    env.up(quiet)
    env.down(quiet)
    changes = [line for line in asked.read_text().splitlines() if line != "kind get clusters"]
    assert [line.split()[1] for line in changes] == ["export" if there else "create", "delete"]
    assert all(f"--name {mine} --kubeconfig {tmp_path}/state/" in line for line in changes)
    assert env.kubectl()[1] == f"--kubeconfig={tmp_path}/state/bellwether/kind/{mine}.kubeconfig"
    assert Kind().kubectl() != env.kubectl()


def test_what_kubectl_points_at_is_used_only_when_somebody_says_so(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=f"kubectl points at 'production'.*set {CONFIRMED}=production"):
        Current().up(quiet)
    monkeypatch.setenv(CONFIRMED, "staging")
    with pytest.raises(ClusterError, match="production"):
        Current().up(quiet)
    monkeypatch.setenv(CONFIRMED, "production")
    Current().up(quiet)
    assert asked.read_text().splitlines()[-1] == "kubectl --context=production version"


def test_both_images_are_pushed_under_the_registrys_name_which_the_chart_is_given(asked: Path) -> None:
    made = publish.images("registry.example:5000/trading/", "1.2.3", quiet)
    services, operator = (f"registry.example:5000/trading/{name}:1.2.3" for name in ("services", "operator"))
    assert (made.services, made.operator) == (services, operator)
    assert asked.read_text().splitlines()[1:] == [
        f"docker build --target services --tag {services} {ROOT}",
        f"docker push {services}",
        f"docker build --target operator --tag {operator} {ROOT}",
        f"docker push {operator}",
    ]
    said = publish.installing(made)
    assert (
        "--set image.services.repository=registry.example:5000/trading/services --set image.services.tag=1.2.3" in said
    )


def test_without_a_registry_nothing_is_pushed(asked: Path) -> None:
    publish.images("", publish.app_version(), quiet)
    assert not [line for line in asked.read_text().splitlines() if " push " in line]


@pytest.mark.parametrize(
    ("registry", "tag", "words"),
    [
        ("Registry.Example", "1", "REGISTRY=Registry.Example"),
        ("https://r.example", "1", "HOST"),
        ("r.example", "a b", "TAG=a b"),
    ],
)
def test_a_name_that_no_image_can_have_is_refused(asked: Path, registry: str, tag: str, words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        publish.images(registry, tag, quiet)
    assert not asked.exists()


def test_kind_is_built_from_its_module_once_where_it_is_missing(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin" / "kind").unlink()
    go = tmp_path / "bin" / "go"
    go.write_text('#!/bin/sh\nprintf "%s\\n" "go $*" >> "$ASKED"\nmkdir -p "$GOBIN" && cp "$0" "$GOBIN/kind"\n')
    go.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kind_program, "find_go", lambda: str(go))
    first, second = kind_program.ensure_kind(quiet), kind_program.ensure_kind(quiet)
    assert first == second
    assert os.access(first, os.X_OK)
    assert asked.read_text().splitlines() == ["go install sigs.k8s.io/kind@v0.33.0"]


def test_the_workflow_of_a_public_ci_runs_what_the_makefile_has() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yaml").read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    asked = [target for step in steps if step.startswith("make ") for target in step.split()[1:]]
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"check", "unit", "e2e"} == set(asked) <= targets
    assert workflow["jobs"]["e2e"]["env"] == {"BELLWETHER_CLUSTER": "kind"}
