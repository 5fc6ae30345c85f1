"""`bellwether dashboard`: a live screen of one system in the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Thread
from typing import Any, ClassVar, TypeVar

import psutil
from rich.console import Group, RenderableType
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from bellwether.cli import show, show_traces
from bellwether.cli.client import Client, CommandError
from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar, CalendarError
from bellwether.runtime.terminal import all_visible
from bellwether.spec.market import Market

DECISIONS = 12
T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """One look at a system; None where the gateway did not answer, and `problems` says why."""

    status: dict[str, Any] | None = None
    system: dict[str, Any] | None = None
    alerts: list[dict[str, Any]] | None = None
    decisions: list[dict[str, Any]] | None = None
    calendar: Calendar | None = None
    problems: tuple[str, ...] = ()


def gather(client: Client) -> View:
    """Ask the gateway everything that is shown."""
    problems: dict[str, None] = {}

    def ask(path: str, **query: Any) -> dict[str, Any]:
        try:
            found: dict[str, Any] = all_visible(client.get(path, **query))
        except CommandError as error:
            problems[str(error)] = None
            return {}
        return found

    status = ask("/v1/status")
    if not status:
        return View(problems=tuple(problems))
    return View(
        status,
        ask("/v1/system") or None,
        ask("/v1/alerts").get("alerts"),
        ask("/v1/decisions", limit=DECISIONS).get("decisions"),
        _calendar(status.get("market")),
        tuple(problems),
    )


def _calendar(market: dict[str, Any] | None) -> Calendar | None:
    """Return the declared calendar; None of a gateway of an earlier release, which does not say it."""
    try:
        return None if not market else calendar_of(Market.model_validate(market))
    except (CalendarError, ValueError):
        return None


def trace_of(client: Client, decision: str) -> RenderableType:
    """Ask the gateway for the trace of a decision."""
    try:
        found = client.get(f"/v1/decisions/{decision}")
        return show_traces.trace(client.get(f"/v1/traces/{found['prediction']['trace_id']}"))
    except CommandError as error:
        return Text(str(error), style="red")


def countdown(calendar: Calendar | None, now: datetime) -> str:
    """Return in words how far the next open or close is."""
    if calendar is None:
        return "the calendar is not known"
    try:
        session = calendar.session_at(now)
        if session is not None:
            return f"session {session.day} is open, closes in {span(session.close - now)}"
        following = calendar.next_session(now)
    except CalendarError as error:
        return str(error)
    return f"closed, session {following.day} opens in {span(following.open - now)}"


def span(time: timedelta) -> str:
    """Return a time in days, hours and minutes, rounded down."""
    minutes = int(time.total_seconds()) // 60
    days, hours, left = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{days} d"] if days else []
    parts += [f"{hours} h"] if hours else []
    return " ".join([*parts, f"{left} min"])


def head(view: View) -> RenderableType:
    """Return the state of the whole system: ready, session, safe to trade with reasons, halts, account."""
    if view.status is None:
        return Group(*(Text(line, style="bold red") for line in view.problems))
    found = view.status
    now = datetime.fromisoformat(found["now"])
    lines: list[Text] = [
        Text.assemble(
            (found["system"], "bold"),
            "  ",
            ("ready", "green") if found["ready"] else ("not ready", "red"),
            f"  {found['mode']} · trading {found['trading']} · {now:%Y-%m-%d %H:%M} UTC",
        ),
        Text(countdown(view.calendar, now)),
        *show.safety(found.get("safety")),
        *(Text(f"HALTED: {line}", style="bold red") for line in found["halts"]),
    ]
    account = found["account"]
    if account:
        equity, cash = show.money(account["equity"]), show.money(account["cash"])
        lines.append(
            Text(f"equity {equity} {account['currency']}, cash {cash}, {account['orders_filled']} orders filled")
        )
    problems = [*found["problems"], *view.problems]
    return Group(*lines, *(Text(f"unknown: {line}", style="yellow") for line in problems))


def services(view: View) -> RenderableType:
    """Return each service with its health and the figures of its process."""
    if view.system is None:
        return Text("the services did not say how they are", style="yellow")
    return show.system(view.system)


def alarms(view: View) -> RenderableType:
    """Return what is wrong now."""
    if view.alerts is None:
        return Text("not known", style="yellow")
    return show.alerts(view.alerts)


async def from_thread(function: Callable[[], T]) -> T:
    """Return what a function returns, from a thread that does not keep the process from its end."""
    found: Future[T] = Future()
    found.set_running_or_notify_cancel()

    def fill() -> None:
        try:
            found.set_result(function())
        except Exception as error:
            found.set_exception(error)

    Thread(target=fill, daemon=True).start()
    return await asyncio.wrap_future(found)


SECONDS = 10.0
_COLUMNS = ("when (UTC)", "symbol", "action", "p", "base", "for", "trades", "id")


class TraceScreen(ModalScreen[None]):
    """The trace of one decision."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,t", "dismiss", "Back")]

    def __init__(self, drawn: Any) -> None:
        super().__init__()
        self._drawn = drawn

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield VerticalScroll(Static(self._drawn), id="trace")
        yield Footer()


class HaltScreen(ModalScreen[str | None]):
    """Asks why, before every order is stopped."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Do not halt")]

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with Vertical(id="halt"):
            yield Static("Stop every order until somebody resumes. Why? (Enter halts, Escape does not)")
            yield Input(placeholder="the reason, for whoever reads it later")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Halt with the reason; without one ask on."""
        if event.value.strip():
            self.dismiss(event.value.strip())


class Dashboard(App[None]):
    """The screen: state, newest decisions, alarms, services; looks again every 10 s. Each part scrolls by itself."""

    CSS = """
    #state, #decisions { height: auto; max-height: 40%; }
    #rest { height: 1fr; }
    #head, #services, #alarms { height: auto; padding: 0 1; margin-bottom: 1; }
    #halt, #trace { background: $surface; border: round $primary; padding: 1 2; }
    #halt { height: auto; margin: 6 8; }
    #trace { margin: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "halt", "Halt"),
        Binding("t,enter", "trace", "Trace", priority=False),
        Binding("r", "look", "Look now"),
        Binding("tab", "app.focus_next", "Scroll the next part", priority=True),
        Binding("q,ctrl+c", "quit", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: Client, seconds: float = SECONDS) -> None:
        super().__init__()
        self._client = client
        self._seconds = seconds
        self._shown: list[dict[str, Any]] = []
        self._wanted = self._looking = False
        self.not_halted = ""
        """Why the newest halt that was asked for here is not in force; empty where it is."""

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield VerticalScroll(Static("asking the gateway ...", id="head"), id="state")
        yield DataTable(id="decisions", cursor_type="row", zebra_stripes=True)
        yield VerticalScroll(Static(id="alarms"), Static(id="services"), id="rest")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#decisions", DataTable).add_columns(*_COLUMNS)
        self.query_one("#decisions").focus()
        self.action_look()
        self.set_interval(self._seconds, self.action_look)

    def action_look(self) -> None:
        """Ask the gateway, beside what the screen does; once more where it is being asked."""
        self._wanted = True
        if not self._looking:
            self._looking = True
            self._look()

    @work
    async def _look(self) -> None:
        while self._wanted:
            self._wanted = False
            self._show(await from_thread(lambda: gather(self._client)))
        self._looking = False

    def _show(self, view: View) -> None:
        self.query_one("#head", Static).update(head(view))
        self.query_one("#services", Static).update(services(view))
        self.query_one("#alarms", Static).update(alarms(view))
        if view.decisions is None or view.decisions == self._shown:
            return
        table = self.query_one("#decisions", DataTable)
        table.clear()
        self._shown = view.decisions
        for one in view.decisions:
            table.add_row(
                show.short_time(one["timestamp"]),
                one["symbol"],
                one["action"],
                f"{one['probability']:.3f}",
                f"{one['base_rate']:.3f}",
                str(one["target_session"]),
                "yes" if one["may_trade"] else "no",
                one["prediction_id"],
                key=one["prediction_id"],
            )

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Enter on a decision shows its trace."""
        self.action_trace()

    def action_trace(self) -> None:
        """Show the trace of the decision under the cursor."""
        row = self.query_one("#decisions", DataTable).cursor_row
        if 0 <= row < len(self._shown):
            self._fetch_trace(self._shown[row]["prediction_id"])

    @work(exclusive=True, group="trace")
    async def _fetch_trace(self, decision: str) -> None:
        self.push_screen(TraceScreen(await from_thread(lambda: trace_of(self._client, decision))))

    def action_halt(self) -> None:
        """Ask why, then halt."""
        self.push_screen(HaltScreen(), self._halt)

    def _halt(self, reason: str | None) -> None:
        if reason is not None:
            self._send_halt(reason)

    @work(thread=True, group="halt")
    def _send_halt(self, reason: str) -> None:
        try:
            self._client.send("POST", "/v1/halt", {"reason": reason, "source": "dashboard"})
        except CommandError as error:
            self.not_halted = str(error)
            self.call_from_thread(self.notify, str(error), title="Not halted", severity="error", timeout=20)
            return
        self.not_halted = ""
        self.call_from_thread(self.notify, "orders are stopped; `bellwether resume` allows them again", title="Halted")
        self.call_from_thread(self.action_look)


def show_dashboard(client: Client) -> None:
    """Show the screen until somebody quits it; a halt that is being sent is waited for, a look is not.

    Raises:
        CommandError: if the newest halt that was asked for is not in force.
    """
    screen = Dashboard(client)
    screen.run()
    for child in psutil.Process().children():  # the kubectl of a look
        child.terminate()
    if screen.not_halted:
        raise CommandError(f"not halted: {screen.not_halted}")
