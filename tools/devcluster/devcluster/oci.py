"""Image archives in OCI form that leave out what the receiver has already."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any


def digests_of(manifest: dict[str, Any]) -> list[str]:
    """The configuration and then the layers of an image, each once (pure)."""
    layers = (layer["digest"] for layer in manifest["layers"])
    return list(dict.fromkeys([manifest["config"]["digest"], *layers]))


def index_for(manifest: bytes, name: str) -> dict[str, Any]:
    """The OCI index that says: this archive holds one image, and it is called `name` (pure)."""
    entry = {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}",
        "size": len(manifest),
        "annotations": {"io.containerd.image.name": name},
    }
    return {"schemaVersion": 2, "manifests": [entry]}


def write_archive(folder: Path, name: str, known: Collection[str], out: IO[bytes]) -> list[str]:
    """Write the image in `folder` (buildah's `dir:` form) to `out` as an archive named `name`.

    Layers whose digest is in `known` are left out; manifest and configuration never are. Returns the
    digests of what went in, the manifest aside.
    """
    text = (folder / "manifest.json").read_bytes()
    index = index_for(text, name)
    manifest = json.loads(text)
    sent = [d for d in digests_of(manifest) if d == manifest["config"]["digest"] or d not in known]
    with tarfile.open(fileobj=out, mode="w|") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", json.dumps(index).encode())
        _add(tar, _place(index["manifests"][0]["digest"]), text)
        for digest in sent:
            tar.add(folder / digest.partition(":")[2], _place(digest))
    return sent


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
