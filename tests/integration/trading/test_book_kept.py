"""The book in memory beside its table."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bellwether.storage.store import Store, Transaction
from bellwether.trading import tables
from bellwether.trading.events import AccountOpened
from bellwether.trading.ledger import Ledger

pytestmark = pytest.mark.integration

RUN = "run-1"
OPENED = AccountOpened(datetime(2009, 1, 2, tzinfo=UTC), Decimal(1000), "USD")


@pytest.mark.parametrize("group_commit", [False, True])
async def test_what_a_transaction_that_failed_added_is_in_no_book(tmp_path: Path, group_commit: bool) -> None:
    store, ledger = Store.open(tmp_path / "ledger.db", tables.metadata, group_commit=group_commit), Ledger()

    def fails(tx: Transaction) -> None:
        assert ledger.book(tx, RUN).seq == 0
        assert ledger.append(tx, RUN, [OPENED]).seq == 1
        assert ledger.book(tx, RUN).cash == 1000
        raise ValueError("the transaction does not hold")

    with pytest.raises(ValueError, match="does not hold"):
        await store.transact(fails)
    assert (await store.transact(lambda tx: ledger.book(tx, RUN))).seq == 0
    await store.transact(lambda tx: ledger.append(tx, RUN, [OPENED]))
    assert (await store.transact(lambda tx: ledger.book(tx, RUN))).cash == 1000
    await store.close()
