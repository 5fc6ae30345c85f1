from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from bellwether.gateway.service import HttpServer
from bellwether.gateway.status import STATUS_BUDGET
from bellwether.messages.prediction import Decisions
from bellwether.messages.trading import HaltState, Positions, Safety, SafetyRefusal
from bellwether.render.keys import scoped_token
from bellwether.runtime.errors import RpcError
from bellwether.topology import SERVICES
from unit.gateway.conftest import AUTHORIZED, IN_MODULES_LOOP, TOKEN, Opened, opened
from unit.gateway.samples import ANSWERS, AT, POSITION, SYSTEM, Seen, prediction

READING = {"Authorization": f"Bearer {scoped_token(TOKEN, 'read')}"}
SAMPLE = {
    "number": 1,
    "session": "2009-01-05",
    "symbol": "AAPL",
    "decision_id": "p-AAPL",
    "trace_id": "0" * 32,
    "order_id": "bw-1",
    "what": "trades",
    "version": "ab",
    "model_name": "m",
    "name": "sizes",
    "index": 0,
    "backup": "0b4a",
    "hold": "backup",
    "restore": "20261127T220000Z",
}


@IN_MODULES_LOOP
async def test_status_joins_services_replay_account_and_halts(standing: Opened) -> None:
    status = (await standing.http.get("/v1/status")).json()
    assert status["ready"] is True
    assert status["mode"] == "replay"
    assert status["generation"] == 3
    assert {one["name"] for one in status["services"]} == set(SERVICES)
    assert status["replay"]["sessions_total"] == 1047
    assert status["account"]["equity"] == "100136.40"
    assert status["halted"] is False
    assert status["problems"] == []


@IN_MODULES_LOOP
async def test_status_says_what_is_safe_fresh_served_and_done(standing: Opened) -> None:
    status = (await standing.http.get("/v1/status")).json()
    assert status["safety"] == {"safe": True, "refusals": []}
    assert status["data"] == [
        {"symbol": "AAPL", "fresh": True, "last_session": "2009-01-02", "problem": ""},
        {
            "symbol": "IBM",
            "fresh": False,
            "last_session": "2008-12-31",
            "problem": "the newest bar is of 2008-12-31",
        },
    ]
    (model,) = status["models"]
    assert (model["model_name"], model["symbol"], model["gated"]) == ("direction-lr", None, True)
    assert model["serves"] == ["AAPL", "IBM"]
    assert status["slots"] == {
        "since": None,
        "jobs": [
            {
                "name": "morning_analysis-20090105",
                "task": "morning_analysis",
                "session": "2009-01-05",
                "due": "2009-01-05T14:15:00Z",
                "status": "completed",
            }
        ],
        "since_by_task": {},
        "since_by_session": {},
        "failing": None,
    }


@IN_MODULES_LOOP
async def test_who_may_look_sees_the_figures_and_the_alerts(standing: Opened) -> None:
    for path in ("/v1/system", "/v1/alerts"):
        assert (await standing.stranger.get(path)).status_code == 401
        assert (await standing.stranger.get(path, headers=READING)).status_code == 200
    figures = (await standing.http.get("/v1/system")).json()
    assert set(figures["system"]) == {"scope", "cpu_percent", "memory_percent", "disk_usage"}
    assert figures["services"]["ml-model"]["status"] == "unreachable"
    (alert,) = (await standing.http.get("/v1/alerts")).json()["alerts"]
    assert {name: alert[name] for name in ("type", "severity", "service")} == {
        "type": "memory_high",
        "severity": "warning",
        "service": "system",
    }


async def test_a_refusal_of_the_trader_is_reported_with_code_value_limit_and_words(gateway: Opened) -> None:
    refusal = SafetyRefusal("HALTED", "cli: lunch", "no halt", "orders are stopped")
    gateway.answers["paper-trading"]["get_safety"] = Safety(False, [refusal])
    status = (await gateway.http.get("/v1/status")).json()
    assert status["safety"]["safe"] is False
    (reported,) = status["safety"]["refusals"]
    assert reported == {
        "code": "HALTED",
        "value": "cli: lunch",
        "limit": "no halt",
        "message": "orders are stopped",
        "symbol": "",
    }


async def test_what_nobody_said_is_unknown(gateway: Opened) -> None:
    for name in ("market-data", "ml-model", "scheduler", "paper-trading"):
        await gateway.system.stop(name)
    status = (await gateway.http.get("/v1/status")).json()
    assert status["safety"] == {"safe": None, "refusals": []}
    assert {(one["symbol"], one["fresh"], one["last_session"]) for one in status["data"]} == {
        ("AAPL", None, None),
        ("IBM", None, None),
    }
    assert status["models"] is None
    assert status["slots"] is None
    assert status["halted"] is None
    for name in ("ml-model", "scheduler", "paper-trading"):
        assert [line for line in status["problems"] if line.startswith(f"{name} does not answer")], name


async def test_questions_of_the_status_are_put_at_the_replays_instant(gateway: Opened) -> None:
    await gateway.http.get("/v1/status")
    dated = {"get_account", "get_safety", "get_freshness"}
    asked = {(method, call.as_of, call.run) for method, call in gateway.seen.calls if method in dated}
    assert asked >= {(method, AT, "run-1") for method in dated}


async def test_status_asks_everybody_at_once_and_waits_for_none_longer_than_its_budget(gateway: Opened) -> None:
    never = asyncio.Event()

    async def silent(_: dict[str, Any]) -> None:
        await never.wait()

    for answers in gateway.answers.values():
        for method in ("get_account", "get_safety", "get_freshness", "list_models", "list_slots"):
            if method in answers:
                answers[method] = silent
    async with asyncio.timeout(25):
        status = (await gateway.http.get("/v1/status")).json()
    never.set()
    for method in ("get_account", "get_safety", "get_freshness", "list_models", "list_slots"):
        # Others may ask as well, with more time.
        assert min(left for name, left in gateway.seen.left if name == method) <= STATUS_BUDGET, method
    assert status["replay"]["state"] == "running"
    assert status["safety"]["safe"] is None
    assert {one["fresh"] for one in status["data"]} == {None}
    assert {one["ready"] for one in status["services"]} == {True}


async def test_without_the_replays_instant_nobody_is_asked_what_is_safe_or_fresh(tmp_path: Path) -> None:
    never, seen = asyncio.Event(), Seen()

    async def silent(_: dict[str, Any]) -> None:
        await never.wait()

    answers = {**ANSWERS, "scheduler": {**ANSWERS["scheduler"], "get_replay": silent}}
    async with opened(tmp_path, answers, seen) as gateway:
        async with asyncio.timeout(25):
            status = (await gateway.http.get("/v1/status")).json()
        never.set()
    assert not {"get_safety", "get_freshness"} & {method for method, _ in seen.left}
    assert status["replay"] is None
    assert status["safety"] == {"safe": None, "refusals": []}
    assert {one["fresh"] for one in status["data"]} == {None}
    assert status["account"]["equity"] == "100136.40"
    assert "scheduler does not answer: scheduler.get_replay gave no reply in time" in status["problems"]


async def test_a_service_that_is_unreachable_is_named_and_the_rest_still_reported(gateway: Opened) -> None:
    await gateway.system.stop("paper-trading")
    status = (await gateway.http.get("/v1/status")).json()
    states = {one["name"]: one for one in status["services"]}
    assert status["ready"] is False
    assert states["paper-trading"]["status"] == "unreachable"
    assert states["prediction"]["ready"] is True
    assert status["halted"] is None
    assert any("paper-trading does not answer" in line for line in status["problems"])


async def test_a_peer_away_is_503_and_named(gateway: Opened) -> None:
    await gateway.system.stop("paper-trading")
    reply = await gateway.http.get("/v1/positions")
    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "UNAVAILABLE"
    assert reply.json()["error"]["message"].startswith("paper-trading does not answer")


async def test_questions_are_put_at_the_conductors_instant_and_in_its_run(gateway: Opened) -> None:
    await gateway.http.get("/v1/account")
    asked = [call for method, call in gateway.seen.calls if method == "get_account"]
    assert {(call.as_of, call.run) for call in asked} == {(AT, "run-1")}


@IN_MODULES_LOOP
@pytest.mark.parametrize(
    "path",
    [
        "/v1/predictions",
        "/v1/decisions?symbol=AAPL&limit=5",
        "/v1/decisions/p-AAPL",
        "/v1/positions",
        "/v1/account",
        "/v1/orders?status=filled",
        "/v1/refusals",
        "/v1/jobs",
        "/v1/ledger/check",
        "/v1/equity",
        "/v1/traces",
    ],
)
async def test_looking_needs_a_token_that_may_look(standing: Opened, path: str) -> None:
    refused = await standing.stranger.get(path)
    assert refused.status_code == 401
    assert "a token of the gateway that may read" in refused.json()["error"]["message"]
    reply = await standing.stranger.get(path, headers=READING)
    assert reply.status_code == 200, reply.text


@IN_MODULES_LOOP
async def test_every_route_that_tells_of_the_system_refuses_a_stranger(standing: Opened) -> None:
    """A route that is added without saying what it needs is found here."""
    schema = (await standing.stranger.get("/openapi.json")).json()
    reported = {
        (method, path): (await standing.stranger.request(method.upper(), path.format(**SAMPLE))).status_code
        for path, methods in schema["paths"].items()
        for method in methods
    }
    open_to_all = {route for route, status in reported.items() if status != 401}
    assert open_to_all == {("get", "/healthz")}


@IN_MODULES_LOOP
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/reports",
        "/static/reports.js",
        "/static/dashboard.js",
        "/static/stream.js",
        "/static/news.js",
        "/favicon.ico",
    ],
)
async def test_the_page_itself_needs_no_token_and_tells_nothing(standing: Opened, path: str) -> None:
    reply = await standing.stranger.get(path)
    assert reply.is_success
    assert "set-cookie" not in reply.headers


@IN_MODULES_LOOP
async def test_a_session_report_comes_as_json_and_as_text_and_is_composed_again_when_asked(standing: Opened) -> None:
    found = (await standing.http.get("/v1/reports/2009-01-05")).json()
    assert (found["report"]["session"], found["equal"]) == ("2009-01-05", None)
    assert (await standing.http.get("/v1/reports/latest?verify=true")).json()["equal"] is True
    text = await standing.http.get("/v1/reports/latest?format=text")
    assert text.headers["content-type"].startswith("text/plain")
    assert "refused, NOTHING_TO_SELL: the symbol is not held" in text.text
    assert (await standing.http.get("/v1/reports")).json()["reports"][0]["session"] == "2009-01-05"
    refused = await standing.http.get("/v1/reports/yesterday")
    assert refused.status_code == 422
    assert "a day is written 2009-01-05, or latest" in refused.json()["error"]["message"]


async def test_where_reads_are_declared_open_everybody_may_look_and_nobody_halt(tmp_path: Path) -> None:
    spec = SYSTEM.spec.model_copy(update={"gateway": SYSTEM.spec.gateway.model_copy(update={"open_reads": True})})
    declared = SYSTEM.model_copy(update={"spec": spec})
    async with opened(tmp_path, ANSWERS, Seen(), declared) as gateway:
        assert (await gateway.stranger.get("/v1/account")).status_code == 200
        assert (await gateway.stranger.post("/v1/halt", json={"reason": "x"})).status_code == 401


@IN_MODULES_LOOP
async def test_the_address_that_run_prints_lets_the_page_look_and_halt(standing: Opened) -> None:
    http = standing.stranger
    key = scoped_token(TOKEN, "halt")
    reply = await http.get("/", params={"key": key})
    assert (reply.status_code, reply.headers["location"]) == (303, "./")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(reply.headers["set-cookie"].split("; "))
    assert reply.headers["cache-control"] == "no-store"
    try:
        assert (await http.get("/v1/account")).status_code == 200
        own = {"Origin": str(http.base_url).rstrip("/")}
        assert (await http.post("/v1/halt", json={"reason": "odd"}, headers=own)).status_code == 200
        assert (await http.post("/v1/halt", json={"reason": "odd"})).status_code == 401
        resumed = await http.post("/v1/resume", json={"reason": "fine"}, headers=own)
        assert (resumed.status_code, resumed.json()["error"]["code"]) == (403, "FORBIDDEN")
        assert "this token may halt and read; this needs one that may operate" in resumed.json()["error"]["message"]
    finally:
        http.cookies.clear()
    assert (await http.get("/", params={"key": "wrong"})).status_code == 401


@IN_MODULES_LOOP
async def test_a_token_typed_into_the_page_becomes_its_cookie(standing: Opened) -> None:
    http = standing.stranger
    assert (await http.post("/v1/session", headers={"Authorization": "Bearer wrong"})).status_code == 401
    try:
        assert (await http.post("/v1/session", headers=READING)).status_code == 204
        assert (await http.get("/v1/account")).status_code == 200
        own = {"Origin": str(http.base_url).rstrip("/")}
        assert (await http.post("/v1/halt", json={"reason": "odd"}, headers=own)).status_code == 403
    finally:
        http.cookies.clear()


@IN_MODULES_LOOP
async def test_predictions_are_the_newest_of_each_declared_symbol(standing: Opened) -> None:
    found = (await standing.http.get("/v1/predictions")).json()["predictions"]
    assert list(found) == list(SYSTEM.spec.symbols)
    assert found["AAPL"]["probability"] == 0.57


CHANGES = [
    ("PUT", "/v1/declaration"),
    ("POST", "/v1/halt"),
    ("POST", "/v1/resume"),
    ("POST", "/v1/predict/AAPL"),
    ("POST", "/v1/decisions/p-AAPL/replay"),
    ("POST", "/v1/traces"),
]


@IN_MODULES_LOOP
@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("header", [None, "Bearer wrong-token-of-some-length", "Basic a-token-for-tests-only"])
async def test_doing_something_needs_a_token(standing: Opened, method: str, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = await standing.stranger.request(method, path, headers=headers, content=b"{}")
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer <token>" in reply.json()["error"]["message"]


@IN_MODULES_LOOP
@pytest.mark.parametrize("path", ["/v1/halt", "/v1/resume"])
async def test_a_body_is_not_read_before_the_token_and_never_without_a_bound(standing: Opened, path: str) -> None:
    refused = await standing.stranger.post(path, content=b"{bad", headers={"Content-Type": "application/json"})
    assert refused.status_code == 401
    large = await standing.http.post(path, content=b" " * 20_000 + b"{}", headers=AUTHORIZED)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "TOO_LARGE")
    broken = await standing.http.post(path, content=b"{bad", headers=AUTHORIZED)
    assert broken.status_code == 422
    assert "Invalid JSON" in broken.json()["error"]["message"]


@IN_MODULES_LOOP
async def test_the_equity_curve_has_one_point_for_each_session_that_closed(standing: Opened) -> None:
    (point,) = (await standing.http.get("/v1/equity?limit=10")).json()["points"]
    assert (point["session"], point["equity"], point["cash"]) == ("2009-01-05", "100136.40", "89732.60")


async def test_a_resume_passes_on_the_newest_halt_that_was_seen(gateway: Opened) -> None:
    def resumed(asked: dict[str, Any]) -> HaltState:
        if asked["seen"] != 4:
            raise RpcError("NEWER_HALT", "nothing was resumed")
        return HaltState(False, [])

    gateway.answers["paper-trading"]["resume"] = resumed
    for seen, status in ((4, 200), (3, 409)):
        body = {"reason": "looked", "seen": seen}
        reply = await gateway.http.post("/v1/resume", json=body, headers=AUTHORIZED)
        assert reply.status_code == status, reply.text


async def test_a_halt_carries_reason_and_source(gateway: Opened) -> None:
    body = {"reason": "odd prices", "source": "cli"}
    reply = await gateway.http.post("/v1/halt", json=body, headers=AUTHORIZED)
    assert reply.json() == {"halted": True, "halts": ["cli: odd prices"]}


@IN_MODULES_LOOP
async def test_a_halt_without_a_reason_is_refused_in_words(standing: Opened) -> None:
    reply = await standing.http.post("/v1/halt", json={"reason": " "}, headers=AUTHORIZED)
    assert reply.status_code == 422
    assert "reason" in reply.json()["error"]["message"]


@IN_MODULES_LOOP
async def test_predict_and_replay_answer(standing: Opened) -> None:
    made = await standing.http.post("/v1/predict/AAPL", headers=AUTHORIZED)
    assert made.json()["may_trade"] is False
    again = await standing.http.post("/v1/decisions/p-AAPL/replay", headers=AUTHORIZED)
    assert again.json()["outcome"] == "equal"


async def test_a_peers_refusal_keeps_its_code(gateway: Opened) -> None:
    gateway.answers["prediction"]["get_decision"] = RpcError("UNKNOWN_DECISION", "there is no decision x")
    reply = await gateway.http.get("/v1/decisions/x")
    assert reply.status_code == 404
    assert reply.json() == {"error": {"code": "UNKNOWN_DECISION", "message": "there is no decision x"}}


@IN_MODULES_LOOP
@pytest.mark.parametrize("path", ["/v1/orders?limit=0", "/v1/orders?limit=501", "/v1/orders?status=lost"])
async def test_a_bad_parameter_is_named(standing: Opened, path: str) -> None:
    reply = await standing.http.get(path)
    assert reply.status_code == 422
    assert reply.json()["error"]["code"] == "INVALID_PARAMS"
    assert reply.json()["error"]["message"].startswith(("limit '0':", "limit '501':", "status 'lost':"))


@IN_MODULES_LOOP
async def test_an_unknown_path_says_what_there_is(standing: Opened) -> None:
    reply = await standing.http.get("/v2/status")
    assert reply.status_code == 404
    assert "/openapi.json" in reply.json()["error"]["message"]


@IN_MODULES_LOOP
async def test_why_shows_the_way_to_the_order(standing: Opened) -> None:
    found = (await standing.http.get("/v1/why/AAPL")).json()
    assert [stage["name"] for stage in found["stages"]] == ["bars", "quality", "prediction", "guards", "order"]
    assert found["stopped_at"] is None
    assert found["because"] == "BUY 110 for 2009-01-05: filled at 93.22"


async def test_why_of_a_session_is_about_the_decision_that_might_trade_in_it(gateway: Opened) -> None:
    day = date(2009, 1, 5)
    made = [
        prediction(prediction_id="next", target_session=date(2009, 1, 6)),
        prediction(prediction_id="looked-at", target_session=day, may_trade=False),
        prediction(prediction_id="traded", target_session=day),
        prediction(prediction_id="before", target_session=date(2009, 1, 2)),
    ]
    gateway.answers["prediction"]["list_decisions"] = Decisions(made, len(made))
    assert (await gateway.http.get("/v1/why/AAPL")).json()["prediction_id"] == "next"
    assert (await gateway.http.get("/v1/why/AAPL?session=2009-01-05")).json()["prediction_id"] == "traded"
    none = (await gateway.http.get("/v1/why/AAPL?session=2009-01-07")).json()
    assert (none["prediction_id"], none["stages"][2]["says"]) == (None, "nothing was predicted for 2009-01-07")
    closed = await gateway.http.get("/v1/why/AAPL?session=2009-01-17")
    assert closed.status_code == 422
    words = "XNYS has no session on 2009-01-17: the one before is 2009-01-16, the next one 2009-01-20"
    assert closed.json()["error"] == {"code": "NO_SESSION", "message": words}
    beyond = await gateway.http.get("/v1/why/AAPL?session=1900-01-01")
    assert (beyond.status_code, beyond.json()["error"]["code"]) == (422, "NO_SESSION")
    wrong = await gateway.http.get("/v1/why/AAPL?session=yesterday")
    assert wrong.status_code == 422
    assert wrong.json()["error"]["message"] == "session 'yesterday': a day is written 2009-01-05, or latest"


@IN_MODULES_LOOP
async def test_why_of_an_undeclared_symbol_lists_the_declared(standing: Opened) -> None:
    reply = await standing.http.get("/v1/why/MSFT")
    assert reply.status_code == 404
    assert reply.json()["error"]["message"] == "MSFT is neither declared nor held; declared are AAPL, IBM"


async def test_why_speaks_of_a_share_that_is_held_though_no_longer_declared(gateway: Opened) -> None:
    gateway.answers["paper-trading"]["get_positions"] = Positions([msgspec.structs.replace(POSITION, symbol="MSFT")])
    found = (await gateway.http.get("/v1/why/MSFT")).json()
    assert found["symbol"] == "MSFT"
    assert [stage["name"] for stage in found["stages"]] == ["bars", "quality", "prediction", "guards", "order"]


async def test_why_does_not_say_that_a_share_is_not_held_while_nobody_knows(gateway: Opened) -> None:
    gateway.answers["paper-trading"]["get_positions"] = RpcError("INTERNAL", "no store")
    reply = await gateway.http.get("/v1/why/MSFT")
    assert reply.status_code >= 500
    assert reply.json()["error"]["message"] == "no store"


@IN_MODULES_LOOP
async def test_news_is_reported_of_one_share_or_of_all_with_the_state_of_its_source(standing: Opened) -> None:
    one = (await standing.http.get("/v1/sentiment", params={"symbol": "AAPL"})).json()
    (apple,) = one["news"]
    assert (apple["sentiment_score"], apple["headlines"][0]["title"]) == (-0.8, "Apple plunges on fraud probe")
    assert one["source"] == {"provider": "none", "state": "nobody is asked"}
    every = (await standing.http.get("/v1/sentiment")).json()["news"]
    assert [(each["symbol"], each["reason"]) for each in every] == [("AAPL", ""), ("IBM", "NO_NEWS")]
    reply = await standing.http.get("/v1/sentiment", params={"symbol": "MSFT"})
    assert reply.status_code == 404
    assert "MSFT is not declared; declared are AAPL, IBM" in reply.json()["error"]["message"]


async def test_market_data_is_reported_of_every_declared_share_or_why_there_is_none(gateway: Opened) -> None:
    found = (await gateway.http.get("/v1/market-data")).json()
    assert set(found["market_data"]) == {"AAPL", "IBM"}
    assert {"technical", "volume", "market_context", "last_session"} <= set(found["market_data"]["AAPL"])
    gateway.answers["market-data"]["get_market_data"] = RpcError("NOT_ENOUGH_BARS", "3 bars")
    found = (await gateway.http.get("/v1/market-data")).json()
    assert found == {"market_data": {}, "errors": dict.fromkeys(("AAPL", "IBM"), "NOT_ENOUGH_BARS: 3 bars")}


async def test_news_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    answers = ANSWERS | {"sentiment": {"analyze_sentiment": RpcError("NEWS_UNAVAILABLE", "Yahoo answers 429")}}
    async with opened(tmp_path, answers, Seen()) as gateway:
        found = (await gateway.http.get("/v1/sentiment", params={"symbol": "AAPL"})).json()
    assert found["news"][0]["sentiment_score"] is None
    assert found["news"][0]["reason"] == "NEWS_UNAVAILABLE: Yahoo answers 429"


def test_an_idle_connection_is_ended_by_its_client_not_by_the_server_under_the_next_request() -> None:
    kept = httpx.Limits().keepalive_expiry
    assert kept is not None
    assert HttpServer(FastAPI(), "127.0.0.1", 0).keep_alive_seconds >= 10 * kept
