"""A conversation with the process that asks Yahoo: a line per symbol; each answer is bounded, and all together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bellwether.market_data.yahoo.answers import Answer, Refused, read_answer
from bellwether.market_data.yahoo.due import Ask
from bellwether.runtime.clock import monotonic

CHILD = "bellwether.market_data.yahoo.child"
LONGEST_LINE = 16 * 1024 * 1024
LAST_WORDS = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reach:
    """How Yahoo is reached, and how long it may take."""

    cache: Path
    """The folder in which yfinance keeps its cookie and its time zones; it is made."""
    proxy: str | None = None
    authorities: Path | None = None
    """Certificates that are trusted in place of the usual ones."""
    answer_seconds: float = 45.0
    """The longest that one symbol may take, the start of the process included."""
    batch_seconds: float = 300.0
    """The longest that all answers of a batch may take, waiting for the pace not counted."""


class Conversation:
    """One running child."""

    def __init__(self, child: asyncio.subprocess.Process, reach: Reach) -> None:
        self._child = child
        self._reach = reach
        self._left = reach.batch_seconds
        self._said: list[str] = []
        self._listening = asyncio.ensure_future(self._listen())

    async def ask(self, ask: Ask) -> Answer:
        """Return the child's answer for a symbol's bars.

        Raises:
            Refused: `network` when there is none in time, `down` when the process ended.
        """
        return await self._ask(ask.symbol, {"symbol": ask.symbol, "start": ask.start.isoformat()})

    async def ask_news(self, symbol: str, count: int) -> Answer:
        """Return the child's answer for a symbol's newest articles; raises as `ask` does."""
        return await self._ask(symbol, {"symbol": symbol, "news": count})

    async def _ask(self, symbol: str, line: Mapping[str, str | int]) -> Answer:
        assert self._child.stdin is not None  # noqa: S101 (pipes were asked for)
        assert self._child.stdout is not None  # noqa: S101
        began = monotonic()
        seconds = min(self._reach.answer_seconds, self._left)
        try:
            async with asyncio.timeout(seconds):
                self._child.stdin.write(json.dumps(line).encode() + b"\n")
                await self._child.stdin.drain()
                answer = await self._child.stdout.readline()
        except TimeoutError:
            raise Refused("network", f"Yahoo gave no answer for {symbol} within {seconds:.0f} s") from None
        except OSError:
            answer = b""
        except ValueError as error:
            raise Refused("shape", f"{symbol}: an answer of more than {LONGEST_LINE} bytes") from error
        finally:
            self._left -= monotonic() - began
        if not answer:
            raise Refused("down", f"the process that asks Yahoo {await self._last_words()}")
        return read_answer(answer)

    async def end(self) -> None:
        """End the process."""
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        await self._child.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _last_words(self) -> str:
        code = await self._child.wait()
        await asyncio.gather(self._listening, return_exceptions=True)
        if code < 0:
            return f"was ended by signal {-code}" + (": out of memory?" if code == -9 else "")
        return f"ended with {code}: {self._said[-1] if self._said else 'it said nothing'}"

    async def _listen(self) -> None:
        assert self._child.stderr is not None  # noqa: S101
        async for line in self._child.stderr:
            text = line.decode("utf-8", "replace").strip()
            if text:
                self._said = [*self._said[1 - LAST_WORDS :], text]
                _log.debug("yahoo: %s", text)


@contextlib.asynccontextmanager
async def conversation(reach: Reach) -> AsyncIterator[Conversation]:
    """Start a child that asks Yahoo, and end it with the block."""
    reach.cache.mkdir(parents=True, exist_ok=True)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    found = Conversation(child, reach)
    try:
        assert child.stdin is not None  # noqa: S101
        settings = {
            "cache": str(reach.cache),
            "proxy": reach.proxy,
            "authorities": None if reach.authorities is None else str(reach.authorities),
        }
        child.stdin.write(json.dumps(settings).encode() + b"\n")
        yield found
    finally:
        await found.end()
