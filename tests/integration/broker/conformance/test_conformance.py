"""What a broker adapter promises (bellwether/broker/port.py), asked of every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest

from bellwether.broker.lifecycle import Progress, advance, sending
from bellwether.broker.port import NotSent
from bellwether.broker.values import Accepted, BrokerEvent, Ended, Fill, Rejected
from harness.until import DEADLINE
from integration.broker.conformance.labs import CASH, LABS, OPEN, PRICES, SYMBOLS, Lab, RestingLab

pytestmark = pytest.mark.integration

SINCE = OPEN - timedelta(days=1)


@pytest.fixture(params=sorted(LABS))
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    async with LABS[request.param](tmp_path) as made:
        await made.broker.connect()
        yield made


@pytest.fixture
def resting(lab: Lab) -> RestingLab:
    if not isinstance(lab, RestingLab):
        pytest.skip("a market order of this broker never works without being filled")
    return lab


class Watch:
    """The events of a broker as they come; wait for what is to come instead of sleeping."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._news = asyncio.Event()
        self.events: list[BrokerEvent] = []
        lab.broker.on_events(self._news.set)

    async def until(self, *kinds: type, reference: str = "bw-1") -> list[BrokerEvent]:
        """Return the events of an order once one of each of these kinds is among them."""
        async with asyncio.timeout(DEADLINE):
            while True:
                self._news.clear()
                self.events += await self._lab.broker.drain()
                found = [event for event in self.events if event.reference == reference]
                if all(any(isinstance(event, kind) for event in found) for kind in kinds):
                    return found
                await self._news.wait()


async def held(lab: Lab) -> dict[str, Decimal]:
    return {one.symbol: one.quantity for one in await lab.broker.positions()}


def end_of(events: list[BrokerEvent], quantity: int = 10) -> Progress:
    return reduce(advance, events, sending(Progress("bw-1", Decimal(quantity)), OPEN))


async def test_every_declared_symbol_can_be_traded_once_connected(lab: Lab) -> None:
    assert list(await lab.broker.connect()) == list(SYMBOLS)
    account = await lab.broker.account()
    assert (account.currency, account.cash, account.available) == ("AUD", CASH, CASH)
    assert await held(lab) == {}


async def test_the_market_says_whether_an_order_would_be_taken(lab: Lab) -> None:
    shut = await lab.broker.market(SYMBOLS[0])
    assert not shut.tradeable
    assert shut.reason
    await lab.open_market()
    state = await lab.broker.market(SYMBOLS[0])
    assert state.tradeable
    assert abs(state.price / PRICES[SYMBOLS[0]] - 1) < Decimal("0.01")


async def test_an_order_is_acknowledged_and_filled(lab: Lab) -> None:
    await lab.open_market()
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-1"))
    events = await watch.until(Accepted, Fill)
    assert end_of(events).state == "filled"
    (fill,) = [event for event in events if isinstance(event, Fill)]
    assert fill.price >= PRICES[SYMBOLS[0]]
    assert await held(lab) == {SYMBOLS[0]: Decimal(10)}


async def test_what_is_held_is_sold_and_nothing_is_left(lab: Lab) -> None:
    await lab.open_market()
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-0"))
    await watch.until(Fill, reference="bw-0")
    await lab.broker.submit(lab.order("bw-1", "SELL"))
    events = await watch.until(Fill)
    assert end_of(events).state == "filled"
    assert await held(lab) == {}


async def test_a_closing_order_never_opens_a_position(lab: Lab) -> None:
    await lab.open_market()
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-0", quantity=4))
    await watch.until(Fill, reference="bw-0")
    await lab.broker.submit(lab.order("bw-1", "SELL", quantity=10))
    events = await watch.until(Rejected)
    assert end_of(events).state == "rejected"
    assert await held(lab) == {SYMBOLS[0]: Decimal(4)}


async def test_the_same_reference_is_one_order_whatever_the_caller_does(lab: Lab) -> None:
    await lab.open_market()
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-1"))
    await watch.until(Fill)
    await lab.broker.submit(lab.order("bw-1"))
    await lab.restart()
    await lab.broker.connect()
    await lab.open_market()
    await lab.broker.submit(lab.order("bw-1"))
    found = await lab.broker.query("bw-1", SINCE)
    assert end_of(list(found.events)).filled == 10
    assert await held(lab) == {SYMBOLS[0]: Decimal(10)}


async def test_an_order_that_is_refused_at_the_last_instant_never_leaves_and_may_be_sent_later(lab: Lab) -> None:
    async def halted() -> None:
        raise NotSent("HALTED", "enough")

    await lab.open_market()
    with pytest.raises(NotSent, match="enough"):
        await lab.broker.submit(lab.order("bw-1"), halted)
    assert await held(lab) == {}
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-1"))
    await watch.until(Accepted, Fill)
    assert await held(lab) == {SYMBOLS[0]: Decimal(10)}


async def test_a_shut_market_rejects_with_a_code(lab: Lab) -> None:
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-1"))
    rejected = (await watch.until(Rejected))[-1]
    assert isinstance(rejected, Rejected)
    assert rejected.code
    assert await held(lab) == {}


async def test_more_than_the_account_pays_for_is_rejected(lab: Lab) -> None:
    await lab.open_market()
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-1", quantity=10_000_000))
    events = await watch.until(Rejected)
    assert end_of(events, 10_000_000).state == "rejected"
    assert await held(lab) == {}


async def test_what_works_can_be_cancelled(resting: RestingLab) -> None:
    await resting.open_market()
    await resting.hold_fills()
    watch = Watch(resting)
    await resting.broker.submit(resting.order("bw-1"))
    await watch.until(Accepted)
    await resting.broker.cancel("bw-1")
    events = await watch.until(Ended)
    assert end_of(events).state == "cancelled"
    await resting.let_fill()
    assert await held(resting) == {}


async def test_cancelling_what_is_over_or_unknown_changes_nothing(lab: Lab) -> None:
    await lab.open_market()
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-1"))
    await watch.until(Fill)
    await lab.broker.cancel("bw-1")
    await lab.broker.cancel("bw-never")
    found = await lab.broker.query("bw-1", SINCE)
    assert end_of(list(found.events)).state == "filled"
    assert await held(lab) == {SYMBOLS[0]: Decimal(10)}


async def test_after_a_restart_a_lookup_finds_what_was_not_drained(lab: Lab) -> None:
    await lab.open_market()
    await lab.broker.submit(lab.order("bw-1"))
    await lab.restart()
    await lab.broker.connect()
    found = await lab.broker.query("bw-1", SINCE)
    assert end_of(list(found.events)).state == "filled"


async def test_an_order_that_works_over_a_restart_is_filled_later(resting: RestingLab) -> None:
    await resting.open_market()
    await resting.hold_fills()
    watch = Watch(resting)
    await resting.broker.submit(resting.order("bw-1"))
    await watch.until(Accepted)
    await resting.restart()
    await resting.broker.connect()
    again = Watch(resting)
    assert end_of(list((await resting.broker.query("bw-1", SINCE)).events)).state == "working"
    await resting.let_fill()
    await again.until(Fill)
    assert await held(resting) == {SYMBOLS[0]: Decimal(10)}


async def test_a_lookup_and_the_events_give_a_fill_the_same_id(lab: Lab) -> None:
    await lab.open_market()
    watch = Watch(lab)
    await lab.broker.submit(lab.order("bw-1"))
    reported = await watch.until(Accepted, Fill)
    found = await lab.broker.query("bw-1", SINCE)
    once = end_of(reported)
    assert reduce(advance, found.events, once) == once


async def test_an_order_that_never_was_is_not_found(lab: Lab) -> None:
    found = await lab.broker.query("bw-never", SINCE)
    assert not found.found
