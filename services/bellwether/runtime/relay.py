"""The relay: publishes what a store owes, in the order in which it was committed.

An event that the bus can never carry becomes a dead letter of its publisher, so that it holds back nothing and is not
lost without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from bellwether.messages.envelope import TRACE_HEADER
from bellwether.runtime.bus import Bus, BusError, PayloadTooLarge
from bellwether.runtime.call import bury
from bellwether.runtime.clock import monotonic
from bellwether.runtime.metrics import ServiceMetrics
from bellwether.runtime.tasks import Wake, end_tasks
from bellwether.storage.store import OutboxEvent, OutboxRow, Store

PAGE = 256
AT_ONCE = 32
"""Events that are on their way to the bus together; the stream stores them in the order in which they were sent."""
QUEUE = 4096
TICK_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Relay:
    """Reads the unpublished rows at its start, follows each commit, and tries again every second."""

    def __init__(self, store: Store, bus: Bus, figures: ServiceMetrics) -> None:
        self._store = store
        self._bus = bus
        self._figures = figures
        self._queue: deque[OutboxRow] = deque()
        self._published: list[int] = []
        # True: the database may hold rows that are not in the queue.
        self._behind = True
        self._wake = Wake(TICK_SECONDS)
        self._marked = monotonic()
        self._stuck: float | None = None
        self._busy = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many events it knows to be unpublished."""
        return len(self._queue)

    @property
    def lag(self) -> float:
        """For how many seconds nothing could be published; 0 while that goes well."""
        return 0.0 if self._stuck is None else monotonic() - self._stuck

    def start(self) -> None:
        """Begin to publish."""
        self._store.on_outgoing(self._committed)
        self._task = asyncio.get_running_loop().create_task(self._run_forever(), name="relay")

    def _committed(self, rows: list[OutboxRow]) -> None:
        if not self._store.group_commit and (self._behind or len(self._queue) + len(rows) > QUEUE):
            # The bus has been unreachable for long: what is not queued is read from the database later, in order.
            self._behind = True
        else:
            self._queue.extend(rows)
        self._wake.set()

    async def _run_forever(self) -> None:
        while True:
            try:
                await self.flush()
                if monotonic() - self._marked >= TICK_SECONDS:
                    async with self._busy:
                        await self._mark()
            except Exception:
                _log.exception("the relay failed; it tries again")
            await self._wake.wait()

    async def flush(self) -> bool:
        """Publish all that is owed; False if the bus did not take all of it."""
        async with self._busy:
            while True:
                if not self._queue and self._behind:
                    await self._read_page()
                empty = not self._queue or await self._publish_queue()
                # In a replay that goes with the tick: what is published twice the stream drops by its id.
                if not self._store.inline:
                    await self._mark()
                if not empty:
                    return False
                if not self._queue and not self._behind:
                    return True

    async def _read_page(self) -> None:
        await self._mark()
        # From here on commits are queued again; one that falls into the page as well is published twice, which the
        # stream drops by its id.
        self._behind = False
        rows = await self._store.waiting(0, PAGE)
        known = {row.sequence for row in self._queue}
        page = [row for row in rows if row.sequence not in known]
        if len(rows) == PAGE:
            self._behind = True
            self._queue.clear()
            page = rows
        self._queue.extendleft(reversed(page))

    async def _publish_queue(self) -> bool:
        while self._queue:
            await self._store.holding.wait()
            sent = list(itertools.islice(self._queue, AT_ONCE))
            together = [self._publish(row.event) for row in sent]
            for ended in await ends_of(together, one_by_one=self._store.group_commit):
                if isinstance(ended, BusError):
                    _log.warning("%d events wait for the bus: %s", len(self._queue), ended)
                    self._stuck = self._stuck or monotonic()
                    return False
                if ended is not None:
                    raise ended
                self._stuck = None
                if sequence := self._queue.popleft().sequence:
                    self._published.append(sequence)
            if len(self._published) >= PAGE:
                await self._mark()
        return True

    async def _publish(self, event: OutboxEvent) -> None:
        headers = None if event.trace is None else {TRACE_HEADER: event.trace}
        try:
            await self._bus.publish_event(event.subject, event.body, message_id=event.message_id, headers=headers)
        except PayloadTooLarge as error:
            # It can never be published; holding it back would hold back all that follow.
            service, event_type = self._figures.service, event.subject.rpartition(".")[2]
            words = f"it cannot be published: {error}"
            await bury(self._bus, service, event_type, event, words)
            self._figures.event(event_type, "dead")
            self._figures.failed(f"{event_type}: {words}")
            _log.error("event %s is a dead letter: %s", event.message_id, error)

    async def checkpoint(self) -> bool:
        """Publish all that is owed and make it and the store durable; False if the bus did not take all of it."""
        done = await self.flush()
        async with self._busy:
            await self._mark()
        await self._store.flush()
        return done

    async def _mark(self) -> None:
        if self._published:
            done, self._published = self._published, []
            await self._store.mark_published(done)
        self._marked = monotonic()

    async def stop(self, timeout: float) -> None:
        """Publish what is owed, for at most `timeout` seconds, and stop; the rest stays in the database."""
        if self._task is not None:
            await end_tasks([self._task])
        self._wake.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.checkpoint()


async def ends_of(work: Sequence[Coroutine[Any, Any, None]], *, one_by_one: bool) -> list[BaseException | None]:
    """Return how pieces of work end. One by one spares tasks where none of them waits, as over a bus in memory."""
    if not one_by_one:
        return await asyncio.gather(*work, return_exceptions=True)
    found: list[BaseException | None] = []
    for each in work:
        try:
            await each
        except Exception as error:
            found.append(error)
        else:
            found.append(None)
    return found
