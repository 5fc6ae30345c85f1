"""The envelopes of requests, replies and events.

Everything is JSON by msgspec: Decimals as strings, times as ISO 8601 in UTC. The payload stays raw bytes until the
receiver decodes it into the type its handler declares, so an envelope can be read without knowing the payload.
Only the trace context travels beside the body, as the header `traceparent`, and only when the trace is sampled.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

TRACE_HEADER = "traceparent"
LIVE = "live"
EMPTY = msgspec.Raw(b"{}")


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call of one method.

    `budget` is what is left of the caller's time in seconds; `as_of` the domain time to answer for (none: now);
    `run` names the replay run, or is "live".
    """

    request_id: str
    source: str
    budget: float
    as_of: datetime | None = None
    run: str = LIVE
    params: msgspec.Raw = EMPTY


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a call failed: a code in UPPER_SNAKE for programs, a sentence for people, and facts by name."""

    code: str
    message: str
    detail: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True):
    """The answer to a call: `result` when the status is success, else `error`; `execution_time` is in seconds."""

    status: Literal["success", "error"]
    request_id: str
    execution_time: float
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | msgspec.UnsetType = msgspec.UNSET


class Event(msgspec.Struct, Generic[T], frozen=True):
    """An event as a handler gets it, its data decoded into the type the handler declares.

    `timestamp` is the domain time at which it happened.
    """

    id: str
    type: str
    timestamp: datetime
    source_service: str
    priority: str
    run: str
    data: T


class EventEnvelope(Event[msgspec.Raw], frozen=True):
    """An event on the wire."""


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a service gave up on: the original body, why, and after how many attempts."""

    service: str
    subject: str
    message_id: str
    attempts: int
    error: str
    body: str
    truncated: bool = False
    """Whether the body is only its beginning: such an event cannot be published again from here."""


_encoder = msgspec.json.Encoder(decimal_format="string")
encode = _encoder.encode
decode_request = msgspec.json.Decoder(Request).decode
decode_reply = msgspec.json.Decoder(Reply).decode
decode_event = msgspec.json.Decoder(EventEnvelope).decode
