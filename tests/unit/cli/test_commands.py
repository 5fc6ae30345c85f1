from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli import show
from bellwether.cli.main import main
from bellwether.cli.options import print_drawn
from bellwether.messages.monitoring import MessageOutcome, SentTestMessages
from bellwether.messages.trading import Orders, Safety, SafetyRefusal, Trade
from unit.gateway.conftest import IN_MODULES_LOOP, TOKEN, Opened
from unit.gateway.samples import TRACE, order
from unit.gateway.test_traces import span

GOOD = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: demo}
spec:
  market: {calendar: XNYS}
  symbols: [AAPL]
  data: {provider: replay}
  clock: {mode: replay, from: "2009-01-02"}
"""


class Typed:
    """Types commands at a gateway, as a person would."""

    def __init__(self, opened: Opened, capture: pytest.CaptureFixture[str]) -> None:
        self._url = str(opened.http.base_url)
        self._capture = capture

    async def __call__(self, *words: str, token: str | None = TOKEN) -> tuple[int, str, str]:
        given = [*words, "--url", self._url, *(["--token", token] if token else [])]
        code = await asyncio.to_thread(main, given)
        reported = self._capture.readouterr()
        return code, reported.out, reported.err


@pytest.fixture
def typed(
    gateway: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Typed:
    monkeypatch.chdir(tmp_path)
    return Typed(gateway, capsys)


@pytest.fixture
def typed_at_standing(
    standing: Opened, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Typed:
    monkeypatch.chdir(tmp_path)
    return Typed(standing, capsys)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["status"], ["demo", "ready", "session 2009-01-05, 1 of 1,047 sessions", "100,136.40 USD", "paper-trading"]),
        (["status"], ["safe to trade"]),
        (["decisions", "AAPL", "-l", "5"], ["AAPL", "BUY", "0.570", "0.540", "p-AAPL"]),
        (["decision", "p-AAPL"], ["probability", "0.5700 beside a base rate of 0.5400", "return_1", "sentiment"]),
        (["decision", "p-AAPL"], ["Apple plunges on fraud probe", "-0.80", "Wire", "scored by vader-1-words"]),
        (["decision", "p-AAPL"], ["0.75 of 1200 outcomes through 2008-12-31", "none: UNAVAILABLE", "34" * 8]),
        (
            ["decision", "p-AAPL"],
            ["+0.1228", "exact shares of the log odds", "today's version is 5656"],
        ),
        (["decision", "p-AAPL"], ["BUY: 0.5700 is +0.0300 from the base rate; BUY from 0.5500", "not known yet"]),
        (["decision", "p-AAPL", "--replay"], ["equal"]),
        (["serving"], ["AAPL", "1.00", "0.50", "0.2500", "0.2600", "drift of model abababababab: 2 decisions"]),
        (["serving"], ["return_1", "0.310", "changed strongly"]),
        (
            ["news"],
            ["AAPL", "-0.80", "0.63", "1, 1 repeated", "IBM", "none", "NO_NEWS", "source none: nobody is asked"],
        ),
        (["news", "AAPL"], ["Apple plunges on fraud probe", "Wire"]),
        (["positions"], ["AAPL", "110", "10,403.80", "+136.00"]),
        (["orders"], ["AAPL", "filled", "93.22", "signal"]),
        (["predict", "AAPL"], ["BUY from", "may trade", "no"]),
        (["why", "AAPL"], ["there is an order", "bars", "passed TRADING_OFF, HALTED", "filled at 93.22"]),
        (["health"], ["container: CPU 12 %, memory 73 %, disk 41 %", "140 MiB in 1 process", "prediction", "healthy"]),
        (["health"], ["ml-model", "unreachable", "nobody serves ml-model.health"]),
        (["alerts"], ["warning", "2009-01-05", "memory of system is 85 % of the container's limit"]),
        (["notify"], ["hook", "webhook", "hook.example answered 500", "85 % of memory", "hook: pending"]),
        (["notify", "--test"], ["hook", "webhook", "delivered"]),
        (["dead-letters", "list"], ["7", "paper-trading", "prediction_generated", "KeyError", "1 in all"]),
        (["dead-letters", "show", "7"], ["given up by paper-trading after 5 attempts", '{"id":"e-1"}']),
        (["dead-letters", "replay", "7"], ["7 is published again as m-2"]),
        (["dead-letters", "drop", "7"], ["7 is dropped"]),
        (["report"], ["Session 2009-01-05 of banks", "AAPL: BUY, p 0.580", "audit-20090105: missed"]),
        (["report", "--session", "2009-01-05", "--verify"], ["composed again: equal"]),
        (["report", "--list"], ["2009-01-05  2 of 3 predicted; 1 filled; 2 refused"]),
        (["halt", "--reason", "odd prices"], ["orders are stopped", "cli: odd prices"]),
        (["resume", "--reason", "prices are right"], ["orders are allowed"]),
    ],
)
@IN_MODULES_LOOP
async def test_an_answer_is_drawn_for_people(typed_at_standing: Typed, command: list[str], words: list[str]) -> None:
    code, out, err = await typed_at_standing(*command)
    assert (code, err) == (0, "")
    for word in words:
        assert word in out, out


async def test_a_test_message_that_does_not_arrive_ends_with_1(typed: Typed, gateway: Opened) -> None:
    outcomes = [MessageOutcome("hook", "webhook", delivered=True), MessageOutcome("mail", "email", False, "no answer")]
    gateway.answers["monitoring"]["test_notification"] = SentTestMessages(outcomes)
    code, out, _ = await typed("notify", "--test")
    assert code == 1
    assert "no answer" in out


def _by_hand(status: str, **changed: Any) -> Trade:
    asked = order(order_id="bw-1", reason="manual", quantity=Decimal(5), status=status, **changed)
    reported: Any = {"awaiting_approval": "queued", "refused": "failed"}.get(status, status)
    return Trade("AAPL", "BUY", Decimal(5), asked.created_at, "bw-1", None, reported, asked.refusal, asked)


async def test_a_trade_says_what_it_waits_for_or_in_words_why_it_failed(typed: Typed, gateway: Opened) -> None:
    trader = gateway.answers["paper-trading"]
    trader["execute_trade"] = _by_hand("awaiting_approval")
    code, out, err = await typed("trade", "AAPL", "BUY", "5")
    assert (code, err) == (0, "")
    assert "waits for approval: BUY 5 AAPL for 2009-01-05, order bw-1" in out
    assert "`bellwether approve bw-1` allows it" in out
    trader["execute_trade"] = _by_hand("refused", refusal="NO_REAL_PRICE: value=0 limit=more than 0")
    code, out, _ = await typed("trade", "AAPL", "BUY", "5")
    assert code == 1
    assert "failed: BUY 5 AAPL" in out
    assert "NO_REAL_PRICE: there is no real price of the symbol" in out
    assert "(value=0 limit=more than 0)" in out


@pytest.mark.parametrize(("state", "expected"), [("cancelled", 0), ("working", 0), ("filled", 1), ("expired", 1)])
async def test_a_cancellation_that_comes_too_late_ends_with_1(
    state: str, expected: int, typed: Typed, gateway: Opened
) -> None:
    gateway.answers["paper-trading"]["cancel_order"] = order(order_id="bw-1", status=state)
    code, out, _ = await typed("cancel", "bw-1")
    assert code == expected
    assert f"is {state}" in out


async def test_orders_of_one_state_can_be_asked_for(typed: Typed, gateway: Opened) -> None:
    trader = gateway.answers["paper-trading"]
    trader["list_orders"] = lambda asked: Orders([order(order_id="bw-1", status=asked["status"])], 1)
    code, out, err = await typed("orders", "--status", "awaiting_approval")
    assert (code, err) == (0, "")
    assert "bw-1  BUY 110 AAPL waits for approval" in out
    code, _, err = await typed("orders", "--status", "nonsense")
    assert code == 1
    assert "status 'nonsense': Input should be 'queued', 'awaiting_approval'" in err


@IN_MODULES_LOOP
async def test_an_answer_for_programs_is_the_gateways_json(typed_at_standing: Typed) -> None:
    code, out, _ = await typed_at_standing("orders", "-o", "json")
    assert code == 0
    assert json.loads(out)["orders"][0]["fill_price"] == "93.22"


async def test_a_trace_is_drawn_as_a_tree(typed: Typed, gateway: Opened) -> None:
    await _store(gateway)
    for given in (["trace"], ["trace", "--last"], ["trace", TRACE[:10]], ["trace", "p-AAPL"]):
        code, out, err = await typed(*given)
        assert code == 0, err
        lines = out.splitlines()
        assert "prediction decision  5.0 ms" in lines[1]
        assert "paper-trading fill  5.0 ms" in lines[2]
        assert "order_id=bw-1" in lines[3]
        assert lines[2].index("paper-trading") > lines[1].index("prediction")
    code, out, _ = await typed("trace", "--list")
    assert "order" in out
    assert TRACE[:12] in out


@pytest.mark.parametrize(
    ("reported", "words", "unsaid"),
    [
        (Safety(None, []), "it is not known whether it is safe to trade", "not safe"),
        (
            Safety(False, [SafetyRefusal("DATA_STALE", "bar of x", "bar of y", "AAPL: the newest bar is older")]),
            "not safe to trade: AAPL: the newest bar is older",
            "known",
        ),
        (
            Safety(
                True, [SafetyRefusal("DATA_STALE", "bar of x", "bar of y", "AAPL: the newest bar is older", "AAPL")]
            ),
            "safe to trade\nexcept in AAPL: the newest bar is older",
            "not safe",
        ),
        (
            Safety(
                False,
                [SafetyRefusal("DATA_STALE", "", "", f"{name}: the newest bar is older", name) for name in "AB"]
                + [SafetyRefusal("NO_REAL_PRICE", "", "", "C: there is no price", "C")],
            ),
            "not safe to trade: A, B: the newest bar is older\nnot safe to trade: C: there is no price\n",
            "A: the",
        ),
        (Safety(False, [SafetyRefusal("HALTED", "cli: lunch", "no halt", "stopped")]), "demo", "safe to trade"),
    ],
    ids=["unknown", "stale", "one stale", "alike", "halted"],
)
async def test_status_says_why_it_is_not_safe_to_trade(
    typed: Typed, gateway: Opened, reported: Safety, words: str, unsaid: str
) -> None:
    gateway.answers["paper-trading"]["get_safety"] = reported
    code, out, err = await typed("status")
    assert (code, err) == (0, "")
    assert words in out
    assert unsaid not in out


@IN_MODULES_LOOP
async def test_the_status_of_an_older_gateway_is_drawn_without_what_it_does_not_say(
    standing: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    found = (await standing.http.get("/v1/status")).json()
    for key in ("safety", "data", "slots"):
        del found[key]
    print_drawn(show.status(found))
    out = capsys.readouterr().out
    for words in ("demo", "100,136.40 USD", "this gateway does not say whether it is safe to trade", "paper-trading"):
        assert words in out


async def _store(gateway: Opened) -> None:
    root = span(1, trace_id=TRACE)
    fill = span(
        1, "fill", parent=root.span_id, trace_id=TRACE, service="paper-trading", attributes={"order_id": "bw-1"}
    )
    store = gateway.system.services["gateway"].context.store
    assert store is not None
    from bellwether.gateway.traces import TraceTables

    def work(tx: object) -> None:
        TraceTables().add(tx.connection.connection.driver_connection, [root, fill], 0.0)  # type: ignore[attr-defined]

    await store.transact(work)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["halt", "--reason", "x"], "Authorization: Bearer <token>"),
        (["why", "MSFT"], "MSFT is neither declared nor held; declared are AAPL, IBM (UNKNOWN_SYMBOL)"),
        (["trace", "0" * 32], "no trace"),
    ],
)
@IN_MODULES_LOOP
async def test_a_refusal_is_reported_in_the_gateways_words(
    typed_at_standing: Typed, command: list[str], words: str
) -> None:
    code, out, err = await typed_at_standing(*command, token=None if command[0] == "halt" else TOKEN)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert words in err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["status", "--url", "http://127.0.0.1:1"], "no gateway answers at http://127.0.0.1:1"),
        (["status", "--url", "nonsense"], "write http://HOST:PORT"),
        (["status", "--system", "Not A Name"], "--system 'Not A Name': a name has a-z, 0-9 and -"),
    ],
)
def test_a_gateway_that_cannot_be_reached_is_reported(
    command: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 1
    assert words in capsys.readouterr().err


def test_help_lists_every_command_and_where_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    reported = capsys.readouterr().out
    for word in ("bellwether run manifests/samples/replay.yaml", "serve", "bootstrap", "validate", "why", "trace"):
        assert word in reported


def test_validate_tells_path_and_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace('clock: {mode: replay, from: "2009-01-02"}', "clock: {mode: replay}\n  colour: red"))
    assert main(["validate", str(good)]) == 0
    assert "is valid" in capsys.readouterr().out
    assert main(["validate", str(bad)]) == 1
    reported = capsys.readouterr().err
    assert "spec.clock" in reported
    assert "colour" in reported
    assert main(["validate", str(bad), "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["valid"] is False
    assert main(["validate", str(tmp_path / "none.yaml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_process_that_stays_loads_nothing_that_only_draws() -> None:
    code = (
        "import sys\n"
        "from importlib import import_module\n"
        "unwanted = {'rich', 'typer', 'pandas', 'sklearn', 'aiohttp', 'requests', 'yfinance', 'exchange_calendars',"
        " 'alembic', 'cel', 'httpx', 'jinja2'}\n"
        "for name in sys.argv[1:]:\n"
        "    import_module(name)\n"
        "    print(name, *sorted(unwanted & set(sys.modules)))\n"
    )
    modules = ["bellwether.gateway.service", "bellwether.cli.main", "bellwether.local.registry", "bellwether.local.run"]
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [*modules, ""]


HISTORY = """Date,Open,High,Low,Close,Volume,Dividends,Stock Splits
2023-05-29 00:00:00+10:00,12.2,12.4,12.1,12.3,900,0.0,0.0
2023-05-30 00:00:00+10:00,12.4,12.5,12.3,12.4,1000,1.7,0.0
2023-06-01 00:00:00+10:00,12.4,12.6,12.3,12.5,1000,0.0,2.0
2023-06-03 00:00:00+10:00,12.4,12.6,12.3,12.65,,0.0,0.0
2023-06-02 00:00:00+10:00,12.4,12.6,12.3,14.65,100,0.0,0.0
"""


def test_bars_shows_what_would_be_read_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("CBA.AX.csv").write_text(HISTORY)
    assert main(["bars", "CBA.AX.csv", "--calendar", "XASX"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "CBA.AX.csv: CBA.AX, yfinance history()",
        "  sessions   4, 2023-05-29 to 2023-06-03",
        "  prices     restated after later splits and dividends; the last close is 12.65",
        "  splits     2023-06-01 2:1 (stated)",
        "  dividends  2023-05-30 3.4 (stated)",
        "  XASX       2 sessions without a row: 2023-05-31, 2023-06-02",
        "             1 rows on days without a session: 2023-06-03",
        "  left out   line 6: Close 14.65 is above High 12.6 (OHLC_ORDER)",
        "  kept       line 5, 2023-06-03: OHLC_ORDER, NO_VOLUME",
    ]


def test_bars_says_what_would_hold_a_symbol_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"2024-01-{day:02},{price},{price},{price},{price},{price},10" for day, price in _PENCE_THEN_POUNDS]
    Path("VOD.L.csv").write_text("\n".join(["Date,Open,High,Low,Close,Adj Close,Volume", *rows]) + "\n")
    assert main(["bars", "VOD.L.csv", "--calendar", "XLON"]) == 0
    (held,) = [line for line in capsys.readouterr().out.splitlines() if "held back" in line]
    assert "from 2024-01-15 on: UNITS: VOD.L.csv" in held
    assert "the close goes from 600 (2024-01-12) to 6" in held


_PENCE_THEN_POUNDS = [(day, 600 if day < 15 else 6) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12, 15, 16, 17, 18, 19)]


def test_bars_says_why_a_file_would_be_refused_and_reads_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("CBA.AX.csv").write_text(HISTORY)
    Path("X.csv").write_text("hello")
    assert main(["bars", "X.csv", "Y.csv", "CBA.AX.csv", "-o", "json"]) == 1
    reported = json.loads(capsys.readouterr().out)
    assert [one["refused"] for one in reported] == [
        "X.csv, line 1: no titles are found; it has hello; needed are Date,Open,High,Low,Close,Volume",
        "Y.csv does not exist: each symbol needs its SYMBOL.csv",
        None,
    ]
    assert reported[2]["actions"] == [
        {"session": "2023-05-30", "kind": "dividend", "amount": 3.4},
        {"session": "2023-06-01", "kind": "split", "ratio": 2.0},
    ]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--prices", "x"], "--prices x: Input should be 'raw', 'splitAdjusted' or 'adjusted'"),
        (["--max-odd-rows", "2"], "--max-odd-rows 2: String should match pattern"),
        (["--calendar", "XX"], "--calendar: calendar 'XX' is not known: use one of XASX"),
    ],
)
def test_a_wrong_option_of_bars_is_named(option: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bars", "X.csv", *option]) == 1
    assert words in capsys.readouterr().err


OWN_FILES = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: demo}
spec:
  data: {provider: csv, csv: {directory: bars}}
"""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "spec.data.csv.directory: {here}/bars is not a folder (relative to system.yaml)"),
        (
            "  sentiment: {{provider: csv, csv: {{file: news.csv}}}}",
            "spec.sentiment.csv.file: {here}/news.csv is not a file (relative to system.yaml)",
        ),
        ("  predictions: {{model: foo}}", "spec.predictions.model: 'foo': there is no foo.yaml in "),
        ("  symbols: [BRK.B, BRK-B]", "spec.symbols[1]: BRK-B and BRK.B cannot be distinguished on the bus"),
        (
            '  clock: {{mode: replay, from: "2009-01-03", to: "2009-01-04"}}',
            "spec.clock.to: XASX has no session from 2009-01-03 to 2009-01-04",
        ),
        (
            '  market: {{calendar: XTKS}}\n  clock: {{mode: replay, from: "1990-01-03"}}',
            "spec.clock.from: 1990-01-03: calendar XTKS covers ",
        ),
        (
            '  market: {{overrides: [{{date: "2009-01-03", open: "10:00"}}]}}',
            "spec.market.overrides[0]: override 2009-01-03: XASX has no session on that day",
        ),
    ],
)
def test_validate_says_what_would_fail_later(
    spec: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("system.yaml").write_text(OWN_FILES + spec.format() + "\n")
    assert main(["validate", "system.yaml"]) == 1
    assert f"system.yaml: {words.format(here=tmp_path)}" in capsys.readouterr().err


def test_validate_looks_for_no_folder_inside_of_a_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("system.yaml").write_text(OWN_FILES.replace("bars}", "bars, volumeClaim: files}"))
    assert main(["validate", "system.yaml"]) == 0
    assert main(["plan", "--offline", "system.yaml"]) == 0
    assert "volumeClaim" not in capsys.readouterr().out


def test_plan_says_that_a_cluster_needs_a_volume_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("system.yaml").write_text(OWN_FILES)
    assert main(["plan", "--offline", "system.yaml"]) == 0
    assert "spec.data.csv.volumeClaim: a cluster needs it" in capsys.readouterr().out


async def test_a_halts_reason_steers_no_terminal(typed: Typed) -> None:
    reason = "\x1b[2Jall is well\u202e"
    code, out, err = await typed("halt", "--reason", reason)
    reported = out + err
    assert code == 0
    assert "\x1b" not in reported
    assert "\u202e" not in reported
    _, out, _ = await typed("status", "-o", "json")
    assert all(one.isprintable() or one == "\n" for one in out)


@pytest.mark.parametrize("options", [["-n", "trading"], ["--context", "there"]])
async def test_a_namespace_or_context_without_a_system_is_no_silent_local_answer(
    options: list[str], typed: Typed
) -> None:
    code, _, err = await typed("status", *options)
    assert code == 1
    assert "is for a system in a cluster: name it with --system" in err


def test_a_flag_takes_no_value_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--help"]) == 0
    reported = capsys.readouterr().out
    assert "--follow" in reported
    assert "<bool>" not in reported


@pytest.mark.parametrize("command", ["deposit", "withdraw"])
def test_a_negative_amount_is_refused_as_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "-4", "--url", "http://127.0.0.1:1", "--token", "x"]) == 2
    assert "'-4' is no amount of money" in capsys.readouterr().err
