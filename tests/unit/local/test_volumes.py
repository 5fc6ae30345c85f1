"""Volumes made from snapshots: looked at, and made another system's, halted, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bellwether.local.volumes import SKEW, Adoption, Damaged, _damage, adopt, look
from bellwether.storage.notes import write_note
from bellwether.storage.store import Store
from bellwether.topology import SERVICES
from bellwether.trading import tables

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
WHOSE = Adoption("u-2", "again", "backup friday")


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A volume with a ledger that was created as another system's, and a file beside it."""
    folder = tmp_path / "data-again-0"
    folder.mkdir()
    store = Store.open(
        folder / "ledger.db",
        tables.metadata,
        version=tables.VERSION,
        upgrades=tables.UPGRADES,
        created_with={"metadata.name": "demo", "spec.trading.currency": "USD"},
    )
    await store.close()
    (folder / "ml-model").mkdir()
    (folder / "ml-model" / "model.onnx").write_bytes(b"model")
    return folder


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


async def test_it_goes_on_under_the_new_name_halted_and_a_second_time_nothing_happens(data: Path) -> None:
    assert adopt(data, WHOSE, NOW) == ["ledger.db"]
    assert adopt(data, WHOSE, NOW) == []
    halts = rows(data / "ledger.db", "SELECT kind, source, reason FROM halts")
    assert halts == [("halt", "restore", "restored from backup friday: compare, then resume")]
    made_with = {"metadata.name": "again", "spec.trading.currency": "USD"}
    store = Store.open(
        data / "ledger.db", tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES, created_with=made_with
    )
    await store.close()


def test_restored_once_more_for_a_third_system_it_is_halted_once_more(data: Path) -> None:
    adopt(data, WHOSE, NOW)
    assert adopt(data, WHOSE._replace(uid="u-3", name="third"), NOW) == ["ledger.db"]
    assert len(rows(data / "ledger.db", "SELECT 1 FROM halts")) == 2


def test_of_a_volume_of_more_components_what_is_another_s_is_removed(data: Path) -> None:
    for name in ("slots.db", "ledger.db-wal"):
        (data / name).write_bytes(b"")
    (data / "lost+found").mkdir()
    for _ in range(2):
        adopt(data, WHOSE, NOW, ["paper-trading", "ledger.db", "ledger.db-wal"])
        assert "ledger.db" in {path.name for path in data.iterdir()} <= {"ledger.db", "ledger.db-wal", "lost+found"}


@pytest.mark.parametrize(("together", "left"), [(True, 0), (False, 1)])
def test_events_of_the_last_hour_are_published_again_where_the_volumes_are_not_of_one_instant(
    data: Path, together: bool, left: int
) -> None:
    last = NOW.timestamp()
    with closing(sqlite3.connect(data / "ledger.db")) as database, database:
        for name, at in (("late", last), ("early", last - SKEW - 1)):
            database.execute(
                "INSERT INTO outbox (message_id, subject, body, published_at) VALUES (?, 'subject', '', ?)", (name, at)
            )
    adopt(data, WHOSE._replace(together=together), NOW)
    assert len(rows(data / "ledger.db", "SELECT 1 FROM outbox WHERE published_at IS NULL")) == left


def test_what_is_there_is_counted(data: Path) -> None:
    found = look(data.parent)
    assert list(found["databases"]) == ["ledger.db"]
    assert (found["files"], found["bytes"]) == (1, 5)


def test_a_damaged_database_is_named_and_nothing_is_adopted(data: Path) -> None:
    whole = data / "bars.db"
    with closing(sqlite3.connect(whole)) as database, database:
        database.execute("CREATE TABLE bars (x)")
        database.executemany("INSERT INTO bars VALUES (?)", [("y" * 500,)] * 200)
    damaged = bytearray(whole.read_bytes())
    damaged[8192:8300] = b"\xff" * 108
    whole.write_bytes(bytes(damaged))
    with pytest.raises(Damaged, match=r"data-again-0/bars\.db: SQLite"):
        look(data.parent)
    with pytest.raises(Damaged, match=r"made from backup friday cannot be used: bars\.db: SQLite"):
        adopt(data, WHOSE, NOW)
    assert rows(data / "ledger.db", "SELECT 1 FROM halts") == []


def held(folder: Path) -> None:
    """Have every service with a volume note what it keeps in a folder."""
    for row in SERVICES.values():
        if row.needs_volume:
            write_note(folder, row.name, [row.name, *([] if row.store is None else [row.store])])


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def lose_text(data: Path) -> None:
    """Flip a bit inside a value: SQLite finds every page whole."""
    content = (data / "ledger.db").read_bytes()
    flip(data / "ledger.db", content.rindex(b"demo"))
    assert _damage(data / "ledger.db") is None


def lose_half(data: Path) -> None:
    """Lose the second half of the files, as a driver that ends early does."""
    files = sorted(path for path in data.rglob("*") if path.is_file())
    for path in files[len(files) // 2 :]:
        path.unlink()


@pytest.mark.parametrize(
    ("lose", "reported"),
    [
        (lose_text, r"ledger\.db: its content was changed"),
        (lambda data: flip(data / "ml-model" / "model.onnx", 2), r"ml-model/model\.onnx: its content was changed"),
        (lambda data: flip(data / ".held-paper-trading.json", 0), r"\.held-paper-trading\.json: it cannot be read"),
        (lose_half, r"ml-model/model\.onnx: missing"),
    ],
)
def test_a_copy_that_is_not_what_was_noted_while_it_was_held_is_found_by_drill_and_restore(
    data: Path, lose: Callable[[Path], None], reported: str
) -> None:
    held(data)
    lose(data)
    with pytest.raises(Damaged, match=f"data-again-0/{reported}"):
        look(data.parent)
    with pytest.raises(Damaged, match=f"made from backup friday cannot be used: .*{reported}"):
        adopt(data, WHOSE, NOW)


def test_a_note_that_is_lost_is_missed_and_a_whole_copy_is_adopted_again_and_again(data: Path) -> None:
    held(data)
    assert look(data.parent)["files"] == 1
    lost = (data / ".held-scheduler.json").read_bytes()
    (data / ".held-scheduler.json").unlink()
    with pytest.raises(Damaged, match="of scheduler it is not noted what its files were"):
        look(data.parent)
    (data / ".held-scheduler.json").write_bytes(lost)
    assert [adopt(data, WHOSE, NOW), adopt(data, WHOSE, NOW)] == [["ledger.db"], []]
    assert not list(data.glob(".held-*"))


def test_what_has_to_be_there_is_missed_also_where_nothing_is_noted(data: Path) -> None:
    assert look(data.parent, ["data-again-0/ledger.db", "*/ml-model/*"])["files"] == 1
    wanted = [f"data-again-0/{name}" for name in ("slots.db", "nats/jetstream/*/streams/EVENTS/meta.inf")]
    with pytest.raises(Damaged, match=r"again-0/slots\.db: missing; data-again-0/nats/.*/EVENTS/meta\.inf: missing"):
        look(data.parent, wanted)
    with pytest.raises(Damaged, match=r"; 5 more$"):
        look(data.parent, [f"{number}" for number in range(25)])


def test_volumes_without_any_database_are_not_whole(tmp_path: Path) -> None:
    (tmp_path / "data-again-0").mkdir()
    with pytest.raises(Damaged, match="no database on any volume"):
        look(tmp_path)
