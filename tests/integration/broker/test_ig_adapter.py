"""The adapter for IG over the stand-in: what of an order's odd ways it gets right, judged by the stand-in's books."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest

from bellwether.broker.ig.adapter import IgBroker
from bellwether.broker.ig.client import LONGEST_WAIT, IgClient, Pace
from bellwether.broker.lifecycle import Progress, advance, sending
from bellwether.broker.port import BrokerError, NoBroker, NotSent, Unclear
from bellwether.broker.values import Accepted, BrokerEvent, Ended, Fill, NewOrder, Rejected
from bellwether.messages.trading import Side
from harness.ig.account import Ticket
from harness.ig.lab import EPICS, PRICES, SYMBOLS, IgLab, ig_lab, write_credentials
from harness.ig.markets import Market
from harness.ig.standin import API_KEY, OTHER_ACCOUNT, PASSWORD, USERNAME
from harness.until import DEADLINE

pytestmark = pytest.mark.integration

SYMBOL = SYMBOLS[0]
EPIC = EPICS[SYMBOL]
SINCE = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[IgLab]:
    async with ig_lab(tmp_path) as found:
        yield found


def order(reference: str, side: Side = "BUY", quantity: int = 10, *, partial: bool = False) -> NewOrder:
    deadline = datetime.now(UTC) + timedelta(hours=1)
    return NewOrder(
        reference, SYMBOL, side, Decimal(quantity), date(2026, 12, 1), deadline, closes=side == "SELL", partial=partial
    )


async def test_a_purchase_s_stop_rests_at_ig_and_what_it_closes_is_reported_once(lab: IgLab) -> None:
    await lab.broker.submit(replace(order("bw-1"), stop_distance=Decimal("1.50")))
    await outcome(lab.broker)
    (position,) = lab.ig.account.positions.values()
    assert position.stop_level == position.level - Decimal("1.50")
    assert await lab.broker.stopped(SINCE) == []
    lab.ig.quote(EPIC, Decimal("8.60"))
    assert await lab.broker.stopped(SINCE) == []
    lab.ig.quote(EPIC, Decimal("8.00"))
    assert lab.ig.account.net() == {}
    (reported,) = await lab.broker.stopped(SINCE)
    closed = lab.ig.account.deals[-1]
    assert (reported.stop_id, reported.symbol, reported.quantity) == (f"ig:{closed.deal_id}", SYMBOL, Decimal(10))
    # At the market, which may have jumped over the stop.
    assert reported.price == closed.level == lab.ig.markets[EPIC].bid
    # What we close ourselves is no stop's.
    await lab.broker.submit(order("bw-2"))
    await outcome(lab.broker, "bw-2")
    await lab.broker.submit(order("bw-3", "SELL"))
    await outcome(lab.broker, "bw-3")
    assert len(await lab.broker.stopped(SINCE)) == 1


async def outcome(broker: IgBroker, reference: str = "bw-1") -> list[BrokerEvent]:
    """Return the events up to the one that says what became of the order."""
    news, events = asyncio.Event(), list[BrokerEvent]()
    broker.on_events(news.set)
    async with asyncio.timeout(DEADLINE):
        while True:
            news.clear()
            events += [event for event in await broker.drain() if event.reference == reference]
            if any(isinstance(event, Fill | Rejected | Ended) for event in events):
                return events
            await news.wait()


def state(events: Sequence[BrokerEvent], quantity: int = 10) -> tuple[str, int]:
    end = reduce(advance, events, sending(Progress("bw-1", Decimal(quantity)), SINCE))
    return end.state, int(end.filled)


async def test_an_order_goes_out_on_the_declared_account_with_our_reference(lab: IgLab) -> None:
    assert list(await lab.broker.connect()) == list(SYMBOLS)
    await lab.broker.submit(order("bw-1"))
    assert state(await outcome(lab.broker)) == ("filled", 10)
    (deal,) = lab.ig.account.deals
    assert (deal.ticket.reference, deal.ticket.time_in_force, deal.ticket.force_open) == ("bw-1", "FILL_OR_KILL", False)
    assert lab.ig.accounts[OTHER_ACCOUNT].deals == []
    (held,) = await lab.broker.positions()
    assert (held.symbol, held.quantity, held.declared) == (SYMBOL, Decimal(10), True)
    account = await lab.broker.account()
    assert account.currency == "AUD"
    assert account.margin == lab.ig.account.margin


async def test_a_balance_that_is_no_number_is_an_error_of_ig(lab: IgLab, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.broker.connect()
    monkeypatch.setattr("harness.ig.answers._balance", lambda _: {"balance": "12,000"})
    with pytest.raises(NoBroker, match="IG's account: balance: '12,000' is no number"):
        await lab.broker.account()


@pytest.mark.parametrize(
    "odd",
    [
        {"confirm": "lost"},
        {"confirm": "405"},
        {"confirm": "500"},
        {"confirm_after": 3},
        {"post": "taken-500"},
        {"post": "taken-broken"},
        {"post": "taken-401"},
        {"post": "taken-broken", "confirm": "405"},
        {"confirm": "lost", "activity": "none"},
        {"confirm": "lost", "activity_delay": 0.4},
    ],
    ids=str,
)
async def test_a_purchase_is_found_whatever_is_missing_and_never_sent_again(lab: IgLab, odd: dict[str, object]) -> None:
    lab.ig.set(**odd)
    unclear = False
    try:
        await lab.broker.submit(order("bw-1"))
    except Unclear:
        unclear = True
    assert unclear == ("post" in odd)
    assert state(await outcome(lab.broker)) == ("filled", 10)
    await lab.broker.submit(order("bw-1"))
    await lab.restart()
    await lab.broker.submit(order("bw-1"))
    found = await lab.broker.query("bw-1", SINCE)
    assert state(found.events) == ("filled", 10)
    assert len(lab.ig.account.executed("bw-1")) == 1


async def test_an_order_that_ig_never_had_is_not_found_and_that_proves_nothing(lab: IgLab) -> None:
    lab.ig.set(post="not-taken-broken")
    with pytest.raises(Unclear):
        await lab.broker.submit(order("bw-1"))
    found = await lab.broker.query("bw-1", SINCE)
    assert (found.events, found.conclusive) == ((), False)
    assert lab.ig.account.deals == []


@pytest.mark.parametrize(
    ("odd", "finds"),
    [
        ({"closing_names_opening": True}, True),
        ({"confirm": "lost"}, True),
        ({"confirm": "lost", "activity": "no-closes"}, False),
    ],
    ids=str,
)
async def test_a_sale_nets_what_is_held(lab: IgLab, odd: dict[str, object], finds: bool) -> None:
    await lab.broker.submit(order("bw-0"))
    await outcome(lab.broker, "bw-0")
    lab.ig.set(**odd)
    await lab.broker.submit(order("bw-1", "SELL"))
    if finds:
        events = await outcome(lab.broker)
        assert state(events) == ("filled", 10)
        # The confirm's and the activity's fill are the same one.
        lab.ig.set(confirm="lost", activity="")
        assert state([*events, *(await lab.broker.query("bw-1", SINCE)).events]) == ("filled", 10)
    else:
        assert (await lab.broker.query("bw-1", SINCE)).events == ()
    assert await lab.broker.positions() == []
    assert len(lab.ig.account.executed("bw-1")) == 1


async def test_no_more_is_sold_than_is_held(lab: IgLab) -> None:
    await lab.broker.submit(order("bw-0", quantity=4))
    await outcome(lab.broker, "bw-0")
    await lab.broker.submit(order("bw-1", "SELL", 10))
    (reported,) = await outcome(lab.broker)
    assert isinstance(reported, Rejected)
    assert (reported.code, reported.message) == ("EXCEEDS_HOLDING", "more would be sold than is held")
    assert lab.ig.account.net() == {EPIC: 4}


async def test_part_of_an_order_is_filled_only_where_that_is_declared(lab: IgLab) -> None:
    lab.ig.set(available=3)
    await lab.broker.submit(order("bw-1"))
    (_, reported) = await outcome(lab.broker)
    assert isinstance(reported, Rejected)
    assert reported.code == "ORDER_SIZE_CANNOT_BE_FILLED"
    lab.settings = replace(lab.settings, time_in_force="EXECUTE_AND_ELIMINATE")
    await lab.broker.submit(order("bw-2"))
    events = [replace(event, reference="bw-1") for event in await outcome(lab.broker, "bw-2")]
    assert state(events) == ("cancelled", 3)


async def test_a_market_that_is_shut_is_said_in_words_and_rejects(lab: IgLab) -> None:
    assert (await lab.broker.market(SYMBOL)).tradeable
    assert abs((await lab.broker.market(SYMBOL)).price - PRICES[SYMBOL]) < 1
    lab.ig.set(status="ON_AUCTION")
    await lab.restart()
    shut = await lab.broker.market(SYMBOL)
    assert (shut.tradeable, shut.reason) == (False, "the market is in an auction at IG")
    lab.ig.set(status="CLOSED")
    await lab.broker.submit(order("bw-1"))
    reported = (await outcome(lab.broker))[-1]
    assert isinstance(reported, Rejected)
    assert (reported.code, reported.message) == ("MARKET_CLOSED", "the market is closed")


async def test_an_order_whose_time_is_over_is_not_sent(lab: IgLab) -> None:
    await lab.broker.submit(replace(order("bw-1"), deadline=SINCE))
    (reported,) = await outcome(lab.broker)
    assert isinstance(reported, Ended)
    assert reported.how == "expired"
    assert lab.ig.requests("open") == 0


async def test_expired_tokens_are_replaced_and_a_weekend_is_no_answer(lab: IgLab) -> None:
    await lab.broker.positions()
    lab.ig.expire()
    await lab.broker.positions()
    lab.ig.set(weekend=True)
    with pytest.raises(NoBroker, match="IG is not available now"):
        await lab.broker.positions()
    with pytest.raises(NotSent):
        await lab.broker.submit(order("bw-1"))
    lab.ig.reset()
    await lab.broker.submit(order("bw-1"))
    assert state(await outcome(lab.broker)) == ("filled", 10)
    assert lab.ig.requests("login") >= 3


@pytest.mark.parametrize(
    ("odd", "code", "words"),
    [
        ({"login": "invalid-details"}, "IG_LOGIN", "does not know this identifier and password"),
        ({"login": "kyc-required"}, "IG_LOGIN", "confirm who they are"),
        ({"equity_refused": True}, "NO_SHARE_DATA", "no share data"),
        ({"maintenance": True}, "IG_DOWN", "answers 503"),
        ({"broken": "headers"}, "IG_UNREACHABLE", "does not answer"),
        ({"broken": "connect"}, "IG_UNREACHABLE", "does not answer"),
        ({"broken": "body"}, "IG_UNREACHABLE", "does not answer"),
        ({"allowance": "api-key"}, "IG_ALLOWANCE", "used up"),
    ],
    ids=str,
)
async def test_what_is_missing_is_said_in_words(lab: IgLab, odd: dict[str, object], code: str, words: str) -> None:
    lab.ig.set(**odd)
    with pytest.raises(NoBroker, match=words) as raised:
        await lab.broker.connect()
    assert raised.value.code == code


async def test_an_allowance_that_is_used_up_is_not_asked_again_at_once(lab: IgLab) -> None:
    await lab.broker.positions()
    lab.ig.set(allowance="account-trading")
    with pytest.raises(NotSent, match="used up"):
        await lab.broker.submit(order("bw-1"))
    lab.ig.reset()
    asked = lab.ig.requests()
    with pytest.raises(NoBroker, match="room again"):
        await lab.broker.positions()
    assert lab.ig.requests() == asked
    assert LONGEST_WAIT < 60


async def test_a_halt_that_comes_while_an_order_waits_for_its_allowance_holds_it_back(
    lab: IgLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, room, halted = asyncio.Event(), asyncio.Event(), False
    make_room = IgClient._room

    async def full(self: IgClient, pace: Pace) -> None:
        if pace is self._orders:
            waits.set()
            await room.wait()
        await make_room(self, pace)

    async def last_look() -> None:
        if halted:
            raise NotSent("HALTED", "enough")

    monkeypatch.setattr(IgClient, "_room", full)
    sending = asyncio.ensure_future(lab.broker.submit(order("bw-1"), last_look))
    await waits.wait()
    halted = True
    room.set()
    with pytest.raises(NotSent, match="enough"):
        await sending
    assert (lab.ig.account.deals, lab.ig.requests("open")) == ([], 0)


async def test_the_declared_number_of_requests_is_kept(lab: IgLab) -> None:
    lab.per_minute = 5
    for _ in range(3):
        await lab.broker.positions()
    assert lab.ig.requests() == 5
    with pytest.raises(NoBroker, match="room again"):
        await lab.broker.positions()
    assert lab.ig.requests() == 5


async def test_money_that_moved_is_reported_with_its_kind(lab: IgLab) -> None:
    await lab.broker.connect()
    await lab.broker.submit(order("bw-0"))
    await outcome(lab.broker, "bw-0")
    now = lab.ig.now()
    lab.ig.account.markets[EPIC].price *= 1000
    lab.ig.account.charge_funding(now)
    lab.ig.account.pay_dividend(EPIC, Decimal("0.5"), now)
    lab.ig.account.deposit(Decimal(-100), now)
    await lab.broker.submit(order("bw-1", "SELL"))
    await outcome(lab.broker)
    found = await lab.broker.adjustments(SINCE)
    kinds = sorted((one.kind, one.symbol) for one in found)
    assert kinds == [
        ("commission", SYMBOL),
        ("commission", SYMBOL),
        ("dividend", SYMBOL),
        ("funding", SYMBOL),
        ("realised", SYMBOL),
        ("transfer", ""),
    ]
    assert sum(one.amount for one in found) == lab.ig.account.balance - Decimal(100000)
    assert await lab.broker.adjustments(SINCE) == found


async def test_what_is_held_in_an_epic_that_is_not_declared_is_reported_under_its_name(lab: IgLab) -> None:
    lab.ig.markets["AA.D.ZZZ.CASH.IP"] = Market("AA.D.ZZZ.CASH.IP", "ZZZ Ltd")
    ticket = Ticket("somebody", "AA.D.ZZZ.CASH.IP", "SELL", Decimal(2), "AUD")
    lab.ig.account.execute(ticket, lab.ig.now(), status="TRADEABLE")
    (held,) = await lab.broker.positions()
    assert (held.symbol, held.quantity, held.declared) == ("AA.D.ZZZ.CASH.IP", Decimal(-2), False)


async def test_resting_orders_are_taken_back(lab: IgLab) -> None:
    ticket = Ticket("bw-9", EPIC, "BUY", Decimal(5), "AUD", level=Decimal(5))
    lab.ig.account.rest(ticket, "LIMIT", None, lab.ig.now())
    await lab.broker.cancel("bw-8")
    assert len(lab.ig.account.working) == 1
    await lab.broker.cancel("bw-9")
    assert lab.ig.account.working == {}


async def test_credentials_and_tokens_stand_in_no_log_and_no_error(
    lab: IgLab, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    odd: list[dict[str, object]] = [
        {},
        {"login": "invalid-details"},
        {"maintenance": True},
        {"broken": "headers"},
        {"post": "taken-401"},
    ]
    for number, switches in enumerate(odd):
        lab.ig.reset()
        lab.ig.set(**switches)
        await lab.restart()
        try:
            await lab.broker.connect()
            await lab.broker.submit(order(f"bw-{number}"))
        except BrokerError as error:
            said.append(f"{error!r} {error} {error.__cause__} {error.__context__}")
    lab.ig.reset()
    folder = tmp_path / "wrong"
    folder.mkdir()
    lab.credentials = write_credentials(folder, apiKey="a-key-that-is-wrong")
    await lab.restart()
    with pytest.raises(NoBroker, match="does not know this API key") as raised:
        await lab.broker.connect()
    said.append(repr(raised.value))
    everything = caplog.text + json.dumps(said)
    tokens = [one.token for one in lab.ig.sessions.values()] + ["cst-1-", "account-"]
    for secret in (API_KEY, USERNAME, PASSWORD, "a-key-that-is-wrong", *tokens):
        assert secret not in everything


async def test_an_acknowledgement_comes_before_the_fill(lab: IgLab) -> None:
    await lab.broker.submit(order("bw-1"))
    kinds = [type(event) for event in await outcome(lab.broker)]
    assert kinds[0] is Accepted
    assert Fill in kinds
