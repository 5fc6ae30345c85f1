"""An open or close of a session that fails: what is told of it, and when it is no passing thing any more. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

from bellwether.messages.scheduling import FailingSession
from bellwether.runtime.errors import RpcError

LASTING = timedelta(minutes=1)
"""So long it may be a restart: a service is back after half of it, and then the next try succeeds."""
LEAST_TRIES = 3
"""Fewer tells nothing, however long it took: a machine that slept, or a call that used up all of its time."""


def failing_after(
    before: FailingSession | None, step: Literal["open", "close"], session: date, error: RpcError, now: datetime
) -> FailingSession:
    """Return what is to be told of a session's step that failed at `now` (aware); `before` is what was told last.

    Counted from its first failure on, whatever the error. The words of an error may be others at each try, if only by
    the id of a request. They are renewed with another code and with each doubling of the tries, so that whoever passes
    them on has something new to say now and then, and not at every look.
    """
    if before is None or (before.step, before.session) != (step, session):
        return FailingSession(step, session, error.code, error.message, since=now, tries=1, lasting=False)
    tries = before.tries + 1
    renewed = before.code != error.code or tries.bit_count() == 1
    return FailingSession(
        step=step,
        session=session,
        code=error.code,
        message=error.message if renewed else before.message,
        since=before.since,
        tries=tries,
        lasting=tries >= LEAST_TRIES and now - before.since >= LASTING,
    )
