"""Image archives in OCI form that leave out what the receiver has already."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from devcluster.errors import ClusterError


def manifest_of(index: dict[str, Any], tag: str) -> dict[str, Any]:
    """The entry of an OCI index for a tag (pure)."""
    for entry in index["manifests"]:
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            found: dict[str, Any] = entry
            return found
    raise ClusterError(f"the image layout holds no {tag!r}")


def digests_of(entry: dict[str, Any], manifest: dict[str, Any]) -> list[str]:
    """Everything that an image consists of, the manifest first (pure)."""
    return [entry["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]


def write_archive(layout: Path, tag: str, name: str, known: Collection[str], archive: Path) -> list[str]:
    """Write the image that `layout` holds under `tag` as an archive that will be called `name`.

    Layers whose digest is in `known` are left out; manifest and configuration never are. Returns the
    digests that went in.
    """
    entry = manifest_of(json.loads((layout / "index.json").read_text()), tag)
    manifest = json.loads(_blob(layout, entry["digest"]).read_text())
    always = {entry["digest"], manifest["config"]["digest"]}
    sent = [d for d in dict.fromkeys(digests_of(entry, manifest)) if d in always or d not in known]
    named = {**entry, "annotations": {"io.containerd.image.name": name}}
    index = {"schemaVersion": 2, "manifests": [named]}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", json.dumps(index).encode())
        for digest in sent:
            tar.add(_blob(layout, digest), f"blobs/{digest.replace(':', '/')}")
    return sent


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
