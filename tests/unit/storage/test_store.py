from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, MetaData, String, Table, insert, select, text

from bellwether.storage.store import OutboxEvent, OutboxRow, Store, StoreError, Transaction
from harness.until import until


def tables() -> tuple[MetaData, Table]:
    metadata = MetaData()
    return metadata, Table("notes", metadata, Column("id", String, primary_key=True))


def event(name: str) -> OutboxEvent:
    return OutboxEvent(f"uid.live.{name}", "bw.event.high.note", None, name.encode())


def sending(name: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.outbox(event(name))


def claiming(run: str) -> Callable[[Transaction], bool]:
    return lambda tx: tx.claim(run, "e")


@pytest.fixture(
    params=[{}, {"inline": True}, {"group_commit": True}],
    ids=["on a thread of its own", "on the caller's thread", "commits in groups"],
)
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


async def test_a_transaction_that_raises_leaves_nothing_behind(tmp_path: Path, how: dict[str, Any]) -> None:
    metadata, notes = tables()
    store = Store.open(tmp_path / "notes.db", metadata, **how)
    reported: list[OutboxRow] = []
    store.on_outgoing(reported.extend)

    def work(tx: Transaction) -> None:
        tx.execute(insert(notes), {"id": "a"})
        tx.outbox(event("a"))
        assert tx.claim("live", "cause")
        raise RuntimeError("halfway")

    await store.transact(lambda tx: tx.execute(insert(notes), {"id": "before"}) and None)
    with pytest.raises(RuntimeError, match="halfway"):
        await store.transact(work)
    assert await store.transact(lambda tx: tx.execute(select(notes.c.id)).scalars().all()) == ["before"]
    assert await store.waiting(0, 10) == []
    assert await store.claimed("live", ["cause"]) == set()
    assert reported == []
    await store.close()


async def test_urgent_work_comes_before_all_that_waits_and_the_rest_keeps_its_order(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "notes.db", MetaData())
    done: list[str] = []
    began, gate = threading.Event(), threading.Event()

    def first(tx: Transaction) -> None:
        began.set()
        gate.wait()

    def noting(name: str) -> Callable[[Transaction], None]:
        return lambda tx: done.append(name)

    work = [store.transact(first), store.transact(noting("a")), store.transact(noting("b"))]
    work.append(store.transact(noting("halt"), urgent=True))
    asked = [asyncio.ensure_future(one) for one in work]
    await until(began.is_set)
    for _ in range(3):
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asked)
    assert done == ["halt", "a", "b"]
    await store.close()


async def test_an_event_is_claimed_once_per_run(tmp_path: Path, how: dict[str, Any]) -> None:
    store = Store.open(tmp_path / "notes.db", MetaData(), **how)
    claims = [await store.transact(claiming(run)) for run in ("a", "a", "b")]
    assert claims == [True, False, True]
    assert await store.claimed("a", ["e", "f"]) == {"e"}
    await store.close()


@pytest.mark.parametrize("inline", [True, False])
async def test_an_outbox_event_waits_until_marked_and_again_when_repeated(tmp_path: Path, inline: bool) -> None:
    store = Store.open(tmp_path / "notes.db", MetaData(), inline=inline)
    for name in ("a", "b"):
        await store.transact(sending(name))
    rows = await store.waiting(0, 10)
    assert [row.event for row in rows] == [event("a"), event("b")]
    await store.mark_published([rows[0].sequence])
    assert [row.event for row in await store.waiting(0, 10)] == [event("b")]
    await store.transact(lambda tx: tx.outbox(event("a")))
    assert [row.event for row in await store.waiting(0, 10)] == [event("a"), event("b")]
    await store.close()


async def test_events_of_a_group_are_handed_over_and_not_stored(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "notes.db", MetaData(), group_commit=True)
    reported: list[OutboxRow] = []
    store.on_outgoing(reported.extend)
    for name in ("a", "b", "a"):
        await store.transact(sending(name))
    assert reported == [OutboxRow(0, event(name)) for name in ("a", "b", "a")]
    assert await store.waiting(0, 10) == []
    await store.close()


async def test_listeners_hear_of_transactions_in_order_though_callers_gave_up(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "notes.db", MetaData())
    reported: list[OutboxRow] = []
    store.on_outgoing(reported.extend)
    work = [asyncio.ensure_future(store.transact(sending(str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    for task in work[::2]:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    await store.transact(lambda tx: None)
    assert [row.event.body for row in reported] == [str(n).encode() for n in range(20)]
    await store.close()


async def test_work_on_the_callers_thread_is_there_for_others_at_once_and_leaves_no_lock_when_it_fails(
    tmp_path: Path,
) -> None:
    metadata, notes = tables()
    path = tmp_path / "notes.db"
    store = Store.open(path, metadata, inline=True)
    await store.transact(lambda tx: tx.execute(insert(notes), {"id": threading.current_thread().name}) and None)
    with pytest.raises(ZeroDivisionError):
        await store.transact(lambda tx: tx.execute(insert(notes), {"id": "b"}) and 1 // 0)
    with sqlite3.connect(path, timeout=0) as other:
        assert [row[0] for row in other.execute("SELECT id FROM notes")] == [threading.current_thread().name]
        other.execute("INSERT INTO notes VALUES ('of another process')")
    await store.close()


async def test_group_commits_are_durable_at_the_flush_only(tmp_path: Path) -> None:
    metadata, notes = tables()
    path = tmp_path / "notes.db"
    store = Store.open(path, metadata, group_commit=True)

    def seen() -> list[str]:
        with sqlite3.connect(path) as other:
            return [row[0] for row in other.execute("SELECT id FROM notes")]

    await store.transact(lambda tx: tx.execute(insert(notes), {"id": "a"}) and None)
    assert seen() == []
    await store.flush()
    assert seen() == ["a"]
    await store.close()


async def test_what_a_group_changes_stays_in_memory_until_its_commit(tmp_path: Path) -> None:
    metadata, notes = tables()
    store = Store.open(tmp_path / "notes.db", metadata, group_commit=True)
    log = tmp_path / "notes.db-wal"
    await store.flush()
    before = log.stat().st_size

    def work(tx: Transaction) -> None:
        # In the table and in its index.
        tx.execute(insert(notes), [{"id": f"{number:03}" * 3000} for number in range(60)])

    await store.transact(work)
    assert log.stat().st_size == before
    await store.flush()
    assert log.stat().st_size > before + 1_000_000
    await store.close()


def test_a_ledger_is_flushed_to_disk_at_each_commit(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "ledger.db", MetaData(), synchronous="FULL")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


async def test_an_older_file_is_upgraded_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    await Store.open(path, tables()[0], version=1).close()

    def add_words(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE notes ADD COLUMN words TEXT"))

    def add_author(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE notes ADD COLUMN author TEXT"))

    store = Store.open(path, tables()[0], version=3, upgrades={1: add_words, 2: add_author})
    names = await store.transact(
        lambda tx: [row[1] for row in tx.connection.exec_driver_sql("PRAGMA table_info(notes)")]
    )
    assert names == ["id", "words", "author"]
    await store.close()
    with pytest.raises(StoreError, match=r"notes\.db has tables of version 3, this release knows up to 2"):
        Store.open(path, tables()[0], version=2)
    with pytest.raises(StoreError, match="no upgrade from 3 to 4"):
        Store.open(path, tables()[0], version=4)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "notes.db", MetaData())
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match=r"notes\.db is closed"):
        await store.transact(lambda tx: None)


CREATED_WITH = {"metadata.name": "demo", "spec.trading.currency": "USD", "spec.trading.initialCash": "100000"}


async def test_a_store_is_not_read_on_as_one_that_was_created_with_other_values(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await Store.open(path, MetaData(), created_with=CREATED_WITH).close()
    await Store.open(path, MetaData(), created_with=CREATED_WITH).close()
    with pytest.raises(StoreError) as refused:
        Store.open(
            path,
            MetaData(),
            created_with=CREATED_WITH | {"spec.trading.currency": "JPY", "spec.trading.initialCash": "7"},
        )
    assert str(refused.value) == (
        "ledger.db was created with other values: spec.trading.currency is JPY and was USD, "
        "spec.trading.initialCash is 7 and was 100000. "
        "Declare spec.trading.currency: USD and spec.trading.initialCash: 100000 to go on with it; for a "
        "new beginning, name the system otherwise or delete the volume with all that is on it"
    )
    await Store.open(path, MetaData(), created_with=CREATED_WITH).close()


async def test_a_store_of_a_release_that_noted_no_beginning_takes_the_first_one_that_it_meets(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await Store.open(path, MetaData()).close()
    await Store.open(path, MetaData(), created_with=CREATED_WITH).close()
    with pytest.raises(StoreError, match="was created with other values"):
        Store.open(path, MetaData(), created_with=CREATED_WITH | {"metadata.name": "other"})


async def test_pruning_takes_what_was_published_and_had_its_effect_long_ago_and_nothing_else(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "notes.db", tables()[0])
    for name in ("old", "new", "owed"):
        await store.transact(sending(name))
    sequences = {row.event.message_id.rpartition(".")[2]: row.sequence for row in await store.waiting(0, 10)}
    await store.mark_published([sequences["old"], sequences["new"]])
    await store.transact(claiming("live"))
    await store.transact(claiming("other"))

    def age(tx: Transaction) -> None:
        tx.execute(text("UPDATE outbox SET published_at = 1000 WHERE message_id = 'uid.live.old'"))
        tx.execute(text("UPDATE inbox SET at = 1000 WHERE run = 'other'"))

    await store.transact(age)
    assert await store.prune(outbox_before=2000, inbox_before=2000) == (1, 1)
    assert await store.prune(outbox_before=2000, inbox_before=2000) == (0, 0)
    assert [row.event.message_id for row in await store.waiting(0, 10)] == ["uid.live.owed"]
    assert await store.claimed("live", ["e"]) == {"e"}
    assert await store.claimed("other", ["e"]) == set()
    await store.close()


async def test_the_inbox_of_an_earlier_release_counts_as_of_now(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "notes.db", tables()[0])
    await store.transact(claiming("live"))
    await store.transact(lambda tx: tx.execute(text("ALTER TABLE inbox DROP COLUMN at")) and None)
    await store.close()
    again = Store.open(tmp_path / "notes.db", tables()[0])
    assert await again.claimed("live", ["e"]) == {"e"}
    assert await again.prune(outbox_before=2000, inbox_before=2000) == (0, 0)
    await again.close()
