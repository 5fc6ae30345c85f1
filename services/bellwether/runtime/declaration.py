"""The declaration as a running service holds it: first from a file, then from the bus, newest generation wins."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar
from bellwether.spec.market import Market
from bellwether.spec.models import TradingSystem
from bellwether.spec.wire import known_part

_log = logging.getLogger(__name__)

Listener = Callable[[TradingSystem], Awaitable[None] | None]


class Ack(msgspec.Struct, frozen=True):
    """What a service says of a generation: applied, or why not."""

    service: str
    generation: int
    applied: bool
    error: str | None = None
    uid: str = ""
    """Uid of the system whose declaration it was: a retained volume may still hold those of an earlier one."""


def generation_of(system: TradingSystem) -> int:
    """Return the declaration's generation; one that was never in a cluster has 0."""
    return system.metadata.generation or 0


def parse_declaration(body: bytes) -> TradingSystem:
    """Return the declaration from its JSON form, without fields of a later release that ask for nothing.

    Raises:
        ValueError: if it is not a TradingSystem.
    """
    document = json.loads(body)
    if isinstance(document, dict) and isinstance(document.get("spec"), dict):
        defaults = document.pop("defaults", None) or ()
        document["spec"] = known_part(document["spec"], defaults)
    return TradingSystem.model_validate(document)


def encode_declaration(system: TradingSystem) -> bytes:
    """Return the declaration's JSON form."""
    return system.model_dump_json(by_alias=True, exclude_none=True).encode()


class DeclarationHolder:
    """The present declaration of one service and who wants to hear of a new one."""

    def __init__(self, service: str, system: TradingSystem | None = None) -> None:
        self._service = service
        self._system = system
        self._calendar: tuple[Market, Calendar] | None = None
        self._listeners: list[Listener] = []
        # What the listeners said of the declaration in force; None: they do not know of it yet.
        self._failures: list[str] | None = None

    @classmethod
    def from_file(cls, service: str, path: Path | None) -> DeclarationHolder:
        """Return a holder with the start value of a JSON file, or with none.

        Raises:
            ValueError: naming the file, if it does not hold a declaration.
        """
        if path is None:
            return cls(service)
        try:
            return cls(service, parse_declaration(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise ValueError(f"declaration {path}: {error}") from error

    @property
    def known(self) -> bool:
        """Whether there is a declaration yet."""
        return self._system is not None

    @property
    def current(self) -> TradingSystem:
        """The declaration in force.

        Raises:
            LookupError: if none has arrived yet.
        """
        if self._system is None:
            raise LookupError(f"{self._service} has no declaration yet: neither a file nor the bus gave one")
        return self._system

    @property
    def calendar(self) -> Calendar:
        """The declared exchange's calendar, made again when `market` has changed.

        Raises:
            LookupError: if no declaration has arrived yet.
            CalendarError: when an override does not fit.
        """
        market = self.current.spec.market
        if self._calendar is None or self._calendar[0] is not market:
            self._calendar = (market, calendar_of(market))
        return self._calendar[1]

    @property
    def generation(self) -> int:
        """The generation in force; -1 before there is one."""
        return -1 if self._system is None else generation_of(self._system)

    def listen(self, listener: Listener) -> None:
        """Call back with the start value and each newer declaration; one that could not be applied comes again."""
        self._listeners.append(listener)

    async def begin(self) -> None:
        """Give the listeners the start value, unless there is none or they know of a newer one.

        What they say of it is part of the next acknowledgement, so a restart makes nothing applied that was refused.
        """
        if self._system is not None and self._failures is None:
            self._failures = await self._give(self._system)

    async def offer(self, body: bytes) -> Ack | None:
        """Take a declaration from the bus, give it to the listeners, and return what to acknowledge.

        An older generation than the one in force is ignored and gives none, and so is the declaration of an earlier
        system, found on a volume that outlived it: generations start again with each uid. When a listener fails, the
        declaration is in force all the same, and the acknowledgement says that it was not applied, and why; offered
        again, it is tried again.
        """
        try:
            system = parse_declaration(body)
        except ValueError as error:
            _log.error("a declaration on the bus is not one: %s", error)
            return None
        generation = generation_of(system)
        known = self._system
        if known is not None and (generation < generation_of(known) or system.metadata.uid != known.metadata.uid):
            return None
        if system != known:
            self._system, self._failures = system, None
        failures = self._failures
        if failures is None or failures:
            failures = self._failures = await self._give(system)
        return Ack(self._service, generation, not failures, "; ".join(failures) or None, system.metadata.uid)

    async def _give(self, system: TradingSystem) -> list[str]:
        failures: list[str] = []
        for listener in self._listeners:
            try:
                done = listener(system)
                if inspect.isawaitable(done):
                    await done
            except Exception as error:
                _log.exception("generation %d could not be applied", generation_of(system))
                failures.append(f"{type(error).__name__}: {error}")
        return failures
