"""A system that trades at IG from its pod, on the stand-in, through an open in which its trader is killed and halted.

The bars are made up with a signal in them, so that a model passes its gate and buys. Everything happens in one open, in
which orders go out one after the other: IG takes the first one and the trader is killed before it has the answer. When
it is back, IG takes the second one, and before its answer somebody halts, with more orders waiting and one that rests
on the account. What is right is judged by the stand-in's own books.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest

from bellwether.market.declared import calendar_of
from bellwether.spec.market import Market as DeclaredMarket
from e2e import waits
from e2e.bars import VOLUME, fill_volume
from e2e.days import Day
from e2e.killer import Killer, killer
from e2e.lab import Lab, Object, System, eventually, live_system
from e2e.schedules import schedules
from environments.clusters import Embedded
from harness.ig.account import Deal, Ticket
from harness.ig.beside import Beside, standing_in_beside
from harness.ig.markets import Market, epic_of
from harness.ig.standin import ACCOUNT, API_KEY, PASSWORD, USERNAME, StandIn
from harness.ig.trials import usd
from harness.yahoo.planted import planted
from harness.yahoo.shares import Share

NAME, TASK = "at-ig", "prediction_generation"
SYMBOLS = [f"MADEUP{number}" for number in range(1, 7)]
EXCHANGES = ("XNYS", "XTKS", "XLON")
HOURS = range(2, 22)
PREPARE = timedelta(seconds=50)
"""So long before the slot's minute the session is declared, so that everything is in its place by then."""
BEFORE_OPEN = "-45s"
"""What is left of the minute before the open is for the Job's pod to start."""
SESSIONS = 700
"""Of history: enough for the gate."""
ORDERS = 4
"""At least: one for the kill, one for the halt, and two that wait meanwhile."""
OVER = {"filled", "cancelled", "rejected", "expired"}
WRITE_BARS = """
import base64, json, sys, zlib
from pathlib import Path
Path("/csv/bars").mkdir(exist_ok=True)
for each in sys.argv[1:]:
    symbol, text = json.loads(zlib.decompress(base64.b64decode(each)))
    Path(f"/csv/bars/{symbol}.csv").write_text(text)
"""
Token = Literal["read", "halt", "token"]


@dataclass(frozen=True)
class Trading:
    """The system, the day whose session it trades in, and IG as it sees it."""

    system: System
    day: Day
    ig: Beside

    def asked(self, path: str, body: Object | None = None, scope: Token = "read", **params: Any) -> Any:
        """Return what the gateway answers: to a POST where there is a body."""
        secret = self.system.lab.get(self.system.namespace, "secret", f"{NAME}-gateway-token")
        headers = {"Authorization": f"Bearer {base64.b64decode(secret['data'][scope]).decode()}"}
        with self.system.gateway() as client:
            asked = client.build_request("GET" if body is None else "POST", path, params=params, json=body)
            asked.headers.update(headers)
            return client.send(asked).raise_for_status().json()

    def orders(self) -> dict[str, Object]:
        """Return the ledger's orders by id."""
        rows: list[Object] = self.asked("/v1/orders", limit=100)["orders"]
        return {row["order_id"]: row for row in rows}

    def executed(self) -> list[Deal]:
        """Return what the stand-in has executed, in its order."""
        return self.ig.do(lambda ig: [deal for deal in ig.account.deals if deal.filled and not deal.working])

    def took(self, count: int) -> bool:
        """Whether the stand-in has executed so many orders by now."""
        return len(self.executed()) >= count


@dataclass(frozen=True)
class Outcome:
    """What became of the open."""

    trading: Trading
    models: list[Object]
    asked_for: dict[str, Object]
    """The orders before the open."""
    killed: Deal
    """The order whose answer the trader never got."""
    halted: Deal
    """The order whose answer was held when somebody halted."""
    halt: Object
    """What the halt was answered."""
    rested: bool
    """Whether an order rested on the account before the halt."""
    withdrawn_first: bool
    """Whether the order that rested was taken back while the other one's answer was still held."""
    orders: dict[str, Object]
    """The orders at the end."""


def bars_of(share: Share, now: datetime) -> str:
    """Return a share's newest bars as the program that writes them takes them."""
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume"]
    for row in share.rows(now)[-SESSIONS:]:
        prices = (f"{price:.4f}" for price in (row.open, row.high, row.low, row.close, row.close))
        lines.append(f"{row.session.day},{','.join(prices)},{row.volume}")
    return base64.b64encode(zlib.compress(json.dumps([share.symbol, "\n".join(lines) + "\n"]).encode())).decode()


def declared(namespace: str, market: Object, proxy: str) -> list[Object]:
    """Return the system, and the Secret of its account."""
    words = {"apiKey": API_KEY, "identifier": USERNAME, "password": PASSWORD, "accountId": ACCOUNT}
    metadata = {"name": "account", "namespace": namespace}
    trading = {
        "mode": "ig-demo",
        "currency": "USD",
        "brokerSecretRef": {"name": "account"},
        "ig": {"exclusiveAccount": True, "requestsPerMinute": 60},
        "instruments": {symbol: {"epic": epic_of(symbol)} for symbol in SYMBOLS},
    }
    system = live_system(
        NAME,
        namespace,
        symbols=SYMBOLS,
        market=market,
        data={"provider": "csv", "csv": {"directory": "bars", "volumeClaim": VOLUME}},
        network={"proxy": proxy, "caBundleRef": {"name": "ig-ca", "key": "ca.pem"}},
        training={"gate": {"mode": "enforce"}},
        trading=trading,
    )
    return [{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": words}, system]


def open_soon(system: System, day: Day) -> None:
    """Declare a session that opens soon, and the batch before it; return when both are in force."""
    due = (datetime.now(UTC) + PREPARE).replace(second=0, microsecond=0) + timedelta(minutes=1)
    opens = due + timedelta(minutes=1)
    hours = {"open": day.clock(opens), "close": day.clock(opens + timedelta(hours=1))}
    override = {"date": str(day.date), **hours, "reason": "this test's own"}
    task = {"name": TASK, "anchor": "open", "offset": BEFORE_OPEN}
    system.patch({"market": {"overrides": [override]}, "tasks": [task]})
    eventually("the batch has its schedule", waits.CHILD_PUT_RIGHT, lambda: TASK in schedules(system, day))
    system.wait_ready(waits.LIVE_FIELD_ACKNOWLEDGED)
    assert datetime.now(UTC) < due, "this machine was too slow: the slot fell due before everything knew of it"


def predicted(trading: Trading) -> dict[str, Object]:
    """Return the orders that wait for the open, when there are enough: the model's, and some by hand beside them."""

    def batch() -> bool:
        rows = trading.asked("/v1/jobs", limit=100)["jobs"]
        slot = next(row for row in rows if row["id"] == trading.day.slot(TASK))
        return bool(slot["status"] == "completed")

    eventually("the batch is done", waits.SLOT_DONE, batch)
    wanted = eventually("a prediction became an order", waits.FIRST_FILLS, trading.orders)
    others = [symbol for symbol in SYMBOLS if symbol not in {order["symbol"] for order in wanted.values()}]
    for symbol in others[: max(0, ORDERS - len(wanted))]:
        order = {"symbol": symbol, "action": "BUY", "quantity": "10", "client_id": symbol}
        assert trading.asked("/v1/trades", order, "token")["status"] == "queued"
    return trading.orders()


def rest(ig: StandIn) -> None:
    """Have an order rest on the account that waits for a price far below."""
    ticket = Ticket("by-a-person", epic_of(SYMBOLS[-1]), "BUY", Decimal(1), "USD", level=Decimal(1))
    ig.account.rest(ticket, "LIMIT", None, ig.now())


def through_the_open(trading: Trading, by: Killer) -> Outcome:
    """Let the session open, kill the trader at its first order, and halt at its second one."""
    ig, system, pod = trading.ig, trading.system, f"{NAME}-0"
    models = trading.asked("/v1/models")["models"]
    # From now on IG takes an order, and does not answer.
    ig.do(lambda found: found.set(hold=["open"]))
    asked_for = predicted(trading)
    eventually("IG has taken the first order", waits.SLOT_DONE, lambda: trading.took(1))
    # The next pod's trader goes no further than asking for prices: an answer that it waits for longer than 15 s it
    # takes for lost, and sends the order after it, be the gateway to be reached by then or not.
    ig.do(lambda found: found.set(hold=["open", "markets"]))
    before = system.pods()[pod]
    assert by.kill(before, "serve") == 1
    system.kill(pod)
    (killed,) = trading.executed()
    eventually("another pod is there", waits.POD_BACK, lambda: system.pods().get(pod, before) != before)
    eventually("its gateway answers", waits.POD_BACK, lambda: trading.asked("/v1/status"))
    ig.do(lambda found: found.set(hold=["open"]))
    eventually("IG has taken the second order", waits.POD_BACK, lambda: trading.took(2))
    ig.do(rest)
    rested = ig.do(lambda found: len(found.account.working)) == 1
    words = {"reason": "enough", "source": "test"}
    halt = eventually("the halt is answered", waits.POD_BACK, lambda: trading.asked("/v1/halt", words, "halt"))
    halted = trading.executed()[-1]
    withdrawn = eventually(
        "what rested is withdrawn", waits.FIRST_FILLS, lambda: ig.do(lambda found: not found.account.working)
    )
    ig.do(lambda found: found.reset())

    def ended() -> dict[str, Object] | None:
        orders = trading.orders()
        return orders if {order["status"] for order in orders.values()} <= OVER else None

    orders = eventually("every order is over", waits.FIRST_FILLS, ended)
    return Outcome(trading, models, asked_for, killed, halted, halt, rested, withdrawn, orders)


@pytest.fixture(scope="module")
def outcome(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    if not isinstance(lab.env, Embedded):
        pytest.skip("only of the embedded cluster it is known where its pods reach this machine")
    day, now = Day.today(EXCHANGES, HOURS), datetime.now(UTC)
    market = {"calendar": day.exchange, "overrides": [{"date": str(day.date), "closed": True}]}
    shares = planted(SYMBOLS, calendar_of(DeclaredMarket.model_validate(market)), now)
    markets = [
        Market(epic_of(symbol), f"{symbol} Ltd", "USD", Decimal(f"{share.rows(now)[-1].close:.2f}"))
        for symbol, share in shares.items()
    ]
    folder = tmp_path_factory.mktemp("ig")
    with (
        standing_in_beside(folder, markets, lab.env.machine()) as ig,
        lab.namespace("e2e-ig") as namespace,
        killer(lab) as by,
    ):
        ig.do(usd)
        fill_volume(lab, namespace, WRITE_BARS, *(bars_of(share, now) for share in shares.values()))
        metadata = {"name": "ig-ca", "namespace": namespace}
        bundle = {"ca.pem": ig.ig.authority.read_text()}
        lab.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": bundle},
            *declared(namespace, market, f"http://{lab.env.machine()}:{ig.ig.port}"),
        )
        system = System(lab, namespace, NAME)
        system.wait_ready(waits.SYSTEM_READY)
        for kind in ("ModelsCurrent", "SafeToTrade"):
            eventually(kind, waits.SYSTEM_READY, lambda kind=kind: system.condition(kind).get("status") == "True")  # type: ignore[misc]
        open_soon(system, day)
        yield through_the_open(Trading(system, day, ig), by)


def test_the_orders_come_from_a_model_that_passed_its_gate(outcome: Outcome) -> None:
    (serving,) = (model for model in outcome.models if model["stage"] == "serving")
    assert serving["passed"] is True
    ordered = [order for order in outcome.asked_for.values() if order["prediction_id"]]
    assert {order["model_version"] for order in ordered} == {serving["version"]}


def test_an_order_whose_trader_was_killed_before_it_was_confirmed_is_filled_once(outcome: Outcome) -> None:
    references = [deal.ticket.reference for deal in outcome.trading.executed()]
    assert references.count(outcome.killed.ticket.reference) == 1
    order = outcome.orders[outcome.killed.ticket.reference]
    assert (order["status"], Decimal(order["filled_quantity"])) == ("filled", outcome.killed.filled)


def test_an_order_that_was_sent_when_somebody_halted_counts_as_filled(outcome: Outcome) -> None:
    order = outcome.orders[outcome.halted.ticket.reference]
    assert (order["status"], Decimal(order["filled_quantity"])) == ("filled", outcome.halted.filled)


def test_a_halt_in_the_middle_of_the_open_stops_the_orders_that_wait(outcome: Outcome) -> None:
    assert outcome.halt["halted"]
    executed = {deal.ticket.reference for deal in outcome.trading.executed()}
    assert executed == {outcome.killed.ticket.reference, outcome.halted.ticket.reference}
    waited = [order for name, order in outcome.orders.items() if name not in executed]
    assert len(waited) == len(outcome.asked_for) - 2
    assert len(waited) >= ORDERS - 2
    for order in waited:
        assert (order["status"], "HALTED" in order["refusal"]) == ("cancelled", True)


def test_a_halt_takes_back_what_rests_on_the_account(outcome: Outcome) -> None:
    assert (outcome.rested, outcome.withdrawn_first) == (True, True)


def test_ledger_and_account_agree_afterwards(outcome: Outcome) -> None:
    trading = outcome.trading
    synced = trading.asked("/v1/reconcile", {}, "token")
    assert synced["differences"] == []
    held = {epic_of(one["symbol"]): Decimal(one["quantity"]) for one in trading.asked("/v1/positions")["positions"]}
    assert held == trading.ig.do(lambda ig: dict(ig.account.net()))
    assert trading.asked("/v1/ledger/check")["violations"] == []
