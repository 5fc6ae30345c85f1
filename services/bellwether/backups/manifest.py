"""What a backup consists of, and whether what was found is that. Pure.

The manifest is a file in the backup, `manifest.json`, beside the pieces that it names. Its own SHA-256 is a tag of the
snapshot, so that a manifest that was changed is distinguished from the one that was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from bellwether.backups.errors import BackupError

FORMAT = 1
MANIFEST = "manifest.json"
Kind = Literal["full", "incremental"]
PieceKind = Literal["database", "stream", "model", "configuration"]


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of a backup."""

    kind: PieceKind
    name: str
    """What it is: ledger.db, EVENTS, the file of a model below its service's folder."""
    path: str
    """Where it lies, relative to the backup's top."""
    size: int
    """Bytes."""
    sha256: str
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    """Of a database: rows by table."""
    last: dict[str, int] = msgspec.field(default_factory=dict)
    """Of a database: the highest row number by table. Of a stream: its last sequence."""
    version: int = 0
    """Of a database: the version of its tables."""
    messages: int = 0
    """Of a stream: how many messages it holds."""


class LeftOut(msgspec.Struct, frozen=True):
    """What a system has and a backup does not hold, and why."""

    name: str
    why: str


class Manifest(msgspec.Struct, frozen=True):
    """All that is known of a backup besides its pieces' contents."""

    format: int
    id: str
    system: str
    kind: Kind
    release: str
    cut: datetime
    """When the first piece was copied, UTC: what was written later may be missing."""
    session: date | None
    """The newest session whose book was closed; none before the first."""
    declaration: dict[str, Any]
    """The whole TradingSystem."""
    pieces: list[Piece]
    left_out: list[LeftOut]

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(piece.size for piece in self.pieces)

    def of_kind(self, kind: PieceKind) -> list[Piece]:
        """Return the pieces of one kind, by name."""
        return sorted((piece for piece in self.pieces if piece.kind == kind), key=lambda piece: piece.name)


class ManifestError(BackupError):
    """A manifest cannot be used; the message says why."""


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as it is stored."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def digest(content: bytes) -> str:
    """Return the SHA-256 of a stored manifest, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes, expected: str | None) -> Manifest:
    """Return a stored manifest; `expected` is the digest that the snapshot's tag gives, None where it has none.

    Raises:
        ManifestError: if it is not the manifest that was written, or of a later release.
    """
    if expected is not None and digest(content) != expected:
        raise ManifestError(f"{MANIFEST} was changed: its SHA-256 is {digest(content)}, {expected} was written")
    try:
        found = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ManifestError(f"{MANIFEST} cannot be read: {error}") from None
    if found.format > FORMAT:
        raise ManifestError(f"{MANIFEST} has format {found.format}, this release reads up to {FORMAT}: use a newer one")
    return found


def differences(expected: Sequence[Piece], found: Mapping[str, Piece | str]) -> list[str]:
    """Return in words where what was found differs from the manifest; empty when all of it is there and the same.

    `found` has, by path, what a piece is now, or why it cannot be read. A path that the manifest does not name is a
    difference too.
    """
    problems: list[str] = []
    known = {piece.path: piece for piece in expected}
    for path in sorted(known):
        now = found.get(path)
        if now is None:
            problems.append(f"{path}: missing")
        elif isinstance(now, str):
            problems.append(f"{path}: {now}")
        else:
            problems += _of_piece(known[path], now)
    return problems + [f"{path}: not named in the manifest" for path in sorted(set(found) - set(known))]


def _of_piece(was: Piece, now: Piece) -> list[str]:
    if was.size != now.size:
        return [f"{was.path}: has {now.size} bytes, had {was.size}"]
    if was.sha256 != now.sha256:
        return [f"{was.path}: its content was changed (SHA-256 {now.sha256[:12]}, was {was.sha256[:12]})"]
    return [
        *_of_figures(was.path, "rows", was.rows, now.rows),
        *_of_figures(was.path, "last number", was.last, now.last),
    ]


def _of_figures(path: str, what: str, was: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    return [
        f"{path}: {table}: {what} {now.get(table, 'unknown')}, was {was.get(table, 'unknown')}"
        for table in sorted(set(was) | set(now))
        if was.get(table) != now.get(table)
    ]
