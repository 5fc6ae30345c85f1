"""A model on disk: a folder named by the hash of its manifest, which names the hash of every file beside it.

The manifest is canonical JSON, so the folder's name vouches for every byte. Nothing in it is a pickle: `model.onnx` is
what serves, `model.skops` is the same estimator for later study, read only with an exact list of allowed types.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec

from bellwether.messages.canonical import canonical_bytes, content_hash
from bellwether.training.calibration import Calibrator
from bellwether.training.evidence import Evidence

FORMAT = 1
MANIFEST = "manifest.json"
ONNX = "model.onnx"
SKOPS = "model.skops"
CARD = "card.md"
EVIDENCE = "evidence.json"
"""What the gate judges by. It stands beside the manifest: two models with the same bytes were judged the same."""


class ArtifactError(Exception):
    """A model folder that cannot be trusted; the message names the file and the fault."""


class Parity(msgspec.Struct, frozen=True):
    """How ONNX Runtime and scikit-learn agreed, one row per call, on all rows of training and evaluation."""

    rows: int
    largest_difference: float
    other_side: int
    """Rows on which the two would be acted on differently."""


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model is, what it was made of, and how it did."""

    format: int
    name: str
    symbol: str | None
    recipe_hash: str
    data_revision: str
    features: list[str]
    horizon_sessions: int
    trained_from: date
    trained_through: date
    """The last session whose bar was seen, labels included."""
    rows: int
    base_rate: float
    symbol_base_rates: dict[str, float]
    calibrator: Calibrator
    metrics: dict[str, float]
    gated: bool
    """Whether it did at least as well as the base rate on what it had not seen."""
    parity: Parity
    libraries: dict[str, str]
    files: dict[str, str]
    """SHA-256 by file name."""
    feature_version: str = ""
    """Hash of the definitions of its features; empty, and left out, in models of recipes of the first form."""
    estimator: str = ""
    """What learned, in words; empty in models of recipes of the first form."""
    expires_on: date | None = None
    """From this day on it opens no position; None: never."""


def version_of(manifest: Manifest) -> str:
    """Return the version of a model: the SHA-256 of its manifest's canonical bytes."""
    return content_hash(manifest)


def file_hash(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(content).hexdigest()


def write_artifact(root: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Put a model into the registry; it appears whole or not at all. The same model again changes nothing."""
    version = version_of(manifest)
    target = root / version
    if target.is_dir():
        for name in files.keys() - manifest.files.keys():
            # What stands beside the manifest may be missing in a folder that an earlier release wrote.
            if not (target / name).exists():
                _write(target / name, files[name])
        return target
    scratch = root / f".{version}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name, content in files.items():
        _write(scratch / name, content)
    _write(scratch / MANIFEST, canonical_bytes(manifest))
    try:
        scratch.rename(target)
    except OSError:
        # Another process was first: the content has the same name, so it is the same.
        shutil.rmtree(scratch, ignore_errors=True)
        if not target.is_dir():
            raise
    return target


def read_artifact(folder: Path) -> Manifest:
    """Return the manifest of a model folder after verifying every hash.

    Raises:
        ArtifactError: when the manifest is not the one that the folder is named by, or a file is not as it says.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        manifest = msgspec.json.decode(content, type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{folder / MANIFEST}: {error}") from error
    if manifest.format != FORMAT:
        raise ArtifactError(f"{folder / MANIFEST}: format {manifest.format} is not {FORMAT}: train the model again")
    if hashlib.sha256(content).hexdigest() != folder.name:
        raise ArtifactError(f"{folder / MANIFEST}: its hash is not the folder's name: it was changed after training")
    for name, wanted in manifest.files.items():
        read_file(folder, name, wanted)
    return manifest


def read_model(root: Path, version: str) -> tuple[Manifest, Evidence | None]:
    """Return a model's manifest, verified, and its evidence.

    Raises:
        ArtifactError: when one of them is not what it should be.
    """
    manifest = read_artifact(root / version)
    try:
        return manifest, msgspec.json.decode((root / version / EVIDENCE).read_bytes(), type=Evidence)
    except FileNotFoundError:
        return manifest, None
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{root / version / EVIDENCE}: {error}") from error


def read_file(folder: Path, name: str, wanted: str) -> bytes:
    """Return the bytes of a model's file after verifying its hash.

    Raises:
        ArtifactError: when it is missing or not as the manifest says.
    """
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{folder / name}: {error.strerror}") from error
    if file_hash(content) != wanted:
        raise ArtifactError(f"{folder / name}: its hash is not the manifest's: it was changed after training")
    return content


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
