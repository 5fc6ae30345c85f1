"""Durable consumers of `MemoryBus`: redelivery, acknowledgement and flow as JetStream's pull consumers have them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bellwether.naming import subject_matches
from bellwether.runtime.bus import ConsumerPlan, Headers


class Stored(NamedTuple):
    """An event as the stream holds it."""

    sequence: int
    subject: str
    body: bytes
    headers: Headers | None
    message_id: str


class MemoryDelivery:
    """One delivery of an event; what is said of a delivery that is no longer the latest has no effect."""

    __slots__ = ("_consumer", "attempts", "body", "headers", "message_id", "pull", "sequence", "stored", "subject")

    def __init__(self, consumer: MemoryConsumer, stored: Stored, attempts: int, pull: MemoryPull) -> None:
        self._consumer = consumer
        self.stored = stored
        self.sequence = stored.sequence
        self.subject = stored.subject
        self.body = stored.body
        self.headers = stored.headers
        self.message_id = stored.message_id
        self.attempts = attempts
        self.pull = pull

    async def ack(self, *, confirmed: bool = False) -> None:
        """Done: it never comes again."""
        self._consumer.finish(self)

    async def term(self) -> None:
        """Given up: it never comes again."""
        self._consumer.finish(self)

    async def nak(self, delay: float) -> None:
        """Refused: it comes again after the delay, and counts as pending until then."""
        self._consumer.refuse(self, delay)

    async def in_progress(self) -> None:
        """Start its time again."""
        self._consumer.touch(self)


class MemoryConsumer:
    """The durable place of one service among the events of one priority."""

    def __init__(self, plan: ConsumerPlan) -> None:
        self.plan = plan
        self._wanted: dict[str, bool] = {}
        self._ready: deque[tuple[Stored, int]] = deque()
        # Ordered by deadline: every entry gets the same wait and is put at the end when its time starts again.
        self._unacked: dict[int, tuple[MemoryDelivery, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._pulls: list[MemoryPull] = []

    def wants(self, subject: str) -> bool:
        """Whether its filter lets the subject through."""
        wanted = self._wanted.get(subject)
        if wanted is None:
            wanted = any(subject_matches(pattern, subject) for pattern in self.plan.subjects)
            self._wanted[subject] = wanted
        return wanted

    def offer(self, event: Stored) -> None:
        """Take a new event."""
        self._ready.append((event, 0))
        self.flow()

    def attach(self, pull: MemoryPull) -> None:
        """Begin to deliver to a pull."""
        self._pulls.append(pull)
        self.flow()

    def detach(self, pull: MemoryPull, *, give_back: bool) -> None:
        """Deliver nothing more to a pull; give_back: whatever it holds comes again at once."""
        if pull in self._pulls:
            self._pulls.remove(pull)
        if give_back:
            held = [delivery for delivery, _ in self._unacked.values() if delivery.pull is pull]
            for delivery in sorted(held, key=lambda one: one.sequence, reverse=True):
                self._again(delivery)
            self.flow()

    def flow(self) -> None:
        """Deliver while there is something ready, room among the pending, and a pull with room."""
        while self._ready and len(self._unacked) < self.plan.max_ack_pending:
            pull = next((one for one in self._pulls if one.has_room), None)
            if pull is None:
                return
            event, attempts = self._ready.popleft()
            delivery = MemoryDelivery(self, event, attempts + 1, pull)
            self._start_time(delivery)
            pull.arrive(delivery)
            # One behind the other, as pulls on a server would be answered.
            if len(self._pulls) > 1:
                self._pulls.append(self._pulls.pop(0))

    def finish(self, delivery: MemoryDelivery) -> None:
        """Forget an event that was acknowledged or given up."""
        if self._is_latest(delivery):
            del self._unacked[delivery.sequence]
            self.flow()

    def refuse(self, delivery: MemoryDelivery, delay: float) -> None:
        """Deliver again after the delay."""
        if not self._is_latest(delivery):
            return
        if delay <= 0:
            self._again(delivery)
            self.flow()
            return
        # While it waits it stays pending, but its own time-out must not bring it back earlier.
        self._unacked[delivery.sequence] = (delivery, float("inf"))
        asyncio.get_running_loop().call_later(delay, self._refused_time_over, delivery)

    def touch(self, delivery: MemoryDelivery) -> None:
        """Start a delivery's time again."""
        if self._is_latest(delivery):
            del self._unacked[delivery.sequence]
            self._start_time(delivery)

    def _is_latest(self, delivery: MemoryDelivery) -> bool:
        entry = self._unacked.get(delivery.sequence)
        return entry is not None and entry[0] is delivery

    def _again(self, delivery: MemoryDelivery) -> None:
        del self._unacked[delivery.sequence]
        self._ready.appendleft((delivery.stored, delivery.attempts))

    def _refused_time_over(self, delivery: MemoryDelivery) -> None:
        if self._is_latest(delivery):
            self._again(delivery)
            self.flow()

    def _start_time(self, delivery: MemoryDelivery) -> None:
        loop = asyncio.get_running_loop()
        self._unacked[delivery.sequence] = (delivery, loop.time() + self.plan.ack_wait)
        if self._timer is None:
            self._timer = loop.call_later(self.plan.ack_wait, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        late = [delivery for delivery, deadline in self._unacked.values() if deadline <= now]
        for delivery in sorted(late, key=lambda one: one.sequence, reverse=True):
            self._again(delivery)
        waiting = [deadline for _, deadline in self._unacked.values() if deadline != float("inf")]
        if waiting:
            self._timer = loop.call_later(max(0.001, min(waiting) - now), self._sweep)
        self.flow()


class MemoryPull:
    """One puller with a small buffer."""

    def __init__(self, consumer: MemoryConsumer, on_arrival: Callable[[], None], batch: int) -> None:
        self._consumer = consumer
        self._on_arrival = on_arrival
        self._batch = batch
        self._buffer: deque[MemoryDelivery] = deque()

    @property
    def has_room(self) -> bool:
        """Whether it would ask for more."""
        return len(self._buffer) < self._batch

    def arrive(self, delivery: MemoryDelivery) -> None:
        """Take a delivery into the buffer."""
        self._buffer.append(delivery)
        self._on_arrival()

    def take(self) -> MemoryDelivery | None:
        """Return the next delivery, or none."""
        if not self._buffer:
            return None
        delivery = self._buffer.popleft()
        if len(self._buffer) == self._batch - 1:
            self._consumer.flow()
        return delivery

    def untaken(self) -> Sequence[MemoryDelivery]:
        """Return what is in the buffer."""
        return tuple(self._buffer)

    async def stop(self) -> None:
        """Take no more; what is in the buffer goes back."""
        self._consumer.detach(self, give_back=False)
        for delivery in reversed(self._buffer):
            await delivery.nak(0)
        self._buffer.clear()

    def abandon(self) -> None:
        """The connection is gone: all that was delivered here and not finished goes back."""
        self._consumer.detach(self, give_back=True)
        self._buffer.clear()
