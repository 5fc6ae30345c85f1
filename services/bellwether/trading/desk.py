"""What every part of the trading desk shares: the declaration in force, the ledger, what halts, and the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from sqlalchemy import delete, insert, select, update

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar, Session
from bellwether.market.slots import expected_bar
from bellwether.messages.envelope import LIVE
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.machine import volume_percent
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store, Transaction
from bellwether.trading import tables
from bellwether.trading.announcing import announce
from bellwether.trading.book import Book
from bellwether.trading.events import AccountOpened, LedgerEvent
from bellwether.trading.ledger import Latch, Ledger
from bellwether.trading.rules import Rules, rules_of
from bellwether.trading.situation import Circumstances

T = TypeVar("T")

DECLARED_HALT = "declaration: spec.trading.halted is true"


@dataclass(frozen=True)
class Declaration:
    """The declaration in force, with its rules as exact numbers and its exchange's calendar."""

    system: TradingSystem
    rules: Rules
    calendar: Calendar


class Unreconciled:
    """What is blocked by run, kept in memory beside its table: every decision asks."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def of(self, tx: Transaction, run: str) -> Mapping[str, str]:
        """Return in words why each blocked symbol of a run is."""
        found = self._known.get(run)
        if found is None:
            table = tables.unreconciled
            rows = tx.execute(select(table).where(table.c.run == run)).mappings()
            found = self._known[run] = {str(row["symbol"]): str(row["words"]) for row in rows}
        return found

    def put(self, tx: Transaction, run: str, blocked: Mapping[str, str], now: datetime) -> None:
        """Block exactly these symbols; one that was blocked before keeps since when."""
        before, table = self.of(tx, run), tables.unreconciled
        if before == blocked:
            return
        for symbol in before.keys() - blocked.keys():
            tx.execute(delete(table).where(table.c.run == run, table.c.symbol == symbol))
        for symbol, words in blocked.items():
            if symbol not in before:
                tx.execute(insert(table), {"run": run, "symbol": symbol, "words": words, "since": now.isoformat()})
            elif before[symbol] != words:
                tx.execute(update(table).where(table.c.run == run, table.c.symbol == symbol).values(words=words))
        # Read again at the next question: a transaction that is rolled back must leave nothing in memory.
        self._known.pop(run, None)

    def block(self, tx: Transaction, run: str, symbol: str, words: str, now: datetime) -> None:
        """Block one more symbol."""
        self.put(tx, run, {**self.of(tx, run), symbol: words}, now)


class Desk:
    """The ledger and the declaration that it follows."""

    def __init__(self, context: ServiceContext, store: Store) -> None:
        self.context = context
        self._declaration: Declaration | None = None
        self._days: tuple[Declaration, datetime, date, date] | None = None
        self.store = store
        self.ledger = Ledger()
        self.unreconciled = Unreconciled()

    @property
    def declaration(self) -> Declaration:
        """The declaration in force.

        Raises:
            RpcError: NO_DECLARATION before one has arrived.
        """
        try:
            system = self.context.declaration.current
        except LookupError as error:
            raise RpcError(
                "NO_DECLARATION", "paper-trading has no declaration yet; it comes from a file or the bus"
            ) from error
        if self._declaration is None or self._declaration.system is not system:
            self._declaration = Declaration(system, rules_of(system.spec), calendar_of(system.spec.market))
        return self._declaration

    @property
    def rules(self) -> Rules:
        """What the declaration in force says about trading."""
        return self.declaration.rules

    def run_of(self, tx: Transaction, call: Call) -> str:
        """Return the run that a call is about: its own, or in a replay the newest when it names none."""
        if call.run != LIVE or self.context.clock.live:
            return call.run
        return self.ledger.newest_run(tx) or LIVE

    def now_of(self, call: Call) -> datetime:
        """Return the instant to judge by: the present when live (a message may be old), else the message's."""
        return self.context.clock.now() if self.context.clock.live else call.as_of

    def halts(self, tx: Transaction, run: str) -> tuple[str, ...]:
        """Return what halts a run now, one line per source."""
        return self.lines(self.ledger.latches(tx, run))

    def lines(self, latches: Iterable[Latch]) -> tuple[str, ...]:
        """Return what halts, one line per source: the declaration, then these latches."""
        declared = (DECLARED_HALT,) if self.rules.halted else ()
        return declared + tuple(latch.line() for latch in latches)

    def circumstances(
        self, tx: Transaction, run: str, now: datetime, latches: Iterable[Latch] | None = None
    ) -> Circumstances:
        """Return what holds now."""
        declaration = self.declaration
        halts = self.lines(self.ledger.latches(tx, run) if latches is None else latches)
        # The decisions of a batch meet the same circumstances.
        kept = self._days
        if kept is None or kept[0] is not declaration or kept[1] != now:
            expected = expected_bar(declaration.calendar, now)
            kept = self._days = (declaration, now, self.started_session(now), expected)
        # Of this machine, so never part of a replay.
        percent = volume_percent(self.context.config.data_dir) if self.context.clock.live else None
        return Circumstances(declaration.rules, halts, now, kept[2], kept[3], self.unreconciled.of(tx, run), percent)

    def started_session(self, now: datetime) -> date:
        """Return the newest session whose open is not after an instant."""
        calendar = self.declaration.calendar
        return (calendar.session_at(now) or calendar.previous_session(now)).day

    def session_on(self, day: date) -> Session:
        """Return the session of a day.

        Raises:
            RpcError: NOT_A_SESSION when the exchange is closed all day.
        """
        session = self.declaration.calendar.session_on(day)
        if session is None:
            raise RpcError(
                "NOT_A_SESSION", f"session {day}: {self.declaration.calendar.name} does not trade on that day"
            )
        return session

    def deadline(self, session: Session) -> datetime:
        """Return the instant from which an order for a session must not be sent any more."""
        return session.open + self.rules.ig.send_until if self.rules.mode == "ig-demo" else session.close

    def opened(self, tx: Transaction, run: str, at: datetime) -> Book:
        """Return the book of a run, whose account begins with the first thing that happens in it."""
        book = self.ledger.book(tx, run)
        if book.seq:
            return book
        rules = self.rules
        return self.ledger.append(tx, run, [AccountOpened(at, rules.initial_cash, rules.currency)])

    def record(self, tx: Transaction, run: str, events: Sequence[LedgerEvent], call: Call) -> Book:
        """Add events to the ledger and announce them; return the book after them."""
        book = self.ledger.append(tx, run, events)
        announce(tx, run, events, call)
        return book

    async def look(self, call: Call, work: Callable[[Transaction, str], T]) -> T:
        """Return what a transaction finds in the run that a call is about."""
        return await self.store.transact(lambda tx: work(tx, self.run_of(tx, call)))
