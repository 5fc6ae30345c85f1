"""A database of any earlier release, be it from a backup, is adopted and opened by this one.

`tests/fixtures/stores/NAME-VERSION.sql` is the schema as a release with tables of that version made it. With a new
version add the schema of the one before.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bellwether.local.volumes import Adoption, adopt
from bellwether.market_data import store as bars
from bellwether.prediction import tables as decisions
from bellwether.scheduling import tables as slots
from bellwether.storage.store import Store
from bellwether.trading import tables as ledger

SCHEMAS = Path(__file__).parents[2] / "fixtures" / "stores"
STORES: dict[str, ModuleType] = {"bars": bars, "decisions": decisions, "ledger": ledger, "slots": slots}
OLD = sorted(SCHEMAS.glob("*.sql"))


def shape(path: Path) -> dict[str, Any]:
    """Return the columns of every table and the columns of every index."""
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        for kind, name in names:
            pragma = "table_info" if kind == "table" else "index_info"
            rows = database.execute(f"PRAGMA {pragma}([{name}])").fetchall()
            found[name] = {_column(*row[1:4]) for row in rows} if kind == "table" else [row[2] for row in rows]
    return found


def _column(name: str, kind: str, required: int) -> tuple[str, str, int]:
    """Return what counts of a column: SQLite keeps any number in a column of either kind of number."""
    return name, {"INTEGER": "NUMBER", "FLOAT": "NUMBER"}.get(kind, kind), required


def made(path: Path, schema: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(schema.read_text())


async def opened(path: Path, module: ModuleType) -> dict[str, Any]:
    await Store.open(path, module.metadata, version=module.VERSION, upgrades=module.UPGRADES).close()
    return shape(path)


def test_every_version_before_the_present_ones_is_kept() -> None:
    wanted = {f"{name}-{version}" for name, module in STORES.items() for version in range(1, module.VERSION)}
    assert {path.stem for path in OLD} == wanted


@pytest.mark.parametrize("schema", OLD, ids=lambda path: path.stem)
async def test_tables_of_an_earlier_release_are_adopted_and_become_those_of_this_one(
    schema: Path, tmp_path: Path
) -> None:
    name = schema.stem.partition("-")[0]
    module, old, new = STORES[name], tmp_path / "old" / f"{name}.db", tmp_path / f"{name}.db"
    made(old, schema)
    adopted = adopt(old.parent, Adoption("u-2", "again", "backup friday"), datetime(2026, 11, 30, 9, tzinfo=UTC))
    assert adopted == [old.name]
    upgraded, fresh = await opened(old, module), await opened(new, module)
    # What a store was created with is noted by whoever opens it first: here the restored one's adoption.
    assert {key: value for key, value in upgraded.items() if key != "begun"} == {
        key: value for key, value in fresh.items() if key != "begun"
    }
    if name == "ledger":
        with closing(sqlite3.connect(old)) as database:
            assert database.execute("SELECT source FROM halts").fetchall() == [("restore",)]
