"""Dead letters: events that nobody tries again, kept where people find them."""

from __future__ import annotations

from bellwether.messages.envelope import DeadLetter, encode
from bellwether.naming import dead_subject
from bellwether.runtime.bus import Bus

LONGEST_ERROR = 2000


async def bury(
    bus: Bus, service: str, event_type: str, *, subject: str, message_id: str, body: bytes, attempts: int, error: str
) -> None:
    """Put an event that a service gives up into the stream of dead letters; it is stored when this returns.

    Escaping can make the letter's body larger than the event was, so only what surely fits is kept of it.

    Raises:
        BusError: if it is not known to be stored; do it again, the same letter is kept once.
    """
    room = bus.max_payload // 3
    kept = body[:room].decode(errors="replace")
    letter = DeadLetter(service, subject, message_id, attempts, error[:LONGEST_ERROR], kept, len(body) > room)
    await bus.publish_event(
        dead_subject(service, event_type), encode(letter), message_id=f"{message_id}.dead.{service}"
    )
