"""What the terminal dashboard shows: gathered from the gateway, and put in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bellwether.cli import show
from bellwether.cli.client import Client, CommandError
from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar, CalendarError
from bellwether.runtime.terminal import all_visible
from bellwether.spec.market import Market

DECISIONS = 12


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
    """Return what is wrong at this moment."""
    if view.alerts is None:
        return Text("not known", style="yellow")
    return show.alerts(view.alerts)
