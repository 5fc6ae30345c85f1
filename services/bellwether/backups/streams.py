"""JetStream streams as files: the server's own snapshot of a stream with its consumers, and its restoring.

A snapshot keeps sequences, times and every consumer's place. Buckets are streams, so they are kept the same way.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any, NamedTuple

from bellwether.naming import inbox_prefix
from bellwether.runtime.bus import BusError
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.nats_client import Msg

CHUNK_BYTES = 128 * 1024
QUIET_SECONDS = 20.0
"""So long nothing may arrive before a snapshot is given up."""
_NAMES = "$JS.API.STREAM.NAMES"


class StreamState(NamedTuple):
    """What a stream holds."""

    messages: int
    last: int


class StreamError(Exception):
    """A stream cannot be copied or restored; the message names it."""


async def stream_names(bus: NatsBus) -> list[str]:
    """Return the names of all streams, sorted.

    Raises:
        StreamError: in the server's words.
    """
    return sorted(str(name) for name in (await _ask(bus, _NAMES, {})).get("streams") or [])


async def stream_state(bus: NatsBus, name: str) -> StreamState:
    """Return what a stream holds now.

    Raises:
        StreamError: in the server's words.
    """
    return _state((await _ask(bus, f"$JS.API.STREAM.INFO.{name}", {}))["state"])


async def save_stream(bus: NatsBus, name: str, target: Path) -> StreamState:
    """Write a stream's snapshot to a file, the server's answer in its first line; return what it holds.

    Raises:
        StreamError: if the server refuses, or stops sending.
        OSError: if the file cannot be written.
    """
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = f"{inbox_prefix(bus.identity)}.{secrets.token_hex(8)}"
    subscription = bus.subscription(inbox, arrived.put_nowait)
    await subscription.attach(bus.client())
    try:
        asked = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": CHUNK_BYTES, "jsck": True}
        answer = await _ask(bus, f"$JS.API.STREAM.SNAPSHOT.{name}", asked)
        head = {"config": answer["config"], "state": answer["state"]}
        with target.open("wb") as file:
            file.write(json.dumps(head, sort_keys=True).encode() + b"\n")
            while chunk := await _next(arrived, name):
                file.write(chunk.data)
                if chunk.reply:
                    await bus.publish(chunk.reply, b"")
    finally:
        await subscription.stop()
    return _state(head["state"])


async def restore_stream(bus: NatsBus, name: str, source: Path) -> StreamState:
    """Make a stream from the file of its snapshot, on a server that has none of this name; return what it holds.

    Raises:
        StreamError: if the file is no snapshot, or the server refuses it.
    """
    with source.open("rb") as file:
        try:
            head = json.loads(file.readline())
            config, state = head["config"], head["state"]
        except (ValueError, KeyError, TypeError):
            raise StreamError(f"stream {name}: its file is no snapshot") from None
        answer = await _ask(bus, f"$JS.API.STREAM.RESTORE.{name}", {"config": config, "state": state})
        subject = str(answer["deliver_subject"])
        while chunk := file.read(CHUNK_BYTES):
            await _send(bus, subject, chunk, name)
    done = await _send(bus, subject, b"", name)
    answered = json.loads(done) if done else {}
    if "error" in answered:
        raise StreamError(f"stream {name} cannot be restored: {answered['error'].get('description')}")
    return await stream_state(bus, name)


def state_in(source: Path) -> StreamState:
    """Return what the file of a snapshot says the stream held.

    Raises:
        StreamError: if the file is no snapshot.
    """
    try:
        with source.open("rb") as file:
            return _state(json.loads(file.readline())["state"])
    except (ValueError, KeyError, TypeError):
        raise StreamError(f"{source.name}: is no snapshot of a stream") from None


async def _next(arrived: asyncio.Queue[Msg], name: str) -> Msg | None:
    """Return the next chunk, None at the end, which is an empty message."""
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            message = await arrived.get()
    except TimeoutError:
        raise StreamError(f"stream {name}: the server sent nothing for {QUIET_SECONDS:g} s") from None
    status = (message.headers or {}).get("Status")
    if status not in (None, "", "204", "200"):
        raise StreamError(f"stream {name}: {status} {(message.headers or {}).get('Description', '')}")
    return message if message.data else None


async def _send(bus: NatsBus, subject: str, chunk: bytes, name: str) -> bytes:
    try:
        return bytes(await bus.request(subject, chunk, timeout=QUIET_SECONDS))
    except (BusError, TimeoutError) as error:
        raise StreamError(f"stream {name} cannot be restored: {error}") from error


async def _ask(bus: NatsBus, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = await bus.api(subject, body, QUIET_SECONDS)
    except (BusError, TimeoutError) as error:
        raise StreamError(f"{subject}: {error}") from error
    if "error" in answer:
        raise StreamError(f"{subject}: {answer['error'].get('description')}")
    return answer


def _state(answered: dict[str, Any]) -> StreamState:
    return StreamState(int(answered.get("messages", 0)), int(answered.get("last_seq", 0)))
