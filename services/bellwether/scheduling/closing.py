"""The close of a live session: tried until its bars are there, at the latest when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from datetime import date, datetime, timedelta

from bellwether.market.sessions import Calendar, Session
from bellwether.market.slots import LONGEST_OFFSET, closes_by
from bellwether.messages.envelope import LIVE
from bellwether.messages.trading import BARS_AWAITED
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims, declarations
from bellwether.scheduling.effects import close_live_session
from bellwether.scheduling.time_settings import Reader
from bellwether.storage.store import Store

LOOK_BACK = timedelta(days=9)
"""How far back sessions are closed, and slots are run, recorded as missed, and reported: longer than any slot lies
from its session."""
_PASSED = "SESSION_PASSED"

_log = logging.getLogger(__name__)


def close_name(session: date) -> str:
    """Return the name under which the close of a session is claimed."""
    return f"{claims.SESSION_CLOSE}-{session:%Y%m%d}"


def unclosed(calendar: Calendar, over: Collection[str], began: datetime, now: datetime) -> list[Session]:
    """Return the sessions that are over and come after the newest close that is, oldest first.

    `over` names the closes that were done or missed. None is from before a system's first start (`began`), and beside
    the newest none from longer ago than `LOOK_BACK`.
    """
    found: list[Session] = []
    session = calendar.previous_session(now)
    while session.close >= began and close_name(session.day) not in over:
        if found and session.close < now - LOOK_BACK:
            break
        found.insert(0, session)
        session = calendar.previous_session(session.open)
    return found


class Closer:
    """Closes sessions, one try at a time, whoever asks."""

    def __init__(self, service: Service, store: Store, reader: Reader) -> None:
        self._service = service
        self._store = store
        self._reader = reader
        self._trying = asyncio.Lock()
        self._said = ""

    async def close(self, session: Session) -> datetime | None:
        """Try to close a session, once in all; return until when its bars are waited for, None when it is closed.

        One that the ledger has gone beyond is recorded as missed.

        Raises:
            RpcError: of the service that could not do its part; it is to be tried again.
        """
        name = close_name(session.day)
        due = claims.Due(name, claims.SESSION_CLOSE, session.day, session.close)
        async with self._trying:
            now = self._service.context.clock.now()
            # A close that was started and did not end, by a restart or for want of bars, is claimed again.
            if not await self._store.transact(lambda tx: claims.claim(tx, LIVE, due, now)):
                return None
            try:
                result = await close_live_session(session.day, self._service.call())
            except RpcError as error:
                if error.code == _PASSED:
                    now = self._service.context.clock.now()
                    await self._store.transact(lambda tx: claims.miss(tx, LIVE, due, now))
                    _log.warning("%s was due at %s and is missed: %s", name, session.close.isoformat(), error.message)
                    return None
                until = closes_by(self._reader.settings.calendar, session)
                if error.code != BARS_AWAITED or now >= until:
                    raise
                if error.message != self._said:
                    _log.info("%s: %s", name, error.message)
                self._said = error.message
                return until
            now = self._service.context.clock.now()
            await self._store.transact(lambda tx: claims.complete(tx, LIVE, name, now, result))
        return None

    async def close_through(self, day: date) -> None:
        """Close a session whose bars are waited for no longer, before work that looks back at it.

        Those before it come first, since the ledger goes back to none.
        That work does not depend on it: what cannot be closed now is closed later.
        """
        calendar, now = self._reader.settings.calendar, self._service.context.clock.now()
        session, known = calendar.session_on(day), await self._store.transact(declarations.history)
        if session is None or known is None or session.close < known.began or now < closes_by(calendar, session):
            return
        found = await self._store.transact(lambda tx: claims.over(tx, LIVE, now - LOOK_BACK - LONGEST_OFFSET))
        for each in unclosed(calendar, found, known.began, now):
            if each.day > day:
                break
            try:
                await self.close(each)
            except RpcError as error:
                _log.warning("%s waits: %s", close_name(each.day), error)
                break
