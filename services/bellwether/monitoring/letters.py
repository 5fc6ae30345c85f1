"""Dead letters: list and show them, publish one again, or drop it."""

from __future__ import annotations

import msgspec

from bellwether.messages import monitoring as messages
from bellwether.messages.envelope import DeadLetter
from bellwether.naming import DEAD_STREAM
from bellwether.runtime import errors
from bellwether.runtime.bus import Bus, BusError, StoredMessage
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError

MOST = 200
_SHOWN_ERROR = 300
_decode = msgspec.json.Decoder(DeadLetter).decode


def described(stored: StoredMessage) -> tuple[messages.DeadLetterInfo, DeadLetter]:
    """Return a stored letter; one that cannot be read still has its number and its subject."""
    try:
        letter = _decode(stored.body)
    except msgspec.DecodeError as error:
        body = stored.body.decode(errors="replace")
        letter = DeadLetter("unknown", stored.subject, "", 0, f"the letter cannot be read: {error}", body, True)
    kind = stored.subject.rpartition(".")[2]
    info = messages.DeadLetterInfo(
        stored.sequence, stored.time, letter.service, kind, letter.attempts, letter.error, not letter.truncated
    )
    return info, letter


class Letters:
    """The methods about dead letters."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def list_dead_letters(self, request: messages.ListDeadLetters, call: Call) -> messages.DeadLetters:
        """Return the oldest dead letters after a number."""
        if not 1 <= request.limit <= MOST:
            raise RpcError(errors.INVALID_PARAMS, f"limit is {request.limit}: it must be from 1 to {MOST}")
        found: list[messages.DeadLetterInfo] = []
        place = request.after
        try:
            total = (await self._bus.stream_figures(DEAD_STREAM)).messages
            while len(found) < min(request.limit, total):
                stored = await self._bus.stream_message(DEAD_STREAM, place + 1)
                if stored is None:
                    break
                place = stored.sequence
                info = described(stored)[0]
                found.append(msgspec.structs.replace(info, error=info.error[:_SHOWN_ERROR]))
        except BusError as error:
            raise RpcError(errors.UNAVAILABLE, f"the dead letters cannot be read: {error}") from error
        return messages.DeadLetters(total, found)

    async def get_dead_letter(self, request: messages.PickDeadLetter, call: Call) -> messages.DeadLetterBody:
        """Return one dead letter with its event."""
        info, letter = described(await self._stored(request.number))
        return messages.DeadLetterBody(info, letter.subject, letter.message_id, letter.body)

    async def replay_dead_letter(self, request: messages.PickDeadLetter, call: Call) -> messages.DeadLetterGone:
        """Publish the event again for everybody who consumes it, and take the letter away.

        Who had it already has its id in the inbox and drops it; its own id lets the stream take it.
        """
        info, letter = described(await self._stored(request.number))
        if not info.complete:
            words = f"dead letter {request.number} holds only the beginning of its event: it cannot be published again"
            raise RpcError("DEAD_LETTER_INCOMPLETE", words)
        again = f"{letter.message_id}.again.{request.number}"
        try:
            await self._bus.publish_event(letter.subject, letter.body.encode(), message_id=again)
            await self._bus.stream_delete(DEAD_STREAM, request.number)
        except BusError as error:
            raise RpcError(
                errors.UNAVAILABLE, f"dead letter {request.number} is not known to be published: {error}"
            ) from error
        return messages.DeadLetterGone(request.number, "replayed", again)

    async def drop_dead_letter(self, request: messages.PickDeadLetter, call: Call) -> messages.DeadLetterGone:
        """Take a letter away for good."""
        await self._stored(request.number)
        try:
            await self._bus.stream_delete(DEAD_STREAM, request.number)
        except BusError as error:
            raise RpcError(
                errors.UNAVAILABLE, f"dead letter {request.number} is not known to be dropped: {error}"
            ) from error
        return messages.DeadLetterGone(request.number, "dropped")

    async def _stored(self, number: int) -> StoredMessage:
        if number < 1:
            raise RpcError(errors.INVALID_PARAMS, f"number is {number}: dead letters are numbered from 1")
        try:
            stored = await self._bus.stream_message(DEAD_STREAM, number)
        except BusError as error:
            raise RpcError(errors.UNAVAILABLE, f"the dead letters cannot be read: {error}") from error
        if stored is None or stored.sequence != number:
            raise RpcError("NO_DEAD_LETTER", f"there is no dead letter {number}: see `bellwether dead-letters list`")
        return stored
