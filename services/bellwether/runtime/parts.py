"""Sends files to a peer and fetches them from there, part by part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bellwether.messages.parts import PART, FilePart, FileState


async def send_parts(content: bytes, put: Callable[[int, bytes], Awaitable[FileState]]) -> bool:
    """Send a file by `put(offset, part)`; return whether the peer has all that it waits for."""
    offset = 0
    while True:
        state = await put(offset, content[offset : offset + PART])
        offset = state.received
        if state.complete or offset >= len(content):
            return state.complete


async def fetch_parts(get: Callable[[int], Awaitable[FilePart]]) -> bytes:
    """Return the file whose parts `get(offset)` returns."""
    content = bytearray()
    while True:
        part = await get(len(content))
        content += part.content
        if len(content) >= part.total or not part.content:
            return bytes(content)
