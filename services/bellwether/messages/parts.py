"""Files that go over the bus part by part, to their owner or from there."""

from __future__ import annotations

import msgspec

PART = 192 * 1024
"""Bytes of one part: a message has room for that, written as base64."""


class FilePart(msgspec.Struct, frozen=True):
    """A part of a file of `total` bytes."""

    content: bytes
    total: int


class FileState(msgspec.Struct, frozen=True):
    """How much of a file is there, in bytes; `complete` once the whole is there and every hash is right."""

    received: int
    complete: bool
