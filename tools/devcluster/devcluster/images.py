"""The project's images: built from the Dockerfile with buildah, kept by the hash of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster import baseimage, kernel, needs
from devcluster.command import run, succeeds
from devcluster.dockerfile import copied, only_for
from devcluster.errors import ClusterError
from devcluster.oci import write_archive
from devcluster.runtime import Runtime
from devcluster.settings import Settings
from devcluster.slots import locked
from devcluster.store import Store

_PYTHON = "3.11"
_KEPT_TAGS = 3
_BUILD_TOOLS = ("setuptools", "wheel")
_SKIPPED = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})

Report = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """One image to be: its target in the Dockerfile, its base image, the text for it, its name with a hash."""

    target: str
    base: str
    dockerfile: str
    name: str


def recipe(target: str, root: Path, prefix: str) -> Recipe:
    """What to build for a target from the tree as it is now; its name begins with localhost/ and the prefix."""
    text = only_for((root / "Dockerfile").read_text(), target)
    base = baseimage.name(prefix)
    digest = hashlib.sha256(f"{base}\0{text}".encode())
    for path in copied(text):
        for file in _files(root / path):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(root)}\0{len(content)}\0".encode() + content)
    return Recipe(target, base, text, f"localhost/{prefix}/{target}:dev-{digest.hexdigest()[:12]}")


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise ClusterError(f"the Dockerfile copies {path}, which is not there")
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(set(folders) - _SKIPPED)
        yield from (Path(folder) / name for name in sorted(names) if not name.endswith(".pyc"))


def ensure(settings: Settings, runtime: Runtime | None, targets: Sequence[str], report: Report) -> dict[str, str]:
    """Build what is missing and load it into the node, when one is given: target -> image name."""
    missing = needs.missing_packages(needs.PACKAGES_OF_IMAGES)
    if missing:
        raise ClusterError(
            f"building images needs the Debian packages {' '.join(missing)}: "
            "`python -m devcluster needs --install` installs them"
        )
    if os.geteuid() != 0:
        raise ClusterError("building images needs root")
    store = Store(settings.cache_home / "images")
    return {target: _ensure_one(target, settings, runtime, store, report) for target in targets}


def _ensure_one(target: str, settings: Settings, runtime: Runtime | None, store: Store, report: Report) -> str:
    root = settings.project or Path.cwd()
    wanted = recipe(target, root, settings.prefix)
    if runtime and runtime.has_image(wanted.name):
        return wanted.name
    with locked(store.home / "lock"), tempfile.TemporaryDirectory(dir=store.home) as folder:
        if not store.has(wanted.name):
            context = Path(folder) / "context"
            copy_inputs(wanted, root, context)
            wanted = recipe(target, context, settings.prefix)  # someone may have edited the tree since
            if not store.has(wanted.name):
                _build(store, wanted, context, report)
        if runtime:
            _load(store, wanted, runtime, report)
    return wanted.name


def copy_inputs(wanted: Recipe, root: Path, into: Path) -> None:
    """Copy what an image is made of: an edit during the build must not slip in under the old name."""
    into.mkdir()
    shutil.copy2(root / "Dockerfile", into / "Dockerfile")
    for path in copied(wanted.dockerfile):
        for file in _files(root / path):
            place = into / file.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)


def print_images(
    settings: Settings, runtime: Runtime | None, only: str | None, *, as_json: bool, report: Report
) -> None:
    """Ensure the images and print their names."""
    if not settings.targets:
        raise ClusterError("no image is named: that is done by `targets` in [tool.devcluster] of pyproject.toml")
    if only is not None and only not in settings.targets:
        raise ClusterError(f"--only is {only!r}; it must be one of {', '.join(settings.targets)}")
    names = ensure(settings, runtime, [only] if only else settings.targets, report)
    print(json.dumps(names) if as_json else "\n".join(names.values()))


def _build(store: Store, wanted: Recipe, context: Path, report: Report) -> None:
    began = time.monotonic()
    try:
        baseimage.ensure(store, wanted.base, report)
        wheels = _wheels(store.home, wanted, context, report)
        report(f"building {wanted.name}")
        file = context.with_name("Dockerfile")
        file.write_text(wanted.dockerfile)
        arguments = {
            "BASE_IMAGE": wanted.base,
            "PIP_OPTIONS": "--no-index --find-links=/wheels",
        }
        store.build(file, context, wanted.name, arguments, {wheels: "/wheels"})
        store.prune(wanted.name, keep=_KEPT_TAGS)
    finally:
        kernel.unmount_below(store.home)
    report(f"built {wanted.name} in {time.monotonic() - began:.0f} s")


def _load(store: Store, wanted: Recipe, runtime: Runtime, report: Report) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=store.home) as folder:
            image = Path(folder) / "image"
            store.push(wanted.name, f"dir:{image}")
            known = runtime.blobs()
            runtime.load_stream(lambda out: write_archive(image, wanted.name, known, out))
    finally:
        kernel.unmount_below(store.home)
    if not runtime.has_image(wanted.name):
        raise ClusterError(f"the node did not take {wanted.name}")
    report(f"loaded {wanted.name}")


def _wheels(home: Path, wanted: Recipe, context: Path, report: Report) -> Path:
    """The folder of the packages that a target's requirement files name, fetched if missing.

    A build container has neither this machine's certificates nor its pip settings, so packages are
    fetched here. The folder of the requirements before goes.
    """
    files = [context / path for path in copied(wanted.dockerfile) if path.startswith("requirements/")]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = home / "wheels" / wanted.target / digest
    if folder.exists():
        return folder
    report(f"fetching the packages of {', '.join(f.name for f in files)}")
    work = folder.with_suffix(".new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    fetch += ["--prefer-binary", f"--python-version={_PYTHON}", f"--dest={work}"]
    for file in files:
        run([*fetch, "--require-hashes", "-r", str(file)], seconds=1200)
    if any(file.suffix == ".gz" for file in work.iterdir()):  # a source package is built in the image
        run([*fetch, *_BUILD_TOOLS], seconds=300)
    for old in folder.parent.iterdir():
        if old != work:
            shutil.rmtree(old)
    work.rename(folder)
    return folder


@contextmanager
def archive_of(settings: Settings, image: str) -> Iterator[Path]:
    """A file with this image: the file itself if it is one, else written from buildah's images."""
    if Path(image).is_file():
        yield Path(image)
        return
    home = settings.cache_home / "images"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        archive = Path(folder) / "image.tar"
        target = f"docker-archive:{archive}:{image}"
        ours = Store(home)
        try:
            if ours.has(image):
                ours.push(image, target)
            elif not succeeds(["buildah", "push", image, target], seconds=300):
                raise ClusterError(f"{image!r} is neither an image archive nor an image that buildah has")
        finally:
            kernel.unmount_below(home)
        yield archive
