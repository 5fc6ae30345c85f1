"""Has feeds parsed in a process of their own, one after the other, each within limits of time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from bellwether.sentiment.csv_news import NewsError
from bellwether.sentiment.raw import Raw

CHILD = "bellwether.sentiment.feed_child"
LONGEST_ANSWER = 4 * 1024 * 1024


class _Answer(msgspec.Struct):
    headlines: list[tuple[datetime, str, str]] = []
    error: str = ""


@dataclass
class Parser:
    """Parses feeds; whatever they hold, no more than one small process suffers."""

    cpu_seconds: int = 5
    """How long one feed may keep a processor busy."""
    seconds: float = 30.0
    """The longest that it may take in all, on a machine with other work."""
    most_bytes: int = 128 * 1024 * 1024
    """Address space of the process; about 35 MiB are taken before it has read anything."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def headlines(self, body: bytes, content_type: str, source: str, fetched: datetime) -> list[Raw]:
        """Return a feed's headlines.

        Raises:
            NewsError: when it is no feed, or parsing it takes too long or too much memory.
        """
        settings = {
            "bytes": self.most_bytes,
            "cpu_seconds": self.cpu_seconds,
            "content_type": content_type,
            "source": source,
            "fetched": fetched.isoformat(),
        }
        async with self._turn:
            line = await self._run(json.dumps(settings).encode() + b"\n" + body)
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.MsgspecError as error:
            raise NewsError("the process that parses it gave no readable answer") from error
        if answer.error:
            raise NewsError(answer.error)
        return [Raw(published, source, title) for published, source, title in answer.headlines]

    async def _run(self, given: bytes) -> bytes:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            CHILD,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LONGEST_ANSWER,
        )
        assert child.stdin is not None  # noqa: S101 (pipes were asked for)
        assert child.stdout is not None  # noqa: S101
        try:
            async with asyncio.timeout(self.seconds):
                # It may end before it has read everything.
                with contextlib.suppress(ConnectionError):
                    child.stdin.write(given)
                    await child.stdin.drain()
                    child.stdin.close()
                line = await child.stdout.readline()
                code = await child.wait()
        except TimeoutError:
            raise NewsError(f"parsing it takes longer than {self.seconds:g} s") from None
        except ValueError as error:
            raise NewsError(f"its headlines take more than {LONGEST_ANSWER} bytes") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        if code == -signal.SIGXCPU:
            raise NewsError(f"parsing it takes more than {self.cpu_seconds} s of a processor")
        if code != 0 or not line:
            raise NewsError(f"the process that parses it ended with {code}: it may need too much memory")
        return line
