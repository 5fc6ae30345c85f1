"""The events that tell of new and corrected bars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

from bellwether.market_data import store as bars_store
from bellwether.market_data.loaded import LoadedBars, NoData
from bellwether.messages.market_data import MarketDataUpdated
from bellwether.naming import symbol_token
from bellwether.runtime.call import Call
from bellwether.storage.store import Store


class Announcer:
    """Publishes bars, and remembers in a live system which it has published."""

    def __init__(self, store: Store, book: Callable[[], LoadedBars], *, live: bool) -> None:
        self._store = store
        self._book = book
        self._live = live
        self._announced: set[str] = set()

    def has_news(self, session: date, call: Call) -> bool:
        """Whether bars of a session were not published yet."""
        return any(event_id not in self._announced for event_id, _ in self._events(session, call))

    async def publish(self, session: date, call: Call) -> list[str]:
        """Publish the bars of a session, one event per declared symbol that has one; return the events' ids."""
        events = self._events(session, call)
        for event_id, update in events:
            await call.publish_event("market_data_updated", update, event_id=event_id)
            if self._live:
                self._announced.add(event_id)
        return [event_id for event_id, _ in events]

    def _events(self, session: date, call: Call) -> list[tuple[str, MarketDataUpdated]]:
        found: list[tuple[str, MarketDataUpdated]] = []
        book = self._book()
        for symbol in sorted(book.declared):
            try:
                series = book.series(symbol)
            except NoData:
                continue
            if series.bar_on(session) is None:
                continue
            revision = series.unadjusted(call.as_of).revision
            event_id = f"bars-{symbol_token(symbol)}-{session:%Y%m%d}-{revision[:16]}"
            found.append((event_id, MarketDataUpdated(symbol, session, revision)))
        return found

    async def publish_late(self, call: Call) -> None:
        """Tell about bars of older sessions that came or were corrected; what is told once is forgotten."""
        for symbol, session in await self._store.transact(bars_store.unannounced):
            found = [
                one for one in self._events(session, call) if one[1].symbol == symbol and one[0] not in self._announced
            ]
            for event_id, update in found:
                attributes = {"bellwether.session": session.isoformat()}
                with call.start_root("bars", attributes=attributes) as inner:
                    await inner.publish_event("market_data_updated", update, event_id=event_id)
                self._announced.add(event_id)
            await self._store.transact(partial(bars_store.announced, symbol=symbol, session=session))
