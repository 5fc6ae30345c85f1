"""A year of seven symbols fits in the default volume: some sessions' growth in real databases, carried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.spec.models import TradingSystem
from bench.volume import bounded_bytes, by_database, table_bytes, volume_bytes, year_of
from soak.evidence import Evidence
from soak.replays import days, undisturbed

pytestmark = pytest.mark.integration

SYMBOLS = 7
EARLY_SESSIONS = 5


async def test_a_year_of_seven_symbols_fits_in_the_default_volume(
    tmp_path: Path, trained: Path, winter: TradingSystem, quiet: tuple[Path, Evidence]
) -> None:
    folder, evidence = quiet
    early = days("2009-01-02", "2009-01-08")
    before = await undisturbed(tmp_path, trained, early, group_commit=True)
    assert len(before.equity) == EARLY_SESSIONS
    sessions = len(evidence.equity) - EARLY_SESSIONS
    tables = year_of(table_bytes(tmp_path / "data"), table_bytes(folder), sessions, winter)
    databases = by_database(tables)
    assert {"bars", "decisions", "ledger", "slots"} <= databases.keys()
    # A decision's record has several kilobytes, and there are two for each symbol and session.
    assert tables["decisions/decisions"] > 252 * 2 * len(winter.spec.symbols) * 1024
    year = sum(databases.values()) * SYMBOLS / len(winter.spec.symbols)
    assert year + bounded_bytes(winter) < volume_bytes(winter)


def test_what_a_live_system_deletes_does_not_grow_for_longer_than_it_is_kept(winter: TradingSystem) -> None:
    early = {"slots/outbox": 1000, "slots/slots": 1000}
    late = {"slots/outbox": 11_000, "slots/slots": 11_000, "slots/late": 100}
    found = year_of(early, late, 100, winter)
    assert found["slots/slots"] == 1000 + 252 * 100
    assert found["slots/outbox"] == pytest.approx(1000 + 252 * 100 * 7 / 365)
    assert found["slots/late"] == 252
    assert by_database(found) == {"slots": pytest.approx(sum(found.values()))}
