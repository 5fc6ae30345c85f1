"""Reads symbols from their source, stores what is new or corrected, has the bars in memory follow, and publishes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial

from bellwether.market_data import store as bars_store
from bellwether.market_data.intake import take_in
from bellwether.market_data.known import Rules
from bellwether.market_data.loaded import LoadedBars, NoData, held_back, recorded_of
from bellwether.market_data.rows import Loaded, NotYet, SourceError
from bellwether.market_data.sources import Source
from bellwether.messages.market_data import MarketDataUpdated
from bellwether.naming import symbol_token
from bellwether.runtime.call import Call
from bellwether.runtime.clock import Clock
from bellwether.runtime.relay import ends_of
from bellwether.storage.store import Store, Transaction

MOST_ANNOUNCED = 20
"""So many sessions of one statement are announced, the newest."""
MOST_REPORTED = 20
"""So many odd rows of a symbol are reported one by one."""

_log = logging.getLogger(__name__)


class Loader:
    """Brings bars from their source into the store and into memory."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def load(
        self, book: LoadedBars, source: Source, rules: Rules, symbol: str, *, only_changed: bool = False
    ) -> None:
        """Read a symbol's bars from the source if they changed, take them in, and answer from them from then on."""
        known = await self._store.transact(lambda tx: bars_store.newest_load(tx, symbol))
        previous = book.errors.pop(symbol, None)
        try:
            fingerprint = await asyncio.to_thread(source.fingerprint, symbol)
            if known is None or fingerprint != known.fingerprint:
                await self._take_in(book, rules, symbol, await asyncio.to_thread(source.load, symbol))
            elif only_changed:
                book.loading.pop(symbol, None)
                return
        except NotYet as error:
            book.loading[symbol] = str(error)
            if known is None or only_changed:
                return
        except SourceError as error:
            book.loading.pop(symbol, None)
            book.errors[symbol] = str(error)
            if str(error) != previous:
                _log.warning("%s", error)
            if known is None or only_changed:
                return
        stored = await self._store.transact(lambda tx: bars_store.read(tx, symbol))
        book.put(symbol, recorded_of(stored, rules))
        book.loading.pop(symbol, None)

    async def _take_in(self, book: LoadedBars, rules: Rules, symbol: str, loaded: Loaded) -> None:
        """Store what a statement changes, as the newest versions, and tell what is odd about it."""
        live = self._clock.live
        now = self._clock.now() if live else datetime.now(UTC)
        stored = await self._store.transact(lambda tx: bars_store.read(tx, symbol))
        try:
            intake = await asyncio.to_thread(take_in, stored, loaded, rules, now)
        except (ArithmeticError, ValueError) as error:
            _log.exception("%s: %s cannot be taken in", symbol, loaded.source)
            raise SourceError(f"{loaded.source}: its rows cannot be taken in ({error!r}); stored bars stay") from error
        late = [bar.session for bar in intake.bars if rules.final(bar.session, loaded.recorded_at)]

        def write(tx: Transaction) -> None:
            bars_store.write(tx, symbol, loaded, intake, now)
            if live and stored.bars:
                bars_store.to_announce(tx, symbol, late[-MOST_ANNOUNCED:])

        await self._store.transact(write)
        book.odd[symbol] = [f"{one.where}: {one.message}" for one in intake.odd] + list(intake.notes)
        _log.info("%s: %d rows read, %d bars are new or corrected", symbol, len(loaded.rows), len(intake.bars))
        for words in book.odd[symbol][:MOST_REPORTED]:
            _log.warning("%s: %s", symbol, words)
        if intake.hold is not None and intake.hold != stored.hold:
            _log.warning("%s", held_back(symbol, intake.hold))
        elif intake.hold is None and stored.hold is not None:
            _log.info("%s is held back no longer", symbol)


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
        ids = [event_id for event_id, _ in events]
        sending = [call.publish_event("market_data_updated", update, event_id=event_id) for event_id, update in events]
        # Together, as each waits until the stream has it.
        for ended in await ends_of(sending, one_by_one=call.context.config.group_commit):
            if ended is not None:
                raise ended
        if self._live:
            self._announced.update(ids)
        return ids

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
        """Tell about bars of older sessions that came or were corrected; what is reported once is forgotten."""
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
