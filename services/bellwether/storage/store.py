"""A database with one owner: one file, one connection, one thread, one transaction at a time.

`transact` runs a function in one transaction. Effects, the inbox row of the event that caused them and the outbox
rows of the events that follow are in it together, so that after a kill at any time either all of it happened or
none. The relay of the runtime publishes what was committed.

A store remembers what it was created with, and is not opened for a declaration that says otherwise.

With `inline` (a replay) work runs on the caller's thread, since the way to another one and back takes longer than most
transactions. With `group_commit` (a replay without NATS) it does, too, and becomes durable at `flush`; each transaction
is still all or nothing. Its events are not stored: after a kill the step that made them is done once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, MetaData, create_engine, event
from sqlalchemy.pool import StaticPool

from bellwether.spec.created_with import created_differently
from bellwether.storage.holding import Holding
from bellwether.storage.tables import add_bus_tables

T = TypeVar("T")
Upgrade = Callable[[Connection], None]
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_CREATED_WITH_TABLE = "CREATE TABLE IF NOT EXISTS begun (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_OUTBOX_INSERT = (
    "INSERT INTO outbox (message_id, subject, trace, body) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (message_id) DO UPDATE SET published_at = NULL RETURNING sequence"
)
_INBOX_INSERT = "INSERT INTO inbox (run, event_id, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_OUTBOX_PRUNE = (
    "DELETE FROM outbox WHERE sequence IN "
    "(SELECT sequence FROM outbox WHERE published_at IS NOT NULL AND published_at < ? ORDER BY sequence LIMIT ?)"
)
_INBOX_PRUNE = (
    "DELETE FROM inbox WHERE (run, event_id) IN "
    "(SELECT run, event_id FROM inbox WHERE at IS NOT NULL AND at < ? LIMIT ?)"
)
PRUNE_BATCH = 2000
"""Rows that one transaction of pruning takes away: others wait meanwhile."""
_OUTBOX_WAITING = (
    "SELECT sequence, message_id, subject, trace, body FROM outbox "
    "WHERE published_at IS NULL AND sequence > ? ORDER BY sequence LIMIT ?"
)
_OUTBOX_MARK = "UPDATE outbox SET published_at = ? WHERE sequence = ?"


class OutboxEvent(NamedTuple):
    """An event ready to be published: made by `call.event(...)`, stored by `tx.outbox(...)`."""

    message_id: str
    subject: str
    trace: str | None
    body: bytes


class OutboxRow(NamedTuple):
    """An event in the outbox; its sequence is 0 where it is not stored."""

    sequence: int
    event: OutboxEvent


class StoreError(Exception):
    """The database cannot be used; the message names the file and what would be right."""


class Transaction:
    """One open transaction."""

    def __init__(
        self, connection: Connection, driver: sqlite3.Connection | None = None, *, stores_events: bool = True
    ) -> None:
        self.connection = connection
        # What happens for each event goes to the driver: SQLAlchemy's way there costs ten times the statement.
        self.driver = driver or _driver_of(connection)
        self.outgoing: list[OutboxRow] = []
        self._stores_events = stores_events

    def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Run an SQLAlchemy Core statement; a list of parameters runs it for each."""
        return self.connection.execute(statement, parameters)

    def outbox(self, event: OutboxEvent) -> None:
        """Publish an event after this transaction is in.

        The same message id again publishes the same event again: whoever repeats a step must repeat its events,
        and consumers drop what they already have.
        """
        sequence = self.driver.execute(_OUTBOX_INSERT, event).fetchone()[0] if self._stores_events else 0
        self.outgoing.append(OutboxRow(sequence, event))

    def claim(self, run: str, event_id: str) -> bool:
        """Record that an event's effect is in this transaction; False if it was in one before."""
        return self.driver.execute(_INBOX_INSERT, (run, event_id, time.time())).rowcount == 1


class QueuedWork(NamedTuple):
    """Work that waits for the store's thread, and what takes its result."""

    work: Callable[[Transaction], Any]
    done: Future[Any]


class Store:
    """The one connection to a database; make it with `Store.open`."""

    def __init__(self, engine: Engine, path: Path, pool: ThreadPoolExecutor | None, *, group_commit: bool) -> None:
        self.path = path
        self.group_commit = group_commit
        """Whether work becomes durable at `flush` instead of at each transaction."""
        self._engine = engine
        self._pool = pool
        self._urgent: deque[QueuedWork] = deque()
        self._ordinary: deque[QueuedWork] = deque()
        self._connection: Connection | None = None
        self._driver: sqlite3.Connection | None = None
        self._listener: Callable[[list[OutboxRow]], None] | None = None
        self._closed = False
        self.holding = Holding()
        """The gate that transactions wait at."""

    @classmethod
    def open(
        cls,
        path: Path,
        metadata: MetaData,
        *,
        version: int = 1,
        upgrades: Mapping[int, Upgrade] | None = None,
        synchronous: Literal["FULL", "NORMAL"] = "NORMAL",
        inline: bool = False,
        group_commit: bool = False,
        created_with: Mapping[str, str] | None = None,
    ) -> Store:
        """Open a database, making its tables when it is new and bringing an older one to `version`.

        `upgrades[n]` changes the tables of version n into those of n + 1. FULL survives a loss of power at any
        instant, NORMAL may lose the last transactions then, but is never left inconsistent. `created_with` is
        for a new one (see spec.created_with); one of a release that did not record them adopts them.

        Raises:
            StoreError: if the file is of a newer version, no upgrade leads to this one, or it was created differently.
        """
        add_bus_tables(metadata)
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{path}", poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _pragmas("NORMAL" if group_commit else synchronous, grouped=group_commit))
        event.listen(engine, "begin", _begin_immediate)
        try:
            _prepare(engine, path, metadata, version, upgrades or {})
            _begin(engine, path, created_with or {})
        except BaseException:
            engine.dispose()
            raise
        pool = None if inline or group_commit else ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        return cls(engine, path, pool, group_commit=group_commit)

    @property
    def inline(self) -> bool:
        """Whether work runs on the caller's thread."""
        return self._pool is None

    def on_outgoing(self, listener: Callable[[list[OutboxRow]], None]) -> None:
        """Tell a listener, on the event loop and in order of the transactions, what they put into the outbox."""
        self._listener = listener

    async def transact(self, work: Callable[[Transaction], T], *, urgent: bool = False) -> T:
        """Run a function in one transaction and return its result; if it raises, nothing of it happened.

        An urgent one comes before all that wait; transactions are otherwise in the order in which they were asked for.
        While writes are held it waits too, but an urgent one breaks the hold.
        """
        if self.holding.active:
            if urgent:
                self.holding.end()
            await self.holding.wait()
        if self._closed:
            raise StoreError(f"{self.path.name} is closed")
        if self._pool is None:
            result, outgoing = self._grouped(work) if self.group_commit else self._single(work)
        else:
            # Shielded: a caller that gave up must not part the commit from the news of its events.
            return await asyncio.shield(asyncio.ensure_future(self._in_thread(self._pool, work, urgent)))
        self._notify(outgoing)
        return result

    async def _in_thread(self, pool: ThreadPoolExecutor, work: Callable[[Transaction], T], urgent: bool) -> T:
        queued = QueuedWork(work, Future())
        (self._urgent if urgent else self._ordinary).append(queued)
        # As many as there is queued work: each takes whichever is next by then.
        pool.submit(self._next)
        result, outgoing = await asyncio.wrap_future(queued.done)
        self._notify(outgoing)
        return result  # type: ignore[no-any-return]

    def _next(self) -> None:
        queued = (self._urgent or self._ordinary).popleft()
        if not queued.done.set_running_or_notify_cancel():
            return
        try:
            queued.done.set_result(self._single(queued.work))
        except BaseException as error:
            queued.done.set_exception(error)

    def _notify(self, outgoing: list[OutboxRow]) -> None:
        if outgoing and self._listener is not None:
            self._listener(outgoing)

    def _single(self, work: Callable[[Transaction], T]) -> tuple[T, list[OutboxRow]]:
        connection, driver = self._opened()
        # SQLAlchemy takes part from the first statement that it runs: most transactions run none, and its way of
        # beginning and ending one takes longer than SQLite's.
        driver.execute("BEGIN IMMEDIATE")
        transaction = Transaction(connection, driver)
        try:
            result = work(transaction)
            (connection if connection.in_transaction() else driver).commit()
        except BaseException:
            (connection if connection.in_transaction() else driver).rollback()
            raise
        return result, transaction.outgoing

    def _opened(self) -> tuple[Connection, sqlite3.Connection]:
        if self._connection is None or self._driver is None:
            self._connection = self._engine.connect()
            self._driver = _driver_of(self._connection)
        return self._connection, self._driver

    def _grouped(self, work: Callable[[Transaction], T]) -> tuple[T, list[OutboxRow]]:
        connection, driver = self._opened()
        if not driver.in_transaction:
            connection.begin()
        transaction = Transaction(connection, driver, stores_events=False)
        driver.execute("SAVEPOINT step")
        try:
            result = work(transaction)
        except BaseException:
            driver.execute("ROLLBACK TO step")
            raise
        finally:
            driver.execute("RELEASE step")
        return result, transaction.outgoing

    async def flush(self) -> None:
        """Make all that was done durable; only `group_commit` leaves something to do."""
        if self.group_commit and self._connection is not None and self._connection.in_transaction():
            self._connection.commit()

    async def checkpoint(self) -> None:
        """Wait for the transactions that were asked for, and write the log back into the database file."""
        await self.flush()
        if self._pool is None:
            self._write_back()
        else:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._write_back)

    def _write_back(self) -> None:
        with contextlib.closing(self._engine.raw_connection()) as connection:
            # Whoever reads beside keeps some of the log in use; it is whole all the same.
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def claimed(self, run: str, event_ids: Collection[str]) -> set[str]:
        """Return those of the events whose effect is in."""

        def look(tx: Transaction) -> set[str]:
            query = "SELECT 1 FROM inbox WHERE run = ? AND event_id = ?"
            return {one for one in event_ids if tx.driver.execute(query, (run, one)).fetchone()}

        return await self.transact(look)

    async def waiting(self, after: int, limit: int) -> list[OutboxRow]:
        """Return the oldest unpublished events whose sequence is over `after`."""

        def look(tx: Transaction) -> list[OutboxRow]:
            rows = tx.driver.execute(_OUTBOX_WAITING, (after, limit)).fetchall()
            return [OutboxRow(row[0], OutboxEvent(*row[1:])) for row in rows]

        return await self.transact(look)

    async def mark_published(self, sequences: Sequence[int]) -> None:
        """Record that events are in their stream."""
        if marks := [(time.time(), sequence) for sequence in sequences]:
            await self.transact(lambda tx: tx.driver.executemany(_OUTBOX_MARK, marks))

    async def prune(self, *, outbox_before: float, inbox_before: float) -> tuple[int, int]:
        """Delete published outbox rows and inbox rows older than these (wall time in seconds); return how many went."""
        return await self._prune(_OUTBOX_PRUNE, outbox_before), await self._prune(_INBOX_PRUNE, inbox_before)

    async def _prune(self, statement: str, before: float) -> int:
        def batch(tx: Transaction) -> int:
            return tx.driver.execute(statement, (before, PRUNE_BATCH)).rowcount

        gone = total = await self.transact(batch)
        while gone == PRUNE_BATCH:
            gone = await self.transact(batch)
            total += gone
        return total

    async def close(self) -> None:
        """Make all durable and close the file."""
        if self._closed:
            return
        await self.flush()
        self._closed = True
        if self._pool is None:
            self._dispose()
            return
        with self._pool as pool:
            await asyncio.get_running_loop().run_in_executor(pool, self._dispose)

    def _dispose(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


def _driver_of(connection: Connection) -> sqlite3.Connection:
    return connection.connection.driver_connection  # type: ignore[return-value]


def _pragmas(synchronous: str, *, grouped: bool) -> Callable[[Any, Any], None]:
    def connect(connection: Any, _: Any) -> None:
        # SQLAlchemy opens transactions itself (see _begin_immediate), the driver must not.
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        # KiB. The system's page cache holds the file anyway, and a process may have five such connections; but pages
        # of a group that do not fit go to the log and come back. Ids are hashes: a group touches most of their indexes.
        connection.execute(f"PRAGMA cache_size = {-2000 if grouped else -500}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {4000 if grouped else 1000}")

    return connect


def _begin_immediate(connection: Connection) -> None:
    # Taking the write lock at once leaves no upgrade of a lock that could fail halfway.
    driver = _driver_of(connection)
    if not driver.in_transaction:
        driver.execute("BEGIN IMMEDIATE")


def make_created_with_table(database: sqlite3.Connection) -> None:
    """Make the table of what a database was created with, where a former release did not."""
    database.execute(_CREATED_WITH_TABLE)


def _begin(engine: Engine, path: Path, declared: Mapping[str, str]) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(_CREATED_WITH_TABLE)
        was = {str(name): str(value) for name, value in connection.exec_driver_sql("SELECT name, value FROM begun")}
        words = created_differently(path.name, was, declared)
        if words is not None:
            raise StoreError(words)
        for name in declared.keys() - was.keys():
            connection.exec_driver_sql("INSERT INTO begun (name, value) VALUES (?, ?)", (name, declared[name]))


def _prepare(engine: Engine, path: Path, metadata: MetaData, version: int, upgrades: Mapping[int, Upgrade]) -> None:
    with engine.begin() as connection:
        found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        empty = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one() == 0
        if empty:
            metadata.create_all(connection, checkfirst=False)
        elif found > version:
            raise StoreError(
                f"{path.name} has tables of version {found}, this release knows up to {version}: use the newer release"
            )
        else:
            for step in range(found, version):
                if step not in upgrades:
                    raise StoreError(f"{path.name} has tables of version {found}; no upgrade from {step} to {step + 1}")
                upgrades[step](connection)
            _date_inbox(connection)
        if found != version:
            connection.exec_driver_sql(f"PRAGMA user_version = {version}")


def _date_inbox(connection: Connection) -> None:
    """Give the inbox of an earlier release its instants: what is there counts as of now."""
    columns = {str(row[1]) for row in connection.exec_driver_sql("PRAGMA table_info(inbox)")}
    if columns and "at" not in columns:
        connection.exec_driver_sql("ALTER TABLE inbox ADD COLUMN at FLOAT")
        connection.exec_driver_sql("UPDATE inbox SET at = ?", (time.time(),))
