"""The sample of the seven ASX shares on the stand-in for Yahoo, through a session that an override opens now.

Not the sample's own are only: where Yahoo is reached, the short delay of its prices, today's hours, and the offsets of
the tasks, all due within minutes, and news of Yahoo, with a bad headline about one share that the model would buy. At
night in Sydney it is New York's exchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import yaml

from bellwether.market.declared import calendar_of
from bellwether.render.kubernetes.context import LABEL_TASK
from bellwether.sentiment.raw import NAMES
from bellwether.spec.market import Market
from e2e import waits
from e2e.days import Day
from e2e.lab import Lab, Object, System, eventually, parents_arrived
from e2e.schedules import schedules
from environments.clusters import Embedded
from environments.machine import ROOT
from harness.yahoo import Article, StandIn
from harness.yahoo.planted import most_fallen, on_calendar, planted, standing_in_beside
from harness.yahoo.shares import EXCHANGES, Row

SAMPLE = ROOT / "manifests" / "samples" / "asx-banks.yaml"
HOURS = range(4, 23)
"""Late enough for the day before to be over everywhere, early enough for a session of a minute."""
PREPARE = timedelta(seconds=50)
"""So long before the first slots' minute the session is declared, so that everything is in its place by then."""
LENGTH = timedelta(minutes=1)
DELAY = "10s"
OFFSETS = {"morning_analysis": "-60s", "prediction_generation": "-45s", "evening_analysis": "30s"}
GREEN = ("DataFresh", "ModelsCurrent", "SafeToTrade")
SPANNED = {"market-data", "data-quality", "sentiment", "ml-model", "prediction", "paper-trading"}
BAD = "{name} plunges as regulator opens fraud investigation"


@dataclass(frozen=True)
class Session:
    """What became of the day."""

    system: System
    day: Day
    yahoo: StandIn
    green: dict[str, Object]
    """The conditions before the session."""
    hit: str
    """The share that the bad headline is about."""

    def asked(self, path: str, **params: Any) -> Any:
        """Return what the gateway answers."""
        with self.system.gateway() as client:
            return client.get(path, params=params).raise_for_status().json()

    def rows(self, symbol: str) -> list[Row]:
        """Return a share's sessions up to now, as traded."""
        return self.yahoo.shares[symbol].rows(datetime.now(UTC))

    def slot(self, task: str) -> Object:
        """Return what the scheduler has of a task's slot."""
        rows: list[Object] = self.asked("/v1/jobs", limit=100)["jobs"]
        return next((row for row in rows if row["id"] == self.day.slot(task)), {})

    def done(self, task: str) -> bool:
        """Whether the scheduler has a task's slot as completed."""
        return self.slot(task).get("status") == "completed"

    def filled(self) -> list[Object]:
        """Return the orders that were filled."""
        orders: list[Object] = self.asked("/v1/orders", limit=100)["orders"]
        return [order for order in orders if order["status"] == "filled"]

    def valued(self) -> Object:
        """Return the account at the day's close; empty before."""
        points: list[Object] = self.asked("/v1/equity")["points"]
        return next((point for point in points if point["session"] == str(self.day.date)), {})


def market_of(day: Day, **override: Any) -> Object:
    """Return the exchange, with today as it is declared."""
    return {"calendar": day.exchange, "overrides": [{"date": str(day.date), **override}]}


def the_sample(namespace: str, day: Day, proxy: str) -> Object:
    """Return the sample as it is reported where Yahoo is, on a day without a session so far."""
    document: Object = yaml.safe_load(SAMPLE.read_text("utf-8"))
    document["metadata"]["namespace"] = namespace
    spec = document["spec"]
    spec["market"] = market_of(day, closed=True)
    spec["trading"]["currency"] = EXCHANGES[day.exchange][2]
    spec["data"]["yahoo"] = {"delay": DELAY}
    spec["sentiment"] = {"provider": "yahoo"}
    spec["network"] = {"proxy": proxy, "caBundleRef": {"name": "yahoo-ca", "key": "ca.pem"}}
    return document


def open_soon(system: System, day: Day, yahoo: StandIn) -> None:
    """Declare a session that opens soon, and the sample's tasks around it; return when they are in force."""
    first = (datetime.now(UTC) + PREPARE).replace(second=0, microsecond=0) + timedelta(minutes=1)
    opens = first + timedelta(minutes=1)
    market = market_of(day, open=day.clock(opens), close=day.clock(opens + LENGTH), reason="this test's own")
    on_calendar(yahoo, calendar_of(Market.model_validate(market)))
    tasks = system.resource()["spec"]["tasks"]
    system.patch({"market": market, "tasks": [task | {"offset": OFFSETS[task["name"]]} for task in tasks]})
    eventually(
        "every task has its schedule", waits.CHILD_PUT_RIGHT, lambda: schedules(system, day).keys() == set(OFFSETS)
    )
    system.wait_ready(waits.LIVE_FIELD_ACKNOWLEDGED)
    assert datetime.now(UTC) < first, "this machine was too slow: the slots fell due before everything knew of them"


@pytest.fixture(scope="module")
def yahoo(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Answer in Yahoo's place on this machine's address in the pods' network."""
    if not isinstance(lab.env, Embedded):
        pytest.skip("only of the embedded cluster it is known where its pods reach this machine")
    with standing_in_beside(tmp_path_factory.mktemp("yahoo"), lab.env.machine()) as found:
        yield found


@pytest.fixture(scope="module")
def session(lab: Lab, yahoo: StandIn) -> Iterator[Session]:
    """Apply the sample; when all is well, let a session open and close."""
    assert isinstance(lab.env, Embedded)
    day = Day.today(("XASX", "XNYS"), HOURS)
    with lab.namespace("e2e-asx") as namespace:
        document = the_sample(namespace, day, f"http://{lab.env.machine()}:{yahoo.port}")
        calendar = calendar_of(Market.model_validate(document["spec"]["market"]))
        yahoo.shares = planted(document["spec"]["symbols"], calendar, datetime.now(UTC))
        hit = most_fallen(yahoo.shares, datetime.now(UTC))
        yahoo.articles = [Article(BAD.format(name=NAMES[hit][0]), datetime.now(UTC) - timedelta(minutes=5), hit)]
        metadata = {"name": "yahoo-ca", "namespace": namespace}
        bundle = {"ca.pem": yahoo.authority.read_text()}
        lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": bundle}, document)
        system = System(lab, namespace, document["metadata"]["name"])
        system.wait_ready(waits.SYSTEM_READY)

        def green() -> dict[str, Object]:
            found = {kind: system.condition(kind) for kind in GREEN}
            return found if all(each.get("status") == "True" for each in found.values()) else {}

        before = eventually("it is safe to trade", waits.SYSTEM_READY, green)
        open_soon(system, day, yahoo)
        so_far = Session(system, day, yahoo, before, hit)
        for task in OFFSETS:
            eventually(f"{task} is done", waits.SLOT_DONE, partial(so_far.done, task))
        yield so_far


def test_history_arrives_through_the_declared_proxy_and_it_becomes_safe_to_trade(session: Session) -> None:
    asked = {request.symbol for request in session.yahoo.log if request.kind == "chart" and request.status == 200}
    assert asked == set(session.yahoo.shares)
    last = [row.session.day for row in session.rows("CBA.AX") if row.session.day < session.day.date][-1]
    assert str(last) in session.green["DataFresh"]["message"]
    assert session.green["ModelsCurrent"]["reason"] == "Served"


@pytest.mark.parametrize("task", OFFSETS)
def test_each_task_of_the_day_is_run_once_by_its_cronjob(session: Session, task: str) -> None:
    (job,) = session.system.lab.items(session.system.namespace, "jobs", f"{LABEL_TASK}={task}")
    assert [owner["kind"] for owner in job["metadata"]["ownerReferences"]] == ["CronJob"]
    row = session.slot(task)
    assert (row["status"], row["params"]["attempts"]) == ("completed", 1)


def test_orders_fill_at_the_opening_price_and_the_account_is_valued_at_the_close(session: Session) -> None:
    point = eventually("the account is valued at the close", waits.FIRST_FILLS, session.valued)
    filled = session.filled()
    assert {order["session"] for order in filled} == {str(session.day.date)}
    worth = Decimal(0)
    for order in filled:
        row = session.rows(order["symbol"])[-1]
        assert (order["side"], row.session.day) == ("BUY", session.day.date)
        assert float(order["fill_price"]) == pytest.approx(row.open, rel=0.002), "not at the open, plus slippage"
        worth += Decimal(order["quantity"]) * Decimal(str(row.close))
    assert worth > 0
    assert float(point["positions_value"]) == pytest.approx(float(worth), rel=1e-4)
    assert session.asked("/v1/ledger/check")["violations"] == []


def test_a_bad_headline_stops_the_order_of_its_share_and_no_other(session: Session) -> None:
    refusals: list[Object] = session.asked("/v1/refusals", symbol=session.hit)["refusals"]
    (refusal,) = (each for each in refusals if each["code"] == "NEWS_VETO")
    assert BAD.format(name=NAMES[session.hit][0]) in refusal["value"]
    assert session.hit not in {order["symbol"] for order in session.filled()}
    others: list[Object] = session.asked("/v1/refusals")["refusals"]
    assert [each["symbol"] for each in others if each["code"] == "NEWS_VETO"] == [session.hit]
    made = session.asked(f"/v1/decisions/{refusal['prediction_id']}")["canonical"]["inputs"]["news"]
    (headline,) = made["headlines"]
    assert headline["available_at"] > headline["published"], "it counts from when it was first fetched"


def test_the_report_of_the_session_names_the_headline_and_what_it_stopped(session: Session) -> None:
    found = session.asked(f"/v1/reports/{session.day.date}", verify=True)
    assert found["equal"] is True, "composed again from its rows it has the same bytes"
    report = found["report"]
    (refusal,) = (each for each in report["refusals"] if each["code"] == "NEWS_VETO")
    assert (refusal["symbol"], BAD.format(name=NAMES[session.hit][0]) in refusal["value"]) == (session.hit, True)
    (news,) = (each for each in report["news"] if each["symbol"] == session.hit)
    assert [each["title"] for each in news["headlines"]] == [BAD.format(name=NAMES[session.hit][0])]
    assert {each["symbol"] for each in report["predictions"]} == set(session.yahoo.shares)


def test_one_trace_of_a_filled_order_spans_the_six_services_from_bars_to_fill(session: Session) -> None:
    eventually("the account is valued at the close", waits.FIRST_FILLS, session.valued)
    order = session.filled()[0]

    def complete() -> list[Object] | None:
        spans: list[Object] = session.asked(f"/v1/traces/{order['trace_id']}")["spans"]
        has_fill = any(span["service"] == "paper-trading" and "fill" in span["name"] for span in spans)
        expected = {span["service"] for span in spans} >= SPANNED
        return spans if expected and has_fill and parents_arrived(spans) else None

    spans = eventually(f"the trace {order['trace_id']} has all its services", waits.FIRST_FILLS, complete)
    (root,) = (span for span in spans if not span["parent_span_id"])
    assert (root["service"], root["name"]) == ("prediction", "decision")
