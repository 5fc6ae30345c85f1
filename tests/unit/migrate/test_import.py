"""Five old databases, two of them damaged, taken over as history."""

from __future__ import annotations

import json
import pickle
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli.main import main
from bellwether.migrate.mapping import Unfit, action, read_mapping
from bellwether.migrate.salvage import salvage, shape_of

ROWS = 2000
SYMBOLS = ("CBA.AX", "BHP.AX", "MQG.AX")


def made(path: Path, sql: str, insert: str, rows: list[tuple[Any, ...]]) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(sql)
        database.executemany(insert, rows)
    database.close()


def old_folder(root: Path) -> Path:
    """Return a folder like the old system's; `predictions.db` and `paper_trading.db` are damaged."""
    root.mkdir()
    made(
        root / "trading_predictions.db",
        "CREATE TABLE predictions (id INTEGER PRIMARY KEY, symbol TEXT, timestamp TEXT, predicted_action TEXT, "
        "confidence REAL, features BLOB); CREATE TABLE notes (words TEXT);",
        "INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)",
        [
            (1, "CBA.AX", "2025-03-03 09:45:00", "buy", 1, b"\x80\x04pickle"),
            (2, "BHP.AX", "2025-03-03T09:45:00+11:00", "STRONG SELL", 0.7, None),
            (3, None, "2025-03-03 09:45:00", "BUY", 0.7, None),
            (4, "BHP.AX", "yesterday", "BUY", 0.7, None),
            (5, "BHP.AX", "2025-03-04 09:45:00", "accumulate", 0.7, None),
        ],
    )
    made(
        root / "enhanced_outcomes.db",
        "CREATE TABLE outcomes (outcome_id TEXT PRIMARY KEY, symbol TEXT, prediction_id TEXT, created_at REAL, "
        "return_pct REAL, success INTEGER) WITHOUT ROWID;",
        "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?)",
        [("a", "CBA.AX", "p1", 1741000000.5, 1.25, 1), ("b", "CBA.AX", "p2", 1741000000500, -2.0, 0)],
    )
    made(
        root / "ig_markets_paper_trades.db",
        "CREATE TABLE trades (deal_id TEXT, epic TEXT, direction TEXT, size REAL, level REAL, opened_at TEXT);",
        "INSERT INTO trades VALUES (?, ?, ?, ?, ?, ?)",
        [("D1", "AA.D.CBA.CASH.IP", "BUY", 10, 150.5, "2025-03-03T00:00:00Z")],
    )
    long = "x" * 9000  # goes over several pages
    made(
        root / "predictions.db",
        "CREATE TABLE signals (id INTEGER PRIMARY KEY AUTOINCREMENT, ticker TEXT, date TEXT, signal TEXT, "
        "price REAL, words TEXT); CREATE INDEX by_ticker ON signals (ticker);",
        "INSERT INTO signals VALUES (?, ?, ?, ?, ?, ?)",
        [
            (n, SYMBOLS[n % 3], f"2025-03-{1 + n % 28:02}", "BUY", float(n), long if n % 500 == 0 else "short")
            for n in range(1, ROWS + 1)
        ],
    )
    made(
        root / "paper_trading.db",
        "CREATE TABLE trades (symbol TEXT, side TEXT, quantity INTEGER, price REAL, executed_at TEXT);",
        "INSERT INTO trades VALUES (?, ?, ?, ?, ?)",
        [(SYMBOLS[n % 3], "SELL", n, 1.5 + n, "2025-03-03 10:00") for n in range(1, ROWS + 1)],
    )
    damage_middle(root / "predictions.db")
    data = (root / "paper_trading.db").read_bytes()
    (root / "paper_trading.db").write_bytes(b"\0" * 100 + data[100 : len(data) // 2 + 77])
    (root / "models").mkdir()
    (root / "models" / "CBA.AX.pkl").write_bytes(pickle.dumps({"a": 1}))
    return root


def damage_middle(path: Path) -> None:
    """Overwrite the root of the table and three pages of its rows."""
    data = bytearray(path.read_bytes())
    with sqlite3.connect(path) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'signals'").fetchone()
    database.close()
    full = [n for n in range(2, len(data) // 4096 + 1) if data[(n - 1) * 4096] == 13]
    for number in (root, full[1], full[len(full) // 2], full[-2]):
        data[(number - 1) * 4096 : number * 4096] = random.Random(number).randbytes(4096)
    path.write_bytes(data)


def mapping(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a mapping as a person makes it: the proposal, with the zone and a share's name put right."""
    assert main(["migrate", "import", "--from", str(root), "--propose"]) == 0
    text = capsys.readouterr().out
    text = text.replace("timezone: UTC", "timezone: Australia/Sydney") + "symbols: {AA.D.CBA.CASH.IP: CBA.AX}\n"
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    return path


def run(root: Path, path: Path, kept: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    arguments = ["--from", str(root), "--mapping", str(path), "--history", str(kept), "-o", "json", *more]
    assert main(["migrate", "import", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_folder_is_taken_over_as_far_as_it_can_be_and_twice_with_the_same_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = old_folder(tmp_path / "old")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    path, kept = mapping(root, tmp_path, capsys), tmp_path / "history.db"

    dry = run(root, path, kept, capsys, "--dry-run")
    assert not kept.exists()
    first_row = next(one for one in dry["tables"] if one["table"] == "predictions")["sample"][0]
    assert first_row["fields"]["at"] == "2025-03-02T22:45:00+00:00"
    assert first_row["fields"]["action"] == "BUY"
    assert set(first_row["extra"]["features"]) == {"bytes", "sha256"}

    first = run(root, path, kept, capsys)
    reported = {(one["file"], one["table"]): one for one in first["tables"]}
    assert {one["file"]: one["sound"] for one in first["databases"]} == {
        "enhanced_outcomes.db": True,
        "ig_markets_paper_trades.db": True,
        "paper_trading.db": False,
        "predictions.db": False,
        "trading_predictions.db": True,
    }
    assert reported["trading_predictions.db", "predictions"]["new"] == 2
    assert reported["enhanced_outcomes.db", "outcomes"]["new"] == 2
    assert reported["ig_markets_paper_trades.db", "trades"]["new"] == 1
    # Three pages of some 100 rows each are lost; the root is only a list of pages.
    assert ROWS * 0.8 < reported["predictions.db", "signals"]["salvaged"] < ROWS - 100
    assert ROWS * 0.4 < reported["paper_trading.db", "trades"]["salvaged"] < ROWS * 0.6
    why = {(one["table"], one["why"].split(":")[0]) for one in first["left"]}
    assert {("predictions", "symbol is empty"), ("predictions", "timestamp is no instant")} <= why
    assert ("predictions", "predicted_action") in why
    assert any(one["table"] == "notes" for one in first["left"])
    assert [one["file"] for one in first["models"]] == ["models/CBA.AX.pkl"]

    assert main(["migrate", "export", "trades", "--history", str(kept)]) == 0
    exported = capsys.readouterr().out
    second = run(root, path, kept, capsys)
    assert {one["new"] + one["changed"] for one in second["tables"]} == {0}
    assert second["left"] == first["left"]
    assert main(["migrate", "export", "trades", "--history", str(kept)]) == 0
    assert capsys.readouterr().out == exported
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_what_was_imported_is_listed_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = old_folder(tmp_path / "old")
    kept = tmp_path / "history.db"
    run(root, mapping(root, tmp_path, capsys), kept, capsys)
    assert main(["migrate", "history", "--history", str(kept), "-o", "json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in counts["counts"]} == {"prediction", "trade", "outcome"}
    assert main(["migrate", "history", "trades", "--symbol", "CBA.AX", "-l", "5000", "--history", str(kept)]) == 0
    assert "ig_markets_paper_trades.db trades 1" in capsys.readouterr().out
    for what in ("counts", "predictions", "outcomes", "left", "files"):
        assert main(["migrate", "history", what, "--history", str(kept)]) == 0
        assert capsys.readouterr().out.strip()


def test_every_row_outside_of_damaged_pages_is_read_as_it_was(tmp_path: Path) -> None:
    root = old_folder(tmp_path / "old")
    found = salvage((root / "predictions.db").read_bytes())
    (table,) = [one for one in found.tables if one.shape.name == "signals"]
    for rowid, row in table.rows.items():
        long = rowid % 500 == 0
        words = "x" * 9000 if long else "short"
        assert row == (rowid, SYMBOLS[rowid % 3], f"2025-03-{1 + rowid % 28:02}", "BUY", float(rowid), words)
    assert table.stray == len(table.rows)


def test_no_overwritten_byte_makes_it_fail(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    made(path, "CREATE TABLE t (a INTEGER, b TEXT);", "INSERT INTO t VALUES (?, ?)", [(n, "w" * n) for n in range(300)])
    whole = path.read_bytes()
    chance = random.Random(7)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 40)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        salvage(bytes(data[: chance.randrange(1, len(data))]))
    assert [len(one.rows) for one in salvage(whole).tables] == [300]


def test_a_lost_list_of_tables_is_replaced_by_a_declared_statement(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    statement = "CREATE TABLE t (a INTEGER, b TEXT)"
    made(path, f"{statement};", "INSERT INTO t VALUES (?, ?)", [(n, "words") for n in range(900)])
    data = b"\xff" * 4096 + path.read_bytes()[4096:]
    assert salvage(data).tables == []
    (table,) = salvage(data, [shape_of("t", statement)]).tables
    assert len(table.rows) == 900


def test_deleted_rows_do_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    made(path, "CREATE TABLE t (a INTEGER, b TEXT);", "INSERT INTO t VALUES (?, ?)", [(n, "w") for n in range(3000)])
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM t WHERE a >= 1000")
    database.close()
    (table,) = salvage(path.read_bytes()).tables
    assert sorted(row[0] for row in table.rows.values()) == list(range(1000))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"source": "a", "timezone": "Mars", "tables": []}, "timezone 'Mars'"),
        ({"source": "a", "timezone": "UTC", "tables": [], "more": 1}, "more"),
        (
            {"source": "a", "timezone": "UTC", "tables": [{"file": "f", "table": "t", "kind": "trade", "columns": {}}]},
            r"f, table t: a trade needs columns\.symbol",
        ),
        (
            {
                "source": "a",
                "timezone": "UTC",
                "tables": [{"file": "f", "table": "t", "kind": "outcome", "columns": {"when": "x"}}],
            },
            r"columns\.when is not known",
        ),
    ],
)
def test_a_wrong_mapping_is_refused_by_its_field(given: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_mapping(given)


def test_an_unknown_action_is_never_guessed() -> None:
    assert action("Long", {}, "side") == "BUY"
    assert action("1", {"1": "SELL"}, "side") == "SELL"
    with pytest.raises(Unfit, match="name it under `actions`"):
        action("accumulate", {}, "side")
