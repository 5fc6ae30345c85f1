"""The consumer side of events: three lanes, bounded concurrency, retries, dead letters, and who waits for what.

Urgent events are taken first, then high, then normal; every tenth goes to the lowest lane that has one, so that a
flood of urgent events starves nobody. An event that fails comes again after a growing pause. After the last attempt
the service itself publishes the whole event to `bw.dead.<service>.<type>` and only then gives it up, so nothing
disappears.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import msgspec
from opentelemetry.trace import SpanKind

from bellwether.messages import envelope
from bellwether.naming import EVENT_STREAM, consumer_name
from bellwether.runtime.bus import BusError, Delivery, Pull
from bellwether.runtime.call import BUDGET, Call, bury, decode_as
from bellwether.runtime.clock import monotonic
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.handled import HandledEvents
from bellwether.runtime.logs import LogContext, log_context
from bellwether.runtime.metrics import ServiceMetrics
from bellwether.runtime.rpc import describe_handler
from bellwether.runtime.spans import Span
from bellwether.runtime.tasks import Deadlines
from bellwether.service_row import PRIORITIES
from bellwether.wiring import consumed_types, matches

CONCURRENCY = 16
HEARTBEAT_SECONDS = 10.0
LOWEST_TURN = 10
TOGETHER = 64
"""Events at most that are handled in one piece of work."""

_NOT_ACKNOWLEDGED = "event %s could not be acknowledged and comes again: %s"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How often an event is tried and the seconds between the tries; the last pause repeats."""

    attempts: int = 6
    pauses: tuple[float, ...] = (0.2, 1.0, 5.0, 15.0, 30.0)

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt, counted from 1."""
        return self.pauses[min(attempt, len(self.pauses)) - 1]


Together = Callable[[Sequence[tuple[envelope.Event[Any], Call]]], Awaitable[None]]


class Subscriber(NamedTuple):
    """One handler of events, and the type that its annotation gives the event's data."""

    pattern: str
    handler: Callable[..., Awaitable[None]]
    data: Any
    together: Together | None = None
    """Handles several, where they wait one behind the other and the service takes its events in order."""


class Lanes:
    """Chooses the next event among the priorities."""

    def __init__(self, pulls: list[Pull]) -> None:
        self._pulls = pulls
        self._lowest_first = pulls[::-1]
        self._taken = 0
        self._last: Pull | None = None

    def take(self) -> Delivery | None:
        """Return the next event, or none."""
        self._taken += 1
        order = self._pulls if self._taken % LOWEST_TURN else self._lowest_first
        for pull in order:
            delivery = pull.take()
            if delivery is not None:
                self._last = pull
                return delivery
        self._taken -= 1
        return None

    def take_alike(self, first: Delivery, most: int) -> list[Delivery]:
        """Return the events of the same type that wait right behind the one taken last, if none was tried before."""
        pull, found = self._last, list[Delivery]()
        if pull is None or first.attempts > 1:
            return found
        for waiting in pull.untaken()[:most]:
            if waiting.subject != first.subject or waiting.attempts > 1:
                break
            taken = pull.take()
            if taken is not None:
                found.append(taken)
        return found


class EventConsumer:
    """Handles the events of one service."""

    def __init__(
        self,
        context: ServiceContext,
        metrics: ServiceMetrics,
        *,
        concurrency: int = CONCURRENCY,
        retry: RetryPolicy | None = None,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._context = context
        self._metrics = metrics
        self._ordered = context.row.ordered
        self._limit = 1 if self._ordered else concurrency
        self._retry = retry or RetryPolicy()
        self._heartbeat = heartbeat
        self._pulls: list[Pull] = []
        self._in_hand: dict[int, Delivery] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._by_type: dict[str, Subscriber] = {}
        self.subscribers: list[Subscriber] = []
        self.handled = HandledEvents()
        self._deadlines = Deadlines()

    def add(self, pattern: str, handler: Callable[..., Awaitable[None]], together: Together | None = None) -> None:
        """Register the handler of a type or pattern, and what handles several at once.

        Raises:
            ValueError: if the pattern has a handler already.
            TypeError: if the handler is not `async def (event: Event[T], call: Call) -> None`.
        """
        if any(one.pattern == pattern for one in self.subscribers):
            raise ValueError(f"{self._context.row.name} has two handlers for {pattern}")
        event, _ = describe_handler(handler)
        arguments = get_args(event)
        if getattr(event, "__origin__", event) is not envelope.Event or len(arguments) != 1:
            raise TypeError(f"{handler.__qualname__}: an event handler takes (event: Event[T], call: Call)")
        self.subscribers.append(Subscriber(pattern, handler, arguments[0], together))

    def subscriber(self, event_type: str) -> Subscriber | None:
        """Return the handler of a type: an exact name goes before a pattern, a longer pattern before a shorter."""
        found = self._by_type.get(event_type)
        if found is None:
            fitting = [one for one in self.subscribers if matches(one.pattern, event_type)]
            if not fitting:
                return None
            found = max(fitting, key=lambda one: (one.pattern == event_type, len(one.pattern)))
            self._by_type[event_type] = found
        return found

    @property
    def in_flight(self) -> int:
        """How many events are in hand."""
        return len(self._in_hand)

    async def start(self) -> None:
        """Begin to pull; returns once every lane's consumer exists."""
        row = self._context.row
        lanes = consumed_types(row, self._context.rows)
        for priority in PRIORITIES:
            if priority in lanes:
                pull = await self._context.bus.pull(EVENT_STREAM, consumer_name(row.name, priority), self._wake.set)
                self._pulls.append(pull)
        if self._pulls:
            create = asyncio.get_running_loop().create_task
            self._loops = [
                create(self._dispatch(Lanes(self._pulls)), name=f"{row.name} events"),
                create(self._beat(), name=f"{row.name} heartbeat"),
            ]

    async def stop(self) -> None:
        """Pull no more and give back what was not started; what was started goes on."""
        self._stopping.set()
        self._wake.set()
        for pull in self._pulls:
            with contextlib.suppress(BusError):
                await pull.stop()

    async def drained(self) -> None:
        """Wait until nothing is in hand."""
        if self._loops:
            await asyncio.wait(self._loops[:1])
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        self._end_loops()

    def abandon(self) -> None:
        """Cancel what is in hand; it comes again."""
        self._end_loops()
        for task in self._tasks:
            task.cancel()

    def _end_loops(self) -> None:
        for task in self._loops:
            task.cancel()

    async def _dispatch(self, lanes: Lanes) -> None:
        while not self._stopping.is_set():
            delivery = lanes.take() if len(self._tasks) < self._limit else None
            if delivery is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._in_hand[id(delivery)] = delivery
            if self._ordered:
                await self._handle_in_order(delivery, lanes)
            else:
                task = asyncio.get_running_loop().create_task(self._handle_and_forget(delivery))
                self._tasks.add(task)
                task.add_done_callback(self._one_done)

    def _one_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _handle_in_order(self, first: Delivery, lanes: Lanes) -> None:
        subscriber = self.subscriber(first.subject.rpartition(".")[2])
        several = [first]
        if subscriber is not None and subscriber.together is not None:
            several += lanes.take_alike(first, TOGETHER - 1)
            self._in_hand.update((id(one), one) for one in several)
            if len(several) > 1 and await self._try_together(several, subscriber, subscriber.together):
                return
        for one in several:
            await self._handle_and_forget(one)

    async def _handle_and_forget(self, delivery: Delivery) -> None:
        try:
            await self._handle(delivery)
        except BusError as error:
            _log.warning(_NOT_ACKNOWLEDGED, delivery.message_id, error)
        except Exception:
            _log.exception("event %s could not be finished and comes again", delivery.message_id)
        finally:
            self._in_hand.pop(id(delivery), None)

    async def _beat(self) -> None:
        """Keep what is in hand or in the buffers from being delivered again while it waits its turn."""
        while True:
            await asyncio.sleep(self._heartbeat)
            held = [*self._in_hand.values(), *(one for pull in self._pulls for one in pull.untaken())]
            for delivery in held:
                with contextlib.suppress(BusError):
                    await delivery.in_progress()

    async def _handle(self, delivery: Delivery) -> None:
        try:
            event = envelope.decode_event(delivery.body)
        except msgspec.DecodeError as error:
            await self._give_up(delivery, None, f"the event cannot be read: {error}", delivery.attempts)
            return
        subscriber = self.subscriber(event.type)
        if subscriber is None:
            # The consumer still has the filter of another release; nobody here wants it.
            await delivery.ack()
            return
        attempt = delivery.attempts
        reason = "it was delivered that often without an end: the process may have died of it"
        # Restarts count as deliveries too, so only failures seen here count up to the limit.
        while attempt <= self._retry.attempts * 3:
            failure = await self._try_once(delivery, event, subscriber)
            if failure is None:
                await self._done(delivery, event)
                return
            reason = failure
            self._metrics.event(event.type, "failed")
            self._metrics.failed(f"{event.type}: {failure}")
            if attempt >= self._retry.attempts:
                break
            pause = self._retry.pause(attempt)
            if not self._ordered:
                await delivery.nak(pause)
                return
            # In order means that nothing overtakes it: it is tried again in its place.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            if self._stopping.is_set():
                await delivery.nak(0)
                return
            attempt += 1
        await self._give_up(delivery, event, reason, attempt)

    async def _done(self, delivery: Delivery, event: envelope.Event[Any]) -> None:
        self.handled.done(event.run, event.id)
        # With a store the effect is in: wait until the bus knows, or it comes again for nothing. A replay does
        # not wait: what comes again after a lost connection has no second effect.
        await delivery.ack(confirmed=self._context.store is not None and self._context.clock.live)
        self._metrics.event(event.type, "processed")

    async def _try_together(self, several: Sequence[Delivery], subscriber: Subscriber, together: Together) -> bool:
        """Handle several events in one piece of work. False: it failed, nothing has happened, each is to be tried."""
        calls: list[Call] = []
        try:
            events = [envelope.decode_event(one.body) for one in several]
            calls += [self._begin(delivery, event) for delivery, event in zip(several, events, strict=True)]
            typed = [_typed(event, subscriber) for event in events]
            work = together(list(zip(typed, calls, strict=True)))
            await self._deadlines.within(calls[0].deadline, work, _late)
        except Exception as error:
            _log.exception("%s failed on %d events; they are tried one by one", self._context.row.name, len(several))
            for call in calls:
                call.mark_failed(error)
            return False
        finally:
            for call in calls:
                if call.span is not None:
                    call.span.end()
        for delivery, event in zip(several, events, strict=True):
            try:
                await self._done(delivery, event)
            except BusError as error:
                _log.warning(_NOT_ACKNOWLEDGED, delivery.message_id, error)
            finally:
                self._in_hand.pop(id(delivery), None)
        return True

    def _begin(self, delivery: Delivery, event: envelope.EventEnvelope) -> Call:
        context = self._context
        context.clock.observe(event.timestamp)
        span = self._begin_span(delivery, event.type)
        log_context.set(LogContext(context.row.name, event.id, span.trace_id if span else None))
        return Call(context, event.timestamp, event.run, event.id, monotonic() + BUDGET, span)

    async def _try_once(self, delivery: Delivery, event: envelope.EventEnvelope, subscriber: Subscriber) -> str | None:
        """Run the handler once; return what went wrong, or none."""
        call = self._begin(delivery, event)
        try:
            work = subscriber.handler(_typed(event, subscriber), call)
            await self._deadlines.within(call.deadline, work, _late)
        except Exception as error:
            name = self._context.row.name
            _log.exception("%s failed on event %s (attempt %d)", name, event.type, delivery.attempts)
            call.mark_failed(error)
            return f"{type(error).__name__}: {error}"
        finally:
            if call.span is not None:
                call.span.end()
        return None

    def _begin_span(self, delivery: Delivery, event_type: str) -> Span | None:
        if not delivery.headers:
            return None
        return self._context.telemetry.start_span(
            f"{event_type} process",
            delivery.headers.get(envelope.TRACE_HEADER),
            SpanKind.CONSUMER,
            {
                "messaging.system": "nats",
                "messaging.operation.type": "process",
                "messaging.consumer.group.name": self._context.row.name,
                "messaging.message.id": delivery.message_id,
            },
        )

    async def _give_up(
        self, delivery: Delivery, event: envelope.EventEnvelope | None, error: str, attempts: int
    ) -> None:
        event_type = event.type if event is not None else "unreadable"
        await bury(self._context.bus, self._context.row.name, event_type, delivery, error, attempts=attempts)
        await delivery.term()
        self._metrics.event(event_type, "dead")
        _log.error("event %s is a dead letter after %d attempts: %s", delivery.message_id, attempts, error)
        if event is not None:
            self.handled.done(event.run, event.id, dead=True)


def _typed(event: envelope.EventEnvelope, subscriber: Subscriber) -> envelope.Event[Any]:
    data = decode_as(event.data, subscriber.data)
    return envelope.Event(event.id, event.type, event.timestamp, event.source_service, event.priority, event.run, data)


def _late() -> TimeoutError:
    return TimeoutError(f"the handler did not end within {BUDGET:g} s")
