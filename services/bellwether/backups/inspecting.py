"""What a folder of pieces holds: each file's hash, and what can be counted in it."""

from __future__ import annotations

from pathlib import Path

from bellwether.backups.databases import CopyError, figures_of
from bellwether.backups.manifest import MANIFEST, Manifest, Piece, PieceKind, differences
from bellwether.backups.source import DATABASES, STREAMS
from bellwether.backups.streams import StreamError, state_in
from bellwether.storage.folders import digest_of, listing


def pieces_in(folder: Path) -> dict[str, Piece | str]:
    """Return every piece by its path, or in words why it cannot be read; the manifest itself is none."""
    names = [one.name for one in folder.iterdir() if one.name != MANIFEST]
    return {path: _piece(folder, path) for path in listing(folder, names).files}


def compare(manifest: Manifest, folder: Path) -> list[str]:
    """Return in words where a folder is not what the manifest says; empty when it is."""
    return differences(manifest.pieces, pieces_in(folder))


def _piece(folder: Path, path: str) -> Piece | str:
    file = folder / path
    top, _, rest = path.partition("/")
    try:
        size, sha256 = file.stat().st_size, digest_of(file)
        if top == DATABASES:
            found = figures_of(file)
            return Piece("database", rest, path, size, sha256, found.rows, found.last, found.version)
        if top == STREAMS:
            state = state_in(file)
            name = rest.removesuffix(".snapshot")
            return Piece("stream", name, path, size, sha256, last={name: state.last}, messages=state.messages)
        kind: PieceKind = "model" if rest else "configuration"
        return Piece(kind, rest or path, path, size, sha256)
    except (CopyError, StreamError) as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
