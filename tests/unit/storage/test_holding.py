"""A hold: nothing is written, the database is one file, and it ends by itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert

from bellwether.storage.holding import Holding
from bellwether.storage.store import Store, Transaction
from harness.until import until
from unit.runtime.test_created_with import context

LONG = 30.0


def opened(path: Path, *, group_commit: bool = False) -> tuple[Store, Table]:
    metadata = MetaData()
    notes = Table("notes", metadata, Column("id", String, primary_key=True))
    return Store.open(path, metadata, group_commit=group_commit), notes


@pytest.mark.parametrize("group_commit", [False, True])
async def test_what_is_written_waits_and_a_copy_of_the_file_alone_has_all_of_before(
    tmp_path: Path, group_commit: bool
) -> None:
    store, notes = opened(tmp_path / "notes.db", group_commit=group_commit)

    def note(name: str) -> asyncio.Task[None]:
        def work(tx: Transaction) -> None:
            tx.execute(insert(notes), {"id": name})

        return asyncio.ensure_future(store.transact(work))

    await note("before")
    store.holding.begin("one", LONG)
    await store.checkpoint()
    late = note("late")
    shutil.copy(tmp_path / "notes.db", tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT id FROM notes").fetchall() == [("before",)]
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not late.done()
    assert store.holding.let_go("one")
    await late
    await store.close()


async def test_urgent_work_breaks_a_hold(tmp_path: Path) -> None:
    store, _ = opened(tmp_path / "notes.db")
    store.holding.begin("one", LONG)
    await store.transact(lambda _: None, urgent=True)
    assert not store.holding.active
    assert not store.holding.let_go("one")
    await store.close()


async def test_it_ends_by_itself_and_does_not_count_then() -> None:
    holding = Holding()
    holding.begin("one", 0.01)
    await until(lambda: not holding.active)
    assert not holding.let_go("one")


async def test_who_asks_again_is_answered_the_same_and_a_later_hold_breaks_an_earlier_one() -> None:
    holding = Holding()
    holding.begin("one", LONG)
    assert [holding.let_go("one"), holding.let_go("one")] == [True, True]
    holding.begin("two", LONG)
    holding.begin("three", LONG)
    assert not holding.let_go("two")
    assert holding.active
    assert holding.let_go("three")


async def test_what_is_held_is_noted_beside_it_until_it_is_written_again(tmp_path: Path) -> None:
    held = context("ml-model", tmp_path, "USD")
    (held.files / "registry").mkdir(parents=True)
    (held.files / "registry" / "book.json").write_bytes(b"models")
    note = tmp_path / ".held-ml-model.json"
    for end in (lambda: held.holding.let_go("one"), held.holding.end):
        await held.hold("one", LONG)
        assert json.loads(note.read_bytes()) == {"ml-model/registry/book.json": hashlib.sha256(b"models").hexdigest()}
        end()
        assert not note.exists()
    await held.hold("one", LONG)
    context("ml-model", tmp_path, "USD")
    assert not note.exists(), "a service that was killed while it was held has to forget that as it starts"
    held.holding.end()


async def test_a_hold_that_is_broken_while_it_is_noted_leaves_no_note(tmp_path: Path) -> None:
    trader = context("paper-trading", tmp_path, "USD")
    store = trader.open_store(MetaData())
    holding = asyncio.ensure_future(trader.hold("one", LONG))
    await until(lambda: trader.holding.active)
    await store.transact(lambda _: None, urgent=True)
    await holding
    assert not (tmp_path / ".held-paper-trading.json").exists()
    await store.close()
