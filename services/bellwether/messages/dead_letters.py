"""Questions about dead letters: events that were given up, until somebody publishes them again or drops them."""

from __future__ import annotations

from datetime import datetime

import msgspec


class ListDeadLetters(msgspec.Struct, frozen=True):
    """Ask for the oldest dead letters from a number on."""

    after: int = 0
    limit: int = 50


class DeadLetterInfo(msgspec.Struct, frozen=True):
    """One dead letter: who gave it up, when (UTC), after how many attempts, and why."""

    number: int
    timestamp: datetime
    service: str
    type: str
    attempts: int
    error: str
    complete: bool
    """Whether the whole event is kept, so that it can be published again."""


class DeadLetters(msgspec.Struct, frozen=True):
    """Dead letters, oldest first, and how many there are in all."""

    total: int
    letters: list[DeadLetterInfo]


class PickDeadLetter(msgspec.Struct, frozen=True):
    """Name one dead letter by its number."""

    number: int


class DeadLetterBody(msgspec.Struct, frozen=True):
    """One dead letter with the event as it was published."""

    letter: DeadLetterInfo
    subject: str
    message_id: str
    body: str


class DeadLetterGone(msgspec.Struct, frozen=True):
    """What became of a dead letter: replayed or dropped."""

    number: int
    status: str
    message_id: str = ""
    """The id under which it was published again."""
