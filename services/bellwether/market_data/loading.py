"""Reads symbols from their source, stores what is new or corrected, and has the bars in memory follow."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from bellwether.market_data import store as bars_store
from bellwether.market_data.intake import take_in
from bellwether.market_data.known import Rules
from bellwether.market_data.loaded import LoadedBars, held_back, recorded_of
from bellwether.market_data.rows import Loaded, NotYet, SourceError
from bellwether.market_data.sources import Source
from bellwether.runtime.clock import Clock
from bellwether.storage.store import Store, Transaction

MOST_ANNOUNCED = 20
"""So many sessions of one statement are announced, the newest."""
MOST_TOLD = 20
"""So many odd rows of a symbol are told one by one."""

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
        for words in book.odd[symbol][:MOST_TOLD]:
            _log.warning("%s: %s", symbol, words)
        if intake.hold is not None and intake.hold != stored.hold:
            _log.warning("%s", held_back(symbol, intake.hold))
        elif intake.hold is None and stored.hold is not None:
            _log.info("%s is held back no longer", symbol)
