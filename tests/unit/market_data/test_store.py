"""Versions of bars in a real database file: superseded ones stay readable, and the tables of before are taken over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bellwether.market_data import store as bars_store
from bellwether.market_data.actions import Action
from bellwether.market_data.known import Hold, Intake, Known, Stored
from bellwether.market_data.rows import Loaded
from bellwether.messages.market_data import Bar
from bellwether.storage.store import Store

FIRST, SECOND, THIRD = date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)
NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)


def bar(day: date, price: float) -> Bar:
    return Bar(day, price, price, price, price, 100.0)


def opened(path: Path) -> Store:
    return Store.open(path, bars_store.metadata, version=bars_store.VERSION, upgrades=bars_store.UPGRADES)


async def write(store: Store, intake: Intake, number: int) -> None:
    at = NOON + timedelta(days=number)
    statement = Loaded((), "csv:X.csv", f"f{number}", at)
    await store.transact(lambda tx: bars_store.write(tx, "X", statement, intake, at))


async def read(store: Store, through: int | None = None) -> Stored:
    return await store.transact(lambda tx: bars_store.read(tx, "X", through))


async def test_an_older_version_is_readable_as_it_was_known(tmp_path: Path) -> None:
    store = opened(tmp_path / "bars.db")
    split = Known(Action(SECOND, "split", ratio=2.0), "restated")
    await write(store, Intake(bars=(bar(FIRST, 50.0), bar(SECOND, 25.0))), 1)
    await write(store, Intake(bars=(bar(SECOND, 25.5), bar(THIRD, 26.0)), added=(split,)), 2)
    await write(store, Intake(withdrawn=(FIRST,), dropped=(split.action,)), 3)
    known = [await read(store, through) for through in (1, 2, None)]
    assert [[kept.bar.close for kept in one.bars.values()] for one in known] == [[50, 25], [50, 25.5, 26], [25.5, 26]]
    assert [list(one.actions) for one in known] == [[], [split], []]
    assert known[1].bars[FIRST].recorded_at == NOON + timedelta(days=1)
    assert known[1].bars[THIRD].recorded_at == NOON + timedelta(days=2)
    loads = await store.transact(lambda tx: bars_store.all_loads(tx, "X"))
    assert [(load.number, load.source, load.fingerprint) for load in loads] == [
        (3, "csv:X.csv", "f3"),
        (2, "csv:X.csv", "f2"),
        (1, "csv:X.csv", "f1"),
    ]
    await store.close()


async def test_why_a_symbol_is_held_back_is_known_after_a_restart(tmp_path: Path) -> None:
    hold = Hold(SECOND, "UNITS", "600 became 6")
    store = opened(tmp_path / "bars.db")
    await write(store, Intake(bars=(bar(FIRST, 50.0),), hold=hold), 1)
    await store.close()
    store = opened(tmp_path / "bars.db")
    assert (await read(store)).hold == hold
    await write(store, Intake(bars=(bar(SECOND, 50.0),)), 2)
    assert (await read(store)).hold is None
    await store.close()


OLD_TABLES = """
CREATE TABLE bars (symbol VARCHAR NOT NULL, session VARCHAR NOT NULL, open FLOAT NOT NULL, high FLOAT NOT NULL,
  low FLOAT NOT NULL, close FLOAT NOT NULL, volume FLOAT NOT NULL, adjusted_close FLOAT,
  PRIMARY KEY (symbol, session)) WITHOUT ROWID;
CREATE TABLE actions (symbol VARCHAR NOT NULL, session VARCHAR NOT NULL, kind VARCHAR NOT NULL, ratio FLOAT NOT NULL,
  amount FLOAT NOT NULL, PRIMARY KEY (symbol, session, kind)) WITHOUT ROWID;
CREATE TABLE sources (symbol VARCHAR NOT NULL, source VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL,
  PRIMARY KEY (symbol)) WITHOUT ROWID;
INSERT INTO bars VALUES ('X', '2024-01-02', 50, 51, 49, 50.5, 100, 25.25), ('X', '2024-01-03', 25, 26, 24, 25, 100, 25);
INSERT INTO actions VALUES ('X', '2024-01-03', 'split', 2.0, 0.0);
INSERT INTO sources VALUES ('X', 'csv:X.csv', 'abc');
PRAGMA user_version = 1;
"""


async def test_the_bars_of_the_release_before_are_taken_over_and_their_source_is_read_again(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "bars.db")) as old:
        old.executescript(OLD_TABLES)
    store = opened(tmp_path / "bars.db")
    found = await read(store)
    assert [kept.bar for kept in found.bars.values()] == [
        Bar(FIRST, 50.0, 51.0, 49.0, 50.5, 100.0),
        Bar(SECOND, 25.0, 26.0, 24.0, 25.0, 100.0),
    ]
    assert list(found.actions) == [Known(Action(SECOND, "split", ratio=2.0), "inferred")]
    load = await store.transact(lambda tx: bars_store.newest_load(tx, "X"))
    assert load is not None
    assert (load.number, load.source, load.fingerprint) == (1, "csv:X.csv", "")
    await store.close()
