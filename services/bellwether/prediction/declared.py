"""The declaration as prediction needs it: the spec, and the calendar made of it once."""

from __future__ import annotations

from typing import Any

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError


class Declared:
    """What is declared at the time of asking."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._calendar: Calendar | None = None
        self._market: Any = None

    @property
    def spec(self) -> Any:
        """The spec in force.

        Raises:
            RpcError: NOT_READY, before there is a declaration.
        """
        if not self._context.declaration.known:
            raise RpcError("NOT_READY", "there is no declaration yet")
        return self._context.declaration.current.spec

    @property
    def calendar(self) -> Calendar:
        """The declared calendar, made again when `market` has changed.

        Raises:
            CalendarError: when an override does not fit.
        """
        return self.take_over(self.spec.market)

    def take_over(self, market: Any) -> Calendar:
        """Return the calendar of a `market` and keep it for the next time; raises CalendarError."""
        if self._calendar is None or self._market is not market:
            self._calendar, self._market = calendar_of(market), market
        return self._calendar
