from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import MetaData

from bellwether.runtime.bus import Bus, BusError
from bellwether.runtime.metrics import ServiceMetrics
from bellwether.runtime.relay import AT_ONCE, QUEUE, Relay
from bellwether.storage.store import OutboxEvent, Store, Transaction


def owing(name: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.outbox(OutboxEvent(name, "bw.event.high.note", None, b""))


class Stream:
    """A bus that stores what it is given, and refuses some of it once."""

    def __init__(self, *refused: str) -> None:
        self.refused = list(refused)
        self.stored: list[str] = []

    async def publish_event(self, subject: str, body: bytes, *, message_id: str, **rest: Any) -> bool:
        if message_id in self.refused:
            self.refused.remove(message_id)
            raise BusError(f"{message_id} is not stored")
        new = message_id not in self.stored
        if new:
            self.stored.append(message_id)
        return new


async def test_events_that_are_not_stored_are_published_however_many_wait(tmp_path: Path) -> None:
    earlier = Store.open(tmp_path / "notes.db", MetaData(), inline=True)
    await earlier.transact(owing("of an earlier run"))
    await earlier.close()
    wanted = [f"id-{number}" for number in range(QUEUE + 2)]
    stream = Stream(wanted[0])
    store = Store.open(tmp_path / "notes.db", MetaData(), group_commit=True)
    relay = Relay(store, cast("Bus", stream), ServiceMetrics("shop"))
    relay.start()
    for name in wanted:
        await store.transact(owing(name))
    assert not await relay.flush()
    assert await relay.checkpoint()
    assert sorted(stream.stored) == sorted(["of an earlier run", *wanted])
    assert await store.waiting(0, 10) == []
    await relay.stop(1.0)
    await store.close()


@pytest.mark.parametrize("inline", [True, False])
async def test_all_that_is_owed_is_published_in_its_order(tmp_path: Path, inline: bool) -> None:
    wanted = [f"id-{number:02}" for number in range(AT_ONCE + 2)]
    # The last is refused: what was sent beside it and before it is published once all the same.
    stream = Stream(wanted[AT_ONCE - 1])
    store = Store.open(tmp_path / "notes.db", MetaData(), inline=inline)
    relay = Relay(store, cast("Bus", stream), ServiceMetrics("shop"))
    for name in wanted:
        await store.transact(owing(name))
    assert not await relay.flush()
    assert relay.lag > 0
    assert stream.stored == wanted[: AT_ONCE - 1]
    assert await relay.checkpoint()
    assert stream.stored == wanted
    assert relay.lag == 0
    assert await store.waiting(0, 10) == []
    await store.close()
