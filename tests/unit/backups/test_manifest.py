"""The manifest: what it says is what was written, and every difference is named."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest

from bellwether.backups.manifest import FORMAT, Manifest, ManifestError, Piece, decode, differences, digest, encode

LEDGER = Piece("database", "ledger.db", "databases/ledger.db", 10, "ab" * 32, {"orders": 3}, {"orders": 4}, 2)
EVENTS = Piece("stream", "EVENTS", "streams/EVENTS.snapshot", 5, "cd" * 32, last={"EVENTS": 9}, messages=9)
MADE = Manifest(
    format=FORMAT,
    id="20261127T211500Z",
    system="replay",
    kind="full",
    release="1.0",
    cut=datetime(2026, 11, 27, 21, 15, tzinfo=UTC),
    session=date(2026, 11, 27),
    declaration={"kind": "TradingSystem"},
    pieces=[LEDGER, EVENTS],
    left_out=[],
)


def test_a_stored_manifest_is_read_as_it_was_written() -> None:
    stored = encode(MADE)
    assert decode(stored, digest(stored)) == MADE


def test_a_manifest_that_was_changed_is_refused_by_its_digest() -> None:
    stored = encode(MADE)
    with pytest.raises(ManifestError, match=r"manifest.json was changed: its SHA-256 is"):
        decode(stored.replace(b'"orders": 3', b'"orders": 2'), digest(stored))


def test_a_manifest_of_a_later_release_is_refused_in_words() -> None:
    stored = encode(msgspec.structs.replace(MADE, format=FORMAT + 1))
    with pytest.raises(ManifestError, match="use a newer one"):
        decode(stored, None)


def test_nothing_differs_where_all_is_there() -> None:
    assert differences(MADE.pieces, {LEDGER.path: LEDGER, EVENTS.path: EVENTS}) == []


@pytest.mark.parametrize(
    ("found", "reported"),
    [
        ({EVENTS.path: EVENTS}, "databases/ledger.db: missing"),
        ({LEDGER.path: "SQLite finds it damaged", EVENTS.path: EVENTS}, "databases/ledger.db: SQLite finds it damaged"),
        (
            {LEDGER.path: msgspec.structs.replace(LEDGER, size=9), EVENTS.path: EVENTS},
            "databases/ledger.db: has 9 bytes, had 10",
        ),
        (
            {LEDGER.path: msgspec.structs.replace(LEDGER, sha256="ee" * 32), EVENTS.path: EVENTS},
            "databases/ledger.db: its content was changed (SHA-256 eeeeeeeeeeee, was abababababab)",
        ),
        (
            {LEDGER.path: LEDGER, EVENTS.path: EVENTS, "databases/other.db": LEDGER},
            "databases/other.db: not named in the manifest",
        ),
        (
            {LEDGER.path: msgspec.structs.replace(LEDGER, rows={"orders": 2}), EVENTS.path: EVENTS},
            "databases/ledger.db: orders: rows 2, was 3",
        ),
    ],
)
def test_each_difference_is_reported(found: dict[str, Piece | str], reported: str) -> None:
    assert differences(MADE.pieces, found) == [reported]
