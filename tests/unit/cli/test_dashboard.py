"""The terminal dashboard, driven by keys, on a gateway that answers or does not."""

from __future__ import annotations

import asyncio
import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from rich.console import Console
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Static

from bellwether.cli.client import CommandError, HttpClient
from bellwether.cli.manage import dashboard as looks
from bellwether.cli.manage.dashboard import Dashboard, HaltScreen, TraceScreen, show_dashboard
from bellwether.market.sessions import load_calendar
from bellwether.topology import SERVICES
from unit.gateway.conftest import TOKEN, Opened
from unit.gateway.test_traces import span

DECISION = {
    "timestamp": "2026-11-26T23:45:00Z",
    "symbol": "CBA.AX",
    "action": "BUY",
    "probability": 0.57,
    "base_rate": 0.54,
    "current_price": 171.2,
    "target_session": "2026-11-27",
    "may_trade": True,
    "prediction_id": "p-CBA",
}
LONG_ALERT = {
    "severity": "critical",
    "since": "2026-11-26T22:00:00Z",
    "service": "paper-trading",
    "message": "positions differ from the broker's: " + "CBA.AX 10 here and 12 there, " * 5,
}
ANSWERS: dict[str, Any] = {
    "/v1/status": {
        "system": "demo",
        "ready": True,
        "mode": "live",
        "trading": "simulated",
        "now": "2026-11-26T22:15:00Z",
        "safety": {"safe": False, "refusals": [{"code": "DATA_STALE", "message": "bars are old", "symbol": None}]},
        "halts": ["cli: lunch"],
        "account": None,
        "market": {"calendar": "XASX"},
        "problems": [],
    },
    "/v1/system": {
        "system": {"scope": "host", "cpu_percent": 3.0, "memory_percent": 40.0, "disk_usage": 9.0},
        "services": {
            "prediction": {
                "status": "degraded",
                "healthy": True,
                "process": "box/42",
                "uptime": 12.0,
                "memory_usage": 150.0,
                "memory_percent": None,
                "cpu_usage": 1.0,
                "last_error": "21 % errors",
            }
        },
        "processes": [{"process": "box/42"}],
        "memory_usage": 150.0,
    },
    "/v1/alerts": {
        "alerts": [
            {"severity": "critical", "since": "2026-11-26T22:00:00Z", "service": "ml-model", "message": "unreachable"}
        ]
    },
    "/v1/decisions": {"decisions": [DECISION]},
    "/v1/decisions/p-CBA": {"prediction": {"trace_id": "ab" * 16}},
}


class Gateway:
    """Answers from a table, and writes down what it was asked to change."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.sent: list[tuple[str, Any]] = []

    def get(self, path: str, **_: Any) -> Any:
        if path.startswith("/v1/traces/"):
            return {"trace_id": "ab" * 16, "spans": [{**msgspec.to_builtins(span(1)), "duration_ms": 5.0}]}
        if path not in self.answers:
            raise CommandError(f"no gateway answers at {path}")
        return self.answers[path]

    def send(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        self.sent.append((f"{method} {path}", body))
        return {}


class Stalled(Gateway):
    """Answers no look before it is let go."""

    def __init__(self) -> None:
        super().__init__(ANSWERS)
        self.let_go = threading.Event()
        self.asked = threading.Event()
        self.times = 0
        self.answered = threading.Event()

    def get(self, path: str, **query: Any) -> Any:
        self.times += path == "/v1/status"
        self.asked.set()
        self.let_go.wait(60)
        self.answered.set()
        return super().get(path, **query)


def words(drawn: Any, width: int = 160) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(drawn)
    return console.export_text()


def test_everything_that_is_asked_for_is_on_the_screen() -> None:
    view = looks.gather(Gateway(ANSWERS))
    head = words(looks.head(view))
    assert "demo  ready  live · trading simulated" in head
    assert "closed, session 2026-11-27 opens in 45 min" in head
    assert "not safe to trade: bars are old" in head
    assert "HALTED: cli: lunch" in head
    reported = words(looks.services(view))
    assert all(one in reported for one in ("prediction", "degraded", "150", "21 % errors", "box/42"))
    assert "unreachable" in words(looks.alarms(view))


async def test_a_gateway_answers_all_that_is_asked_for(gateway: Opened) -> None:
    client = HttpClient(str(gateway.http.base_url), TOKEN)
    view = await asyncio.to_thread(looks.gather, client)
    assert view.problems == ()
    assert view.calendar is not None
    assert view.calendar.name == "XNYS"


def test_on_a_narrow_terminal_only_sentences_wrap() -> None:
    view = looks.gather(Gateway(ANSWERS | {"/v1/alerts": {"alerts": [LONG_ALERT]}}))
    reported = words(looks.alarms(view), width=80).splitlines()
    assert reported[1].split()[:4] == ["critical", "2026-11-26", "22:00", "paper-trading"]
    assert len(reported) > 2


def test_what_does_not_answer_is_named() -> None:
    view = looks.gather(Gateway({"/v1/status": ANSWERS["/v1/status"]}))
    assert "unknown: no gateway answers at /v1/system" in words(looks.head(view))
    assert words(looks.services(view)).strip() == "the services did not say how they are"
    assert words(looks.alarms(view)).strip() == "not known"
    without_alarms = looks.gather(Gateway({path: ANSWERS[path] for path in ("/v1/status", "/v1/system")}))
    assert words(looks.alarms(without_alarms)).strip() == "not known"
    assert "no gateway answers at /v1/status" in words(looks.head(looks.gather(Gateway({}))))


@pytest.mark.parametrize(
    ("now", "reported"),
    [
        (datetime(2026, 11, 27, 1, 0, tzinfo=UTC), "session 2026-11-27 is open, closes in 4 h 0 min"),
        (datetime(2026, 11, 27, 6, 0, tzinfo=UTC), "closed, session 2026-11-30 opens in 2 d 17 h 0 min"),
        (datetime(1900, 1, 1, tzinfo=UTC), "XASX"),
    ],
)
def test_the_countdown_knows_the_session(now: datetime, reported: str) -> None:
    assert reported in looks.countdown(load_calendar("XASX"), now)
    assert looks.span(timedelta(hours=26, minutes=3, seconds=59)) == "1 d 2 h 3 min"


def test_a_small_terminal_shows_the_whole_question_before_a_halt() -> None:
    async def asked() -> None:
        app = Dashboard(Gateway(ANSWERS), seconds=3600)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("h")
            await pilot.pause()
            box = app.screen.query_one("#halt")
            assert all(box.region.contains_region(one.region) for one in box.children)

    asyncio.run(asked())


def test_a_small_terminal_shows_the_newest_decisions_and_tab_reaches_the_rest() -> None:
    refusals = [{"code": "DATA_STALE", "message": f"bars {number} are old", "symbol": None} for number in range(20)]
    status = ANSWERS["/v1/status"] | {"safety": {"safe": False, "refusals": refusals}}
    one = ANSWERS["/v1/system"]["services"]["prediction"]
    system = ANSWERS["/v1/system"] | {"services": dict.fromkeys(SERVICES, one)}
    decisions = [DECISION | {"prediction_id": f"p-{number}"} for number in range(looks.DECISIONS)]
    answers = {"/v1/status": status, "/v1/system": system, "/v1/decisions": {"decisions": decisions}}

    async def seen() -> None:
        app = Dashboard(Gateway(ANSWERS | answers), seconds=3600)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            table = app.query_one("#decisions", DataTable)
            assert table.row_count == looks.DECISIONS
            assert app.screen.region.contains_region(table.region)
            assert table.region.height >= 6
            scrolled = []
            for _ in range(2):
                await pilot.press("tab")
                part = app.focused
                assert isinstance(part, VerticalScroll)
                assert app.screen.region.contains_region(part.region)
                await pilot.press("end")
                await pilot.wait_for_scheduled_animations()
                assert part.scroll_y == part.max_scroll_y > 0
                scrolled.append(part.id)
            assert scrolled == ["rest", "state"]

    asyncio.run(seen())


def test_keys_show_a_trace_halt_with_a_reason_and_quit() -> None:
    gateway = Gateway(ANSWERS)

    async def typed() -> None:
        app = Dashboard(gateway, seconds=3600)
        async with app.run_test(size=(140, 50)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            table = app.query_one("#decisions", DataTable)
            assert table.row_count == 1
            assert "demo" in words(app.query_one("#head", Static).content)
            await pilot.press("t")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert isinstance(app.screen, TraceScreen)
            await pilot.press("escape")
            await pilot.press("h")
            await pilot.pause()
            assert isinstance(app.screen, HaltScreen)
            await pilot.press("enter")
            assert gateway.sent == []
            await pilot.press(*"news", "enter")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert gateway.sent == [("POST /v1/halt", {"reason": "news", "source": "dashboard"})]
            await pilot.press("q")

    asyncio.run(typed())


def test_it_ends_at_once_though_the_gateway_does_not_answer() -> None:
    gateway = Stalled()

    async def typed() -> None:
        async with Dashboard(gateway, seconds=3600).run_test() as pilot:
            assert await asyncio.to_thread(gateway.asked.wait, 60)
            await pilot.press("q")

    asyncio.run(typed())
    assert not gateway.answered.is_set()
    gateway.let_go.set()


def test_a_slow_gateway_is_asked_one_look_at_a_time_and_once_more_for_those_between() -> None:
    gateway = Stalled()

    async def typed() -> None:
        app = Dashboard(gateway, seconds=3600)
        async with app.run_test() as pilot:
            await pilot.press("r", "r", "r")
            assert gateway.times == 1
            gateway.let_go.set()
            await app.workers.wait_for_complete()
            assert gateway.times == 2
            await pilot.press("q")

    asyncio.run(typed())


class Refusing(Gateway):
    """Takes no halt."""

    def send(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        raise CommandError("no gateway answers")


def test_a_halt_that_failed_is_reported_to_whoever_quit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def typed(app: Dashboard) -> None:
        async with app.run_test() as pilot:
            await pilot.press("h", *"news", "enter", "q")

    monkeypatch.setattr(Dashboard, "run", lambda app: asyncio.run(typed(app)))
    with pytest.raises(CommandError, match="not halted: no gateway answers"):
        show_dashboard(Refusing(ANSWERS))
