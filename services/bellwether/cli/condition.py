"""Commands that show how a system is: its services, health, alarms, and the live screen."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from bellwether.cli.client import CONNECT_SECONDS, CommandError, make_client
from bellwether.cli.manage import commands as manage
from bellwether.cli.manage.places import On
from bellwether.cli.options import LOOK, GatewayAccess, part, say, shown, talks

Services = manage.Services
Place = Annotated[On | None, typer.Option("--on", help="The processes of this place, whether or not they answer.")]
Gateway = Annotated[On | None, typer.Option("--on", help="Where it runs; a cluster needs --system, too.")]


def add_condition(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, health, dashboard, alerts):
        app.command(rich_help_panel=LOOK)(command)


@talks
def status(access: GatewayAccess, service: Services = None, on: Place = None) -> None:
    """Show services, replay, account and what halts.

    With --on: the processes, as systemd, compose, the cluster or the local run has them, also when nothing answers;
    ends with 3 when one of them does not run.
    """
    if on is not None:
        from bellwether.cli.manage.finding import find

        manage.show_parts(find(on, access.target, say), service or [], access.output)
        return
    found = access.client.get("/v1/status")
    if service:
        found["services"] = _only([(one["name"], one) for one in found["services"]], service)
    access.show(found, part("services", "services") if service else shown("status"))


@talks
def health(access: GatewayAccess, service: Services = None, on: Gateway = None) -> None:
    """Show the health of every service, and CPU, memory and disk."""
    found = _at(access, on).client.get("/v1/system")
    if service:
        rows = [(name, (name, one)) for name, one in found["services"].items()]
        found["services"] = dict(_only(rows, service))
    access.show(found, shown("system"))


def _at(access: GatewayAccess, on: On | None) -> GatewayAccess:
    """Return the session with the gateway of a place."""
    from bellwether.cli.manage.finding import find

    gateway = None if on is None else find(on, access.target, say).gateway()
    if gateway is None:
        return access
    url, token = access.target.url or gateway[0], access.target.token or gateway[1]
    return replace(access, target=replace(access.target, url=url, token=token))


def _only(rows: list[tuple[str, Any]], names: list[str]) -> list[Any]:
    """Return the rows of some services."""
    known = [name for name, _ in rows]
    for name in names:
        if name not in known:
            raise CommandError(f"--service {name!r}: no such service; there are {', '.join(known)}")
    return [row for name, row in rows if name in names]


@talks
def dashboard(access: GatewayAccess, on: Gateway = None) -> None:
    """Show a live screen: services, session, safe to trade, decisions, alarms; looks again every 10 s.

    Keys: h halts (it asks why), t shows the trace of a decision, r looks now, q quits.
    """
    access = _at(access, on)
    if not sys.stdout.isatty():
        raise CommandError("dashboard needs a terminal; `bellwether status -o json` is for programs")
    make_client(access.target, seconds=CONNECT_SECONDS).get("/v1/status")  # no screen where nothing answers
    from bellwether.cli.manage.dashboard import show_dashboard

    show_dashboard(access.client)


@talks
def alerts(access: GatewayAccess) -> None:
    """List what is wrong now; ends with 1 when something is critical."""
    found = access.client.get("/v1/alerts")
    access.show(found, part("alerts", "alerts"))
    if any(one["severity"] == "critical" for one in found["alerts"]):
        raise SystemExit(1)
