"""Orders of models and their bars, as ml-model keeps them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bellwether.messages.parts import FilePart, FileState
from bellwether.messages.registry import FinishTarget, TrainingOrder
from bellwether.models.orders import KEPT, OrderError, TrainingOrderStore

NOW = datetime(2026, 11, 30, tzinfo=UTC)
BARS = b'{"IBM":[]}'
SNAPSHOT = hashlib.sha256(BARS).hexdigest()


def order(number: int = 0, targets: tuple[str | None, ...] = (None, "IBM")) -> TrainingOrder:
    at = NOW + timedelta(minutes=number)
    return TrainingOrder("made-up", "r" * 64, list(targets), SNAPSHOT, at, at + timedelta(hours=1))


@pytest.fixture
def orders(tmp_path: Path) -> TrainingOrderStore:
    found = TrainingOrderStore(tmp_path)
    assert found.take(SNAPSHOT, 0, len(BARS), BARS) == FileState(len(BARS), True)
    return found


def test_bars_are_taken_in_parts_and_only_as_their_hash_says(tmp_path: Path) -> None:
    orders = TrainingOrderStore(tmp_path)
    assert orders.take(SNAPSHOT, 0, len(BARS), BARS[:4]) == FileState(4, False)
    assert orders.take(SNAPSHOT, 0, len(BARS), BARS[:4]) == FileState(4, False), "who begins again goes on from there"
    assert orders.take(SNAPSHOT, 2, len(BARS), BARS[2:]) == FileState(4, False), "a part from elsewhere changes nothing"
    with pytest.raises(OrderError, match="is not there: send it first"):
        orders.place(order())
    assert orders.take(SNAPSHOT, 4, len(BARS), BARS[4:]) == FileState(len(BARS), True)
    assert orders.part(SNAPSHOT, 3) == FilePart(BARS[3:], len(BARS))
    with pytest.raises(OrderError, match="its bytes have the hash"):
        orders.take("a" * 64, 0, 4, b"else")
    with pytest.raises(OrderError, match="is no SHA-256"):
        orders.part("../x", 0)


def test_an_order_and_its_results_outlive_the_process_and_the_first_result_counts(
    tmp_path: Path, orders: TrainingOrderStore
) -> None:
    state = orders.place(order())
    assert orders.place(order()) == state
    orders.finish(FinishTarget(state.id, 1, "v1", "made"))
    orders.finish(FinishTarget(state.id, 1, "v2", "made again"))
    (again,) = TrainingOrderStore(tmp_path).all()
    assert {index: one.version for index, one in again.results.items()} == {"1": "v1"}
    assert not again.complete
    with pytest.raises(OrderError, match="index 2: the order has 2 targets"):
        orders.finish(FinishTarget(state.id, 2, None, ""))
    assert orders.finish(FinishTarget(state.id, 0, None, "too little history")).complete


def test_one_order_is_open_at_a_time_and_bars_go_with_the_last_that_needs_them(orders: TrainingOrderStore) -> None:
    first = orders.place(order(1))
    second = orders.place(order(2))
    assert [one.closed for one in orders.all()] == [True, False]
    with pytest.raises(OrderError, match="is closed"):
        orders.finish(FinishTarget(first.id, 0, None, ""))
    orders.close(second.id)
    with pytest.raises(OrderError, match="snapshot"):
        orders.part(SNAPSHOT, 0)


def test_few_closed_orders_are_kept(orders: TrainingOrderStore) -> None:
    for number in range(KEPT + 4):
        orders.place(order(number))
    assert len(orders.all()) == KEPT + 1
    with pytest.raises(OrderError, match="each is to be named once"):
        orders.place(order(99, ("IBM", "IBM")))
