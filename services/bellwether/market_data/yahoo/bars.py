"""Provider yahoo: what was fetched, and the work of fetching it within Yahoo's limits."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bellwether.market.declared import task_rules
from bellwether.market.sessions import Calendar
from bellwether.market.slots import slots
from bellwether.market_data.loaded import LoadedBars
from bellwether.market_data.rows import Loaded, NotYet, SourceError
from bellwether.market_data.yahoo.answers import OF_ALL, Refused, disagreement, loaded, newest_final
from bellwether.market_data.yahoo.asking import Conversation, Reach, conversation
from bellwether.market_data.yahoo.due import (
    LEAD,
    WINDOW_SESSIONS,
    Allowance,
    Ask,
    Hold,
    Record,
    answered,
    doubted,
    due,
    expected_final,
    held,
    refused,
    whole_history,
)
from bellwether.messages.market_data import Bar
from bellwether.runtime.clock import Clock, monotonic
from bellwether.spec.data import YahooData
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystemSpec
from bellwether.storage.folders import write_durably

STATE = "asked.json"
FOLLOWED = timedelta(days=3)
"""How long a symbol that is not declared any more is asked for after the last question about it."""
MOST_SHAPELESS = 3
"""After so many symbols in a row with an answer of another shape, the shape has changed for all."""
FIRST_REQUESTS, REQUESTS = 4, 2
"""What a symbol takes: cookie and crumb once for each process, then time zone and chart."""

_log = logging.getLogger(__name__)


class _State(msgspec.Struct):
    records: dict[str, Record] = {}
    hold: Hold | None = None


@dataclass(frozen=True)
class Plan:
    """What a system needs of Yahoo: its symbols on a calendar, and the instants at which their bars are used."""

    calendar: Calendar
    symbols: Sequence[str]
    slots: Sequence[datetime]
    stored: Callable[[str], Iterable[Bar]]
    """The bars that are stored of a symbol, as traded."""
    arrived: Callable[[str], Awaitable[None]]
    """Called for each symbol after it was answered for, with bars or with an error."""


def plan_of(spec: TradingSystemSpec, book: LoadedBars, clock: Clock, arrived: Callable[[str], Awaitable[None]]) -> Plan:
    """Return what a declared system needs of Yahoo now."""
    now = clock.now()

    def stored(symbol: str) -> Sequence[Bar]:
        if not book.knows(symbol):
            return ()
        return book.series(symbol).unadjusted(now).bars(2 * WINDOW_SESSIONS)

    return Plan(book.calendar, spec.symbols, coming_slots(spec, book, now), stored, arrived)


def coming_slots(spec: TradingSystemSpec, book: LoadedBars, now: datetime) -> list[datetime]:
    """Return the instants at which tasks are due within the time that bars and news are seen to before them."""
    return [slot.due for slot in slots(task_rules(spec.tasks), book.calendar, now, now + 2 * LEAD)]


@dataclass
class _Progress:
    done: int = 0
    wanted: int = 0


@dataclass
class YahooBars:
    """The source of bars that asks Yahoo; one for each system."""

    declared: YahooData
    folder: Path
    reach: Reach
    now: Callable[[], datetime]
    _found: dict[str, Loaded] = field(default_factory=dict)
    _questions: dict[str, datetime] = field(default_factory=dict)
    _progress: _Progress = field(default_factory=_Progress)
    _asking: bool = False
    _shapeless: int = 0

    def __post_init__(self) -> None:
        self._delay: timedelta = parse_duration(self.declared.delay)
        self.allowance = Allowance(self.declared.requests_per_minute)
        self._state = self._read()

    @property
    def hold(self) -> Hold | None:
        """Why nothing is asked; None where nothing is in the way."""
        return self._state.hold

    # As a source

    def fingerprint(self, symbol: str) -> str:
        """Return the hash of what was fetched last; that of before a restart, too.

        Raises:
            NotYet: before the first answer.
            SourceError: while Yahoo does not answer, or gives no bars for the symbol.
        """
        self._questions[symbol] = self.now()
        hold = self._state.hold
        record = self._state.records.get(symbol, Record())
        if hold is not None:
            raise SourceError(hold.reason)
        if record.error:
            raise SourceError(record.error)
        if record.fingerprint is None:
            raise NotYet(f"{symbol}: its history is being fetched from Yahoo{self._how_far()}")
        return record.fingerprint

    def load(self, symbol: str) -> Loaded:
        """Return the rows that were fetched last.

        Raises:
            SourceError: when this process fetched none; they are then fetched again.
        """
        found = self._found.get(symbol)
        if found is None:
            self._state.records[symbol] = doubted(self._state.records.get(symbol, Record()), "its rows were not stored")
            raise SourceError(f"{symbol}: its history is fetched from Yahoo again")
        return found

    def describe(self) -> dict[str, Any]:
        """Return what health says of asking."""
        hold = self._state.hold
        found: dict[str, Any] = {
            "requests_last_minute": self.allowance.used(monotonic()),
            "requests_per_minute": self.declared.requests_per_minute,
            "asking": self._asking,
        }
        if self._asking:
            found["progress"] = f"{self._progress.done} of {self._progress.wanted} symbols"
        if hold is not None:
            found["held_until"] = hold.until.isoformat()
            found["held_because"] = hold.reason
        answers = [record.asked_at for record in self._state.records.values() if record.asked_at is not None]
        if answers:
            found["last_answer"] = max(answers).isoformat()
        return found

    def _how_far(self) -> str:
        return f" ({self._progress.done} of {self._progress.wanted} symbols are there)" if self._asking else ""

    # Asking

    async def ask_due(self, plan: Plan) -> None:
        """Ask for what is due now, one symbol after the other; returns at once where nothing is."""
        now = self.now()
        if self._state.hold is not None and now < self._state.hold.until:
            return
        asks = due(
            dict.fromkeys([*plan.symbols, *self._followed(now)]),
            self._state.records,
            plan.calendar,
            delay=self._delay,
            years=self.declared.history_years,
            slots=plan.slots,
            now=now,
        )
        if not asks:
            return
        self._asking = True
        self._progress = _Progress(wanted=len(asks))
        _log.info("yahoo: asking for %d symbols, %s: %s", len(asks), asks[0].symbol, asks[0].reason)
        try:
            async with conversation(self.reach) as child:
                await self._converse(child, deque(asks), plan)
        except Refused as error:
            self.hold_all(error)
            for ask in asks:
                await plan.arrived(ask.symbol)
        finally:
            self._asking = False
            await asyncio.to_thread(self._write)

    def _followed(self, now: datetime) -> list[str]:
        """Return the symbols, declared or not, that somebody asked for lately."""
        return sorted(symbol for symbol, asked in list(self._questions.items()) if now - asked < FOLLOWED)

    async def _converse(self, child: Conversation, asks: deque[Ask], plan: Plan) -> None:
        wanted = FIRST_REQUESTS
        while asks:
            ask = asks.popleft()
            if pause := self.allowance.wait(monotonic(), wanted):
                await asyncio.sleep(pause)
            wanted = REQUESTS
            again = await self._one(child, ask, plan)
            if again is not None:
                asks.appendleft(again)
                continue
            self._progress.done += 1
            await asyncio.to_thread(self._write)
            await plan.arrived(ask.symbol)
            if ask.whole:
                # By now it is stored; so many rows are not kept twice.
                self._found.pop(ask.symbol, None)

    async def _one(self, child: Conversation, ask: Ask, plan: Plan) -> Ask | None:
        """Take in one symbol's answer; return what to ask instead where it contradicts what is stored."""
        symbol = ask.symbol
        record = self._state.records.get(symbol, Record())
        try:
            try:
                answer = await child.ask(ask)
            except Refused:
                self.allowance.spend(monotonic(), REQUESTS)
                raise
            self.allowance.spend(monotonic(), answer.requests)
            found = loaded(answer, plan.calendar, self.now())
        except Refused as error:
            self._shapeless = self._shapeless + 1 if error.kind == "shape" else 0
            if error.kind in OF_ALL or self._shapeless >= MOST_SHAPELESS:
                raise
            self._state.hold = None
            self._state.records[symbol] = refused(record, error=str(error), now=self.now())
            return None
        self._state.hold = None
        self._shapeless = 0
        if not ask.whole and (contradiction := disagreement(found, plan.stored(symbol))):
            reason = f"what Yahoo states now contradicts what is stored: {contradiction}"
            _log.warning("%s: %s; its whole history is fetched again", symbol, reason)
            self._state.records[symbol] = doubted(record, reason)
            return whole_history(symbol, plan.calendar, self.declared.history_years, self.now(), reason)
        self._found[symbol] = found
        newest = expected_final(plan.calendar, self._delay, self.now()).day
        final = newest_final(found, plan.calendar, self._delay)
        self._state.records[symbol] = answered(
            record, ask, fingerprint=found.fingerprint, final=final, now=self.now(), newest=newest
        )
        return None

    def hold_all(self, error: Refused) -> None:
        """Ask for nothing for a while."""
        now = self.now()
        chance = random.random()  # noqa: S311 (spreads systems over time, keeps no secret)
        hold = held(self._state.hold, now, str(error), chance, limited=error.kind == "rate-limited")
        self._state.hold = hold
        _log.warning("yahoo: %s", hold.reason)

    # Remembering

    def _read(self) -> _State:
        try:
            return msgspec.json.decode((self.folder / STATE).read_bytes(), type=_State)
        except FileNotFoundError:
            return _State()
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("%s cannot be read, so all history is fetched again: %s", self.folder / STATE, error)
            return _State()

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self.folder / STATE, msgspec.json.encode(self._state))
