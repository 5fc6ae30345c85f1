"""Which events a service has handled, and who waits for them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

REMEMBERED = 1_000
"""Newest events whose end is known without asking the store. Only the events of the last step are asked for: two for
each symbol. Each takes 330 bytes, in every service that handles events."""


class _Waiter:
    """Somebody who waits for events."""

    __slots__ = ("future", "left")

    def __init__(self, left: set[str]) -> None:
        self.left = left
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def give_up(self) -> None:
        """End the wait, whatever is left."""
        if not self.future.done():
            self.future.set_result(None)


class HandledEvents:
    """Which events are done, and who waits for them."""

    def __init__(self) -> None:
        self._done: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._waiters: dict[tuple[str, str], list[_Waiter]] = {}

    def done(self, run: str, event_id: str, *, dead: bool = False) -> None:
        """Record that an event was processed, or given up."""
        self._done[run, event_id] = not dead
        if len(self._done) > REMEMBERED:
            self._done.popitem(last=False)
        for waiter in self._waiters.pop((run, event_id), ()):
            waiter.left.discard(event_id)
            # One that was given up ends the wait: the rest would not make it a success.
            if dead or not waiter.left:
                waiter.give_up()

    def missing(self, run: str, event_ids: Iterable[str]) -> list[str]:
        """Return those that are neither processed nor given up, in the order given."""
        return [one for one in event_ids if (run, one) not in self._done]

    def dead(self, run: str, event_ids: Iterable[str]) -> list[str]:
        """Return those that were given up."""
        return [one for one in event_ids if self._done.get((run, one)) is False]

    async def wait(self, run: str, event_ids: Iterable[str], timeout: float) -> None:
        """Wait until all of them are done or one of them is given up, for at most `timeout` seconds."""
        missing = self.missing(run, event_ids)
        if not missing or self.dead(run, event_ids):
            return
        waiter = _Waiter(set(missing))
        for event_id in missing:
            self._waiters.setdefault((run, event_id), []).append(waiter)
        # A timer of its own: `asyncio.timeout` costs three times as much, and a replay waits seven times a session.
        timer = asyncio.get_running_loop().call_later(timeout, waiter.give_up)
        try:
            await waiter.future
        finally:
            timer.cancel()
            for event_id in waiter.left:
                waiting = self._waiters.get((run, event_id), [])
                if waiter in waiting:
                    waiting.remove(waiter)
                if not waiting:
                    self._waiters.pop((run, event_id), None)
