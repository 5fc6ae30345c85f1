"""The close of a live session: tried until its bars are there, at the latest when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import logging
from datetime import date, datetime

from bellwether.market.freshness import settles_by
from bellwether.market.sessions import Session
from bellwether.messages.envelope import LIVE
from bellwether.messages.trading import BARS_AWAITED
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims
from bellwether.scheduling.effects import settle_session
from bellwether.scheduling.words import Reader
from bellwether.storage.store import Store

_log = logging.getLogger(__name__)


def close_name(session: date) -> str:
    """Return the name under which the close of a session is claimed."""
    return f"{claims.SESSION_CLOSE}-{session:%Y%m%d}"


class Closer:
    """Closes sessions, one try at a time, whoever asks."""

    def __init__(self, service: Service, store: Store, reader: Reader) -> None:
        self._service = service
        self._store = store
        self._reader = reader
        self._trying = asyncio.Lock()

    async def close(self, session: Session) -> datetime | None:
        """Try to close a session, once in all; return until when its bars are waited for, None when it is closed.

        Raises:
            RpcError: of the service that could not do its part; it is to be tried again.

        """
        name = close_name(session.day)
        due = claims.Due(name, claims.SESSION_CLOSE, session.day, session.close)
        async with self._trying:
            now = self._service.context.clock.now()
            # A close that was begun and did not end, by a restart or for want of bars, is claimed again.
            if not await self._store.transact(lambda tx: claims.claim(tx, LIVE, due, now)):
                return None
            try:
                result = await settle_session(session.day, self._service.call())
            except RpcError as error:
                until = settles_by(self._reader.words.calendar, session)
                if error.code != BARS_AWAITED or now >= until:
                    raise
                _log.info("%s: %s", name, error.message)
                return until
            now = self._service.context.clock.now()
            await self._store.transact(lambda tx: claims.complete(tx, LIVE, name, now, result))
        return None

    async def settle(self, day: date) -> None:
        """Close a session whose bars are waited for no longer, before work that looks back at it.

        That work does not depend on it: what cannot be closed now is closed later.
        """
        calendar, now = self._reader.words.calendar, self._service.context.clock.now()
        session, began = calendar.session_on(day), await self._store.transact(claims.first_start)
        if session is None or began is None or session.close < began or now < settles_by(calendar, session):
            return
        try:
            await self.close(session)
        except RpcError as error:
            _log.warning("%s waits: %s", close_name(day), error)
