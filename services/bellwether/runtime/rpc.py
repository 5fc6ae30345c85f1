"""The server side of calls: a registry of typed methods, bounded concurrency, and a reply whatever happens."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import typing
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from opentelemetry.trace import SpanKind

from bellwether.market.sessions import OutsideCalendar
from bellwether.messages import envelope
from bellwether.naming import rpc_subjects
from bellwether.runtime import errors
from bellwether.runtime.bus import LocalMessage, Message, Subscription
from bellwether.runtime.call import Call, decode_as, mark_failed, new_request_id
from bellwether.runtime.clock import monotonic
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.logs import LogContext, log_context
from bellwether.runtime.metrics import ServiceMetrics
from bellwether.runtime.spans import Span
from bellwether.runtime.tasks import Deadlines

Handler = Callable[..., Awaitable[Any]]

CONCURRENCY = 64
WAITING = 1024
DRAIN_PAUSE = 0.01
"""Seconds between two looks whether calls that were handed over within the process are answered."""

_log = logging.getLogger(__name__)
_request_decoder = msgspec.json.Decoder(envelope.Request)


class Method(NamedTuple):
    """One method: its handler and the types that its annotations name; no params type means it takes none.

    One that is `urgent` waits for no other call: it is answered beside those that have all places.
    """

    name: str
    handler: Handler
    params: Any
    result: Any
    built_in: bool
    urgent: bool


def describe_handler(handler: Handler) -> tuple[Any, Any]:
    """Return the types of a handler's first argument (none if it takes only the call) and of its result.

    Raises:
        TypeError: if it is no coroutine function or an annotation is missing.
    """
    name = getattr(handler, "__qualname__", repr(handler))
    if not inspect.iscoroutinefunction(handler):
        raise TypeError(f"{name}: a handler is an `async def` function")
    hints = typing.get_type_hints(handler)
    arguments = list(inspect.signature(handler).parameters)
    if len(arguments) not in (1, 2) or any(one not in hints for one in arguments) or "return" not in hints:
        raise TypeError(f"{name}: a handler takes (request, call) or (call), all annotated, and annotates its result")
    first = hints[arguments[0]] if len(arguments) == 2 else None
    return first, hints["return"]


class RpcServer:
    """Answers the calls of one service."""

    def __init__(self, context: ServiceContext, metrics: ServiceMetrics, concurrency: int = CONCURRENCY) -> None:
        self._context = context
        self._metrics = metrics
        self._free = concurrency
        self._waiting: deque[tuple[Message, str, float]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None
        self._deadlines = Deadlines()
        self._handed_over = 0
        # Files have no gate of their own as a store has.
        self._writes_files = context.row.volume
        self.methods: dict[str, Method] = {}

    def add(self, name: str, handler: Handler, *, built_in: bool = False, urgent: bool = False) -> None:
        """Register a method.

        Raises:
            ValueError: if the name is taken.
            TypeError: if the handler's annotations do not say its types.
        """
        if name in self.methods:
            raise ValueError(f"{self._context.row.name} has two handlers for {name}")
        params, result = describe_handler(handler)
        self.methods[name] = Method(name, handler, params, result, built_in, urgent)

    async def start(self) -> None:
        """Begin to answer."""
        name = self._context.row.name
        self._subscription = await self._context.bus.subscribe(rpc_subjects(name), self._arrived, queue=name)
        if self._context.peers is not None:
            self._context.peers[name] = self

    async def stop(self) -> None:
        """Take no new calls; those that were taken go on."""
        if self._context.peers is not None:
            self._context.peers.pop(self._context.row.name, None)
        if self._subscription is not None:
            await self._subscription.stop()

    async def drained(self) -> None:
        """Wait until no call is being answered."""
        while self._tasks or self._handed_over:
            if self._tasks:
                await asyncio.wait(set(self._tasks))
            else:
                await asyncio.sleep(DRAIN_PAUSE)

    def abandon(self) -> None:
        """Cancel what is still being answered; its callers learn nothing and may try again."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    @property
    def in_flight(self) -> int:
        """How many calls are being answered or wait for it."""
        return len(self._tasks) + len(self._waiting) + self._handed_over

    async def answer(self, method: str, params: dict[str, Any], budget: float) -> bytes:
        """Answer a call that did not come over the bus, in its turn among those that did; return the encoded reply."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        request = envelope.Request(new_request_id(), "local", budget, params=msgspec.Raw(msgspec.json.encode(params)))
        self._arrived(LocalMessage(f"local.{method}", envelope.encode(request), None, reply))
        return await reply

    def _arrived(self, message: Message) -> None:
        method = message.subject.rpartition(".")[2]
        known = self.methods.get(method)
        now = monotonic()
        if known is not None and (known.built_in or known.urgent):
            # Health must answer when every slot is taken, and a halt must not wait behind what it is to stop.
            self._spawn(self._answer(message, method, now))
        elif self._free > 0:
            self._free -= 1
            self._spawn(self._answer_and_next(message, method, now))
        elif len(self._waiting) < WAITING:
            self._waiting.append((message, method, now))
        else:
            self._spawn(self._refuse_overload(message, method, now))

    def _spawn(self, work: typing.Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def takes(self, method: str, params: Any) -> bool:
        """Whether a call of this process can be answered at once, without a message."""
        known = self.methods.get(method)
        if known is None or type(params) is not (known.params or type(None)):
            return False
        return known.built_in or known.urgent or self._free > 0

    async def hand_over(self, call: Call, method: str, params: Any, deadline: float) -> Any:
        """Answer a call of this process in the caller's task, as one that came over the bus but without encoding it.

        Raises:
            RpcError: as the reply over the bus would say.
        """
        known, context, arrived, code = self.methods[method], self._context, monotonic(), "OK"
        counted = not (known.built_in or known.urgent)
        span: Span | None = None
        if call.span is not None:
            attributes = {"rpc.system": "local", "rpc.method": method}
            name = f"{context.row.name}.{method}"
            span = context.telemetry.start_span(name, call.span, SpanKind.SERVER, attributes)
        self._free -= counted
        self._handed_over += 1
        logged = log_context.set(LogContext(context.row.name, call.request_id, span.trace_id if span else None))
        try:
            if deadline <= arrived:
                raise _too_late(context.row.name, method)
            context.clock.observe(call.as_of)
            inner = Call(context, call.as_of, call.run, call.request_id, deadline, span, watched=True)
            # Its caller's time is over no later, and ends this with it.
            if call.watched and deadline >= call.deadline:
                return await self._handled(known, params, inner)
            return await self._in_time(known, params, inner)
        except RpcError as error:
            code = error.code
            if span is not None:
                mark_failed(span, error)
            raise RpcError(error.code, error.message, **_plain(error.detail)) from error
        except Exception as error:
            unexpected = self._unexpected(call.request_id, method, error, span)
            code = unexpected.code
            raise unexpected from error
        finally:
            if span is not None:
                span.end()
            log_context.reset(logged)
            self._handed_over -= 1
            if counted and self._waiting:
                self._spawn(self._answer_and_next(*self._waiting.popleft()))
            else:
                self._free += counted
            self._metrics.called(method, code, monotonic() - arrived)

    async def _answer_and_next(self, message: Message, method: str, arrived: float) -> None:
        try:
            await self._answer(message, method, arrived)
            while self._waiting:
                await self._answer(*self._waiting.popleft())
        finally:
            self._free += 1

    async def _refuse_overload(self, message: Message, method: str, arrived: float) -> None:
        refusal = RpcError(errors.OVERLOADED, f"{self._context.row.name} has {WAITING} calls waiting; try again later")
        await self._send(message, self._failure(_request_id(message.body), arrived, refusal), method)
        self._metrics.called(method if method in self.methods else "unknown", errors.OVERLOADED, 0.0)

    async def _answer(self, message: Message, method: str, arrived: float) -> None:
        request_id = ""
        span: Span | None = None
        code = "OK"
        try:
            try:
                request = _request_decoder.decode(message.body)
            except msgspec.DecodeError as error:
                raise RpcError(errors.INVALID_REQUEST, f"the request cannot be read: {error}") from None
            request_id = request.request_id
            span = self._begin_span(message, method)
            result = msgspec.Raw(envelope.encode(await self._run(request, method, arrived, span)))
            body = envelope.encode(envelope.Reply("success", request_id, monotonic() - arrived, result=result))
            if len(body) > self._context.bus.max_payload:
                raise self._too_large(method, len(body))
        except RpcError as error:
            code = error.code
            body = self._failure(request_id, arrived, error)
            if span is not None:
                mark_failed(span, error)
        except Exception as error:
            unexpected = self._unexpected(request_id, method, error, span)
            code = unexpected.code
            body = self._failure(request_id, arrived, unexpected)
        finally:
            if span is not None:
                span.end()
        await self._send(message, body, method)
        self._metrics.called(method if method in self.methods else "unknown", code, monotonic() - arrived)

    def _begin_span(self, message: Message, method: str) -> Span | None:
        if not message.headers:
            return None
        return self._context.telemetry.start_span(
            f"{self._context.row.name}.{method}",
            message.headers.get(envelope.TRACE_HEADER),
            SpanKind.SERVER,
            {"rpc.system": "nats", "rpc.method": method},
        )

    async def _run(self, request: envelope.Request, method: str, arrived: float, span: Span | None) -> Any:
        context = self._context
        known = self.methods.get(method)
        if known is None:
            raise RpcError(
                errors.UNKNOWN_METHOD,
                f"{context.row.name} has no method {method!r}; it has {', '.join(sorted(self.methods))}",
            )
        deadline = arrived + request.budget
        if deadline <= monotonic():
            raise _too_late(context.row.name, method)
        if request.as_of is not None:
            context.clock.observe(request.as_of)
        as_of = request.as_of or context.clock.now()
        call = Call(context, as_of, request.run, request.request_id, deadline, span, watched=True)
        log_context.set(LogContext(context.row.name, request.request_id, span.trace_id if span else None))
        params = None if known.params is None else _decode_params(request.params, known)
        # While a release is rolled out a newer service calls an older one, which leaves out what it does not know.
        if not known.built_in and request.source not in context.rows:
            _refuse_unknown(request.params, known)
        return await self._in_time(known, params, call)

    async def _in_time(self, known: Method, params: Any, call: Call) -> Any:
        def late() -> RpcError:
            return RpcError(errors.DEADLINE_EXCEEDED, f"{self._context.row.name}.{known.name} did not end in time")

        return await self._deadlines.within(call.deadline, self._handled(known, params, call), late)

    async def _handled(self, known: Method, params: Any, call: Call) -> Any:
        if self._writes_files and not (known.built_in or known.urgent):
            await self._context.holding.wait()
        return await (known.handler(call) if known.params is None else known.handler(params, call))

    def _failure(self, request_id: str, arrived: float, error: RpcError) -> bytes:
        detail = _plain(error.detail)
        body = envelope.ErrorBody(error.code, error.message, detail)
        encoded = envelope.encode(envelope.Reply("error", request_id, monotonic() - arrived, error=body))
        if len(encoded) > self._context.bus.max_payload:
            short = envelope.ErrorBody(error.code, error.message[:1000])
            encoded = envelope.encode(envelope.Reply("error", request_id, monotonic() - arrived, error=short))
        return encoded

    def _unexpected(self, request_id: str, method: str, error: Exception, span: Span | None) -> RpcError:
        if isinstance(error, OutsideCalendar):
            return RpcError("OUTSIDE_CALENDAR", str(error))
        name = self._context.row.name
        _log.error("%s.%s failed", name, method, exc_info=error)
        self._metrics.failed(f"{method}: {type(error).__name__}")
        if span is not None:
            mark_failed(span, error)
        # What an unexpected exception says may hold a secret: it goes to the log, not over the wire.
        return RpcError(errors.INTERNAL, f"{name}.{method} failed; its log has the reason under request {request_id}")

    def _too_large(self, method: str, size: int) -> RpcError:
        limit = self._context.bus.max_payload
        return RpcError(
            errors.REPLY_TOO_LARGE,
            f"the reply of {self._context.row.name}.{method} has {size} bytes, the bus carries {limit}: ask for less",
            size=size,
            limit=limit,
        )

    async def _send(self, message: Message, body: bytes, method: str) -> None:
        try:
            await message.respond(body)
        except Exception as error:
            _log.warning("the reply of %s could not be sent: %s", method, error)


def _too_late(service: str, method: str) -> RpcError:
    return RpcError(errors.DEADLINE_EXCEEDED, f"{service}.{method}: its time was over before it began")


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = msgspec.to_builtins(detail, str_keys=True)
    except (TypeError, ValueError):
        return {name: str(value) for name, value in detail.items()}
    return plain


def _decode_params(params: msgspec.Raw, method: Method) -> Any:
    try:
        return decode_as(params, method.params)
    except msgspec.DecodeError as error:
        raise RpcError(
            errors.INVALID_PARAMS,
            f"{method.name}: {error}{_allowed(method.params, str(error))}",
            fields=sorted(getattr(method.params, "__struct_fields__", ())),
        ) from None


def _allowed(params: Any, refusal: str) -> str:
    """Return what a parameter may be whose value is none of its words; empty for another refusal."""
    field = re.search(r"Invalid enum value .* - at `\$\.(\w+)`$", refusal)
    if field is None:
        return ""
    parts = typing.get_args(typing.get_type_hints(params)[field[1]])
    words = [one for part in parts for one in typing.get_args(part) or (part,) if isinstance(one, str)]
    return f": it is {' or '.join(words)}" if words else ""


def _refuse_unknown(params: msgspec.Raw, method: Method) -> None:
    """Raise INVALID_PARAMS for a parameter that a method does not take."""
    try:
        given = decode_as(params, dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return
    fields = () if method.params is None else getattr(method.params, "__struct_encode_fields__", given)
    unknown = sorted(set(given) - set(fields))
    if unknown:
        known = f"it takes {', '.join(sorted(fields))}" if fields else "it takes none"
        words = f"{method.name}: unknown parameter {', '.join(map(repr, unknown))}; {known}"
        raise RpcError(errors.INVALID_PARAMS, words, unknown=unknown, fields=sorted(fields))


def _request_id(body: bytes) -> str:
    try:
        return _request_decoder.decode(body).request_id
    except msgspec.DecodeError:
        return ""
