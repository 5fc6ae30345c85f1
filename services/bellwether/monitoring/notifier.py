"""Keeps the book in its bucket, and sends what it owes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from bellwether.market.sessions import load_calendar
from bellwether.monitoring.book import AlertBook, Due, Notice, due, reached, tried, with_notice
from bellwether.monitoring.channels import DeliveryFailed, Ways, send
from bellwether.naming import MONITORING_BUCKET, MONITORING_KEY
from bellwether.runtime.bus import BusError, stored_value
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.tasks import Wake
from bellwether.spec.models import TradingSystem
from bellwether.spec.notifications import Notification

LOOK_SECONDS = 60.0
"""How often it is looked at what is owed, besides after each change and when something is due."""
AT_ONCE = 8
"""How many notices are on their way at the same time."""

Send = Callable[[Notification, Notice, Ways], Awaitable[None]]

_log = logging.getLogger(__name__)


class Notifier:
    """The book and its deliveries. Nothing is sent before it is stored that it is owed."""

    def __init__(self, context: ServiceContext, *, sender: Send = send) -> None:
        config = context.config
        self._context = context
        self._sender = sender
        self._ways = Ways(config.system, config.notify_secrets, config.proxy, config.ca_bundle)
        self._lock = asyncio.Lock()
        self._stored: AlertBook | None = None
        self._wake = Wake(LOOK_SECONDS)
        self.book = AlertBook()

    @property
    def channels(self) -> Sequence[Notification]:
        """The declared channels."""
        declaration = self._context.declaration
        return declaration.current.spec.notifications if declaration.known else ()

    def declared(self, system: TradingSystem) -> None:
        """Look again at what is owed: channels or quiet hours may have changed."""
        self._wake.set()

    async def load(self) -> None:
        """Read the book; waits as long as the bus cannot be asked."""
        found = await stored_value(
            self._context.bus, MONITORING_BUCKET, MONITORING_KEY, "monitoring waits for its book"
        )
        if found is not None:
            try:
                self.book = self._stored = msgspec.json.decode(found, type=AlertBook)
            except msgspec.DecodeError as error:
                _log.error("the stored alarms and notices cannot be read, monitoring starts without them: %s", error)

    async def store(self) -> None:
        """Store the book where it changed.

        Raises:
            BusError: it is not known to be stored; the next call stores it.
        """
        async with self._lock:
            book = self.book
            if book is not self._stored:
                await self._context.bus.kv_put(MONITORING_BUCKET, MONITORING_KEY, msgspec.json.encode(book))
                self._stored = book

    def add(self, notice: Notice) -> None:
        """Owe a notice to every channel that wants it; `store` makes that last."""
        self.book = with_notice(self.book, notice, self.channels)
        self._wake.set()

    async def deliver(self) -> None:
        """Send what is owed, again and again."""
        while True:
            later = await self.deliver_once()
            if later is not None:
                seconds = max(0.05, (later - self._context.clock.now()).total_seconds())
                asyncio.get_running_loop().call_later(min(seconds, LOOK_SECONDS), self._wake.set)
            await self._wake.wait()

    async def deliver_once(self) -> datetime | None:
        """Send what is due now; return when more is due, or None."""
        if not self._context.declaration.known:
            return None
        zone = load_calendar(self._context.declaration.current.spec.market.calendar).timezone
        while True:
            self.book, ready, later = due(self.book, self.channels, zone, self._context.clock.now())
            try:
                await self.store()
            except BusError as error:
                _log.warning("what is owed is not stored yet, so nothing is sent: %s", error)
                await asyncio.sleep(1.0)
                continue
            if not ready:
                return later
            await asyncio.gather(*(self._try(one) for one in ready[:AT_ONCE]))

    async def _try(self, one: Due) -> None:
        error = await self.attempt(one.channel, one.notice)
        self.book = tried(self.book, one.notice.id, one.channel.name, error, self._context.clock.now())

    async def test(self, channel: Notification, notice: Notice) -> str | None:
        """Send a test message; return why it did not arrive. Once one arrives, what is owed follows at once."""
        error = await self.attempt(channel, notice)
        if error is None:
            self.book = reached(self.book, channel.name, self._context.clock.now())
            self._wake.set()
        return error

    async def attempt(self, channel: Notification, notice: Notice) -> str | None:
        """Send a notice now; return why it did not arrive, or None."""
        try:
            await self._sender(channel, notice, self._ways)
        except DeliveryFailed as failure:
            _log.warning("notification %s: %s is not delivered: %s", channel.name, notice.id, failure)
            return str(failure)
        except Exception as error:
            # What an unexpected exception says may hold a secret.
            _log.error("notification %s: %s is not delivered: %s", channel.name, notice.id, type(error).__name__)
            return type(error).__name__
        _log.info("notification %s: %s is delivered", channel.name, notice.id)
        return None
