"""What happens, as a stream to whoever watches: each watcher has a small queue and never slows anybody down."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

QUEUE = 256
WATCHERS = 32
"""How many may watch one gateway at once: each costs a connection and a queue. Pages of one browser share a stream."""
HEARTBEAT_SECONDS = 15.0
KEEPALIVE = b": alive\n\n"


class _Watcher:
    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.missed = 0
        self.wake = asyncio.Event()

    def offer(self, message: bytes) -> None:
        if len(self.waiting) >= QUEUE:
            self.waiting.popleft()
            self.missed += 1
        self.waiting.append(message)
        self.wake.set()


class Full(Exception):
    """There are as many watchers as there may be."""


class Feed:
    """Hands each message to all present watchers."""

    def __init__(self, limit: int = WATCHERS) -> None:
        self.limit = limit
        self._watchers: set[_Watcher] = set()
        self._closed = False

    @property
    def watchers(self) -> int:
        """How many are watching."""
        return len(self._watchers)

    def send(self, kind: str, data: Any) -> None:
        """Send a message; without watchers this costs nothing."""
        if self._watchers:
            message = sse(kind, data)
            for watcher in self._watchers:
                watcher.offer(message)

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for watcher in self._watchers:
            watcher.wake.set()

    @contextmanager
    def watching(self) -> Iterator[AsyncIterator[bytes]]:
        """Give the messages from now on, with a sign of life every 15 s.

        A watcher that is too slow loses the oldest messages and gets `missed` with their number instead.

        Raises:
            Full: at once, if there are too many watchers already.
        """
        if len(self._watchers) >= self.limit:
            raise Full
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            yield self._messages(watcher)
        finally:
            self._watchers.discard(watcher)

    async def _messages(self, watcher: _Watcher) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        while not self._closed:
            if watcher.missed:
                missed, watcher.missed = watcher.missed, 0
                yield sse("missed", {"messages": missed})
            while watcher.waiting:
                yield watcher.waiting.popleft()
            watcher.wake.clear()
            try:
                await asyncio.wait_for(watcher.wake.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                yield KEEPALIVE


def sse(kind: str, data: Any) -> bytes:
    """Return one message in the form of server-sent events."""
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'), default=str)}\n\n".encode()
