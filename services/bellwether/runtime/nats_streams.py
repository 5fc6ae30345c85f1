"""Streams and buckets of a NATS server, by its JetStream API: each question is one request."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from bellwether.naming import bucket_stream, key_subject
from bellwether.runtime.bus import MESSAGE_ID_HEADER, BusError, Headers, StoredMessage, StreamFigures
from bellwether.runtime.nats_client import Msg

STORED_SECONDS = 5.0
NOT_FOUND = 404


class NatsStreams(ABC):
    """What a bus does with streams and buckets."""

    @abstractmethod
    async def ask(self, subject: str, body: bytes, timeout: float, headers: Headers | None = None) -> Msg:
        """Send a request and return the whole reply."""

    async def api(self, subject: str, body: dict[str, Any], timeout: float = STORED_SECONDS) -> dict[str, Any]:
        """Call the server's JetStream API; the answer may hold an `error`."""
        answer: dict[str, Any] = json.loads((await self.ask(subject, json.dumps(body).encode(), timeout)).data)
        return answer

    async def _store(self, subject: str, body: bytes, headers: Headers | None) -> dict[str, Any]:
        message = await self.ask(subject, body, STORED_SECONDS, headers)
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise BusError(f"{subject} was not stored: {answer['error'].get('description')}")
        return answer

    async def publish_event(
        self, subject: str, body: bytes, *, message_id: str, headers: Headers | None = None
    ) -> bool:
        """Put an event into its stream and wait until it is stored."""
        answer = await self._store(subject, body, {**(headers or {}), MESSAGE_ID_HEADER: message_id})
        return not answer.get("duplicate", False)

    async def stream_figures(self, stream: str) -> StreamFigures:
        """Return what a stream holds."""
        answer = await self.api(f"$JS.API.STREAM.INFO.{stream}", {})
        if "error" in answer:
            raise BusError(f"stream {stream}: {answer['error'].get('description')}")
        state = answer["state"]
        return StreamFigures(state["messages"], state["bytes"], max(0, answer["config"].get("max_bytes", 0)))

    async def stream_message(self, stream: str, sequence: int) -> StoredMessage | None:
        """Return the first message of a stream from a sequence on."""
        subject = f"$JS.API.STREAM.MSG.GET.{stream}"
        answer = await self.api(subject, {"seq": max(1, sequence), "next_by_subj": ">"})
        error = answer.get("error")
        if error is not None:
            if error.get("code") == NOT_FOUND:
                return None
            raise BusError(f"stream {stream}: {error.get('description')}")
        found = answer["message"]
        # Nanoseconds are more than a datetime holds.
        stored = datetime.fromisoformat(found["time"][:19] + "+00:00")
        return StoredMessage(found["seq"], found["subject"], base64.b64decode(found.get("data", "")), stored)

    async def stream_delete(self, stream: str, sequence: int) -> bool:
        """Take one message out of a stream."""
        answer = await self.api(f"$JS.API.STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
        return bool(answer.get("success"))

    async def kv_get(self, bucket: str, key: str) -> tuple[bytes, int] | None:
        """Return a key's value and revision, or none."""
        stream, subject = bucket_stream(bucket), key_subject(bucket, key)
        message = await self.ask(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", STORED_SECONDS)
        headers = message.headers or {}
        if headers.get("Status") or "KV-Operation" in headers:
            return None
        return message.data, int(headers["Nats-Sequence"])

    async def kv_put(self, bucket: str, key: str, value: bytes) -> int:
        """Set a key and return its revision."""
        return int((await self._store(key_subject(bucket, key), value, None))["seq"])
