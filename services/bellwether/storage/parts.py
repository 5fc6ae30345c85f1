"""Files on disk that arrive and leave part by part."""

from __future__ import annotations

from pathlib import Path

from bellwether.messages.parts import PART, FilePart


def append_part(path: Path, offset: int, total: int, content: bytes, *, resumes: bool = False) -> int:
    """Append a part to a file of `total` bytes in the end, and return how many bytes are there.

    A part that begins elsewhere than where the file ends changes nothing: the sender goes on from what is returned. One
    that begins at 0 begins the file again, unless it `resumes`: where the name says the content.
    """
    there = path.stat().st_size if path.exists() else 0
    if offset == 0 and there and not resumes:
        path.unlink()
        there = 0
    if offset != there or there + len(content) > total:
        return there
    with path.open("ab") as stream:
        stream.write(content)
    return there + len(content)


def read_part(path: Path, offset: int) -> FilePart:
    """Return the part of a file that begins at a byte; empty behind its end.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open("rb") as stream:
        total = stream.seek(0, 2)
        stream.seek(min(max(offset, 0), total))
        return FilePart(stream.read(PART), total)
