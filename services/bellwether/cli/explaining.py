"""Commands that explain: a prediction, why there is an order or none, a session's report, a trace."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from bellwether.cli.client import CommandError
from bellwether.cli.options import LOOK, Count, GatewayAccess, Symbol, part, shown, talks

MaybeDay = Annotated[
    str | None, typer.Option("--session", metavar="DAY", help="The session, as 2026-11-27; else the newest.")
]
_EQUAL = {True: "composed again: equal", False: "composed again: different"}
_TRACE_ID = re.compile(r"^[0-9a-f]{8,32}$")


def add_explaining(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (predict, why, report, trace):
        app.command(rich_help_panel=LOOK)(command)


@talks
def predict(access: GatewayAccess, symbol: Symbol) -> None:
    """Predict one share now, for looking at: it never leads to an order."""
    access.show(access.client.send("POST", f"/v1/predict/{symbol}", force_refresh=True), shown("prediction"))


@talks
def why(access: GatewayAccess, symbol: Symbol, day: MaybeDay = None) -> None:
    """Show why there is an order for a share, or where its way there stopped.

    Without --session it is about the newest decision.
    """
    access.show(access.client.get(f"/v1/why/{symbol}", session=day), shown("funnel"))


@talks
def report(
    access: GatewayAccess,
    day: MaybeDay = None,
    all_: Annotated[bool, typer.Option("--list", help="List the reports instead.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compose it again from its rows and compare.")] = False,
    lines: Count = 20,
) -> None:
    """Show the report of a session: what was due, predicted, refused and filled, and why.

    evening_analysis writes one for each session. With --verify it ends with 1
    when composing it again gives other bytes.
    """
    if all_:
        access.show(access.client.get("/v1/reports", limit=lines), _listed)
        return
    found = access.client.get(f"/v1/reports/{day or 'latest'}", verify=verify or None)
    access.show(found, _report_text)
    if found["equal"] is False:
        raise SystemExit(1)


def _report_text(found: dict[str, Any]) -> Any:
    import msgspec
    from rich.text import Text

    from bellwether.messages.reporting import StoredReport
    from bellwether.reporting.session_text import session_lines

    stored = msgspec.convert(found, StoredReport)
    verified = [] if stored.equal is None else ["", _EQUAL[stored.equal]]
    return Text("\n".join([*session_lines(stored.report), *verified]))


def _listed(found: dict[str, Any]) -> Any:
    from rich.text import Text

    if not found["reports"]:
        return Text("there is no report yet: evening_analysis makes it", style="dim")
    return Text("\n".join(f"{one['session']}  {one['summary']}" for one in found["reports"]))


@talks
def trace(
    access: GatewayAccess,
    trace_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A trace (8 or more digits of it), or a decision's id.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest trace with an order, else the newest.")] = False,
    all_: Annotated[bool, typer.Option("--list", help="List traces instead.")] = False,
    lines: Count = 20,
) -> None:
    """Show the trace of a decision as a tree, from bars to fill."""
    if all_:
        access.show(access.client.get("/v1/traces", limit=lines), part("traces", "traces", "show_traces"))
        return
    if trace_id is not None and last:
        raise typer.BadParameter("give an ID or --last, not both")
    wanted = _last_trace(access) if trace_id is None else _trace_of(access, trace_id)
    access.show(access.client.get(f"/v1/traces/{wanted}"), shown("trace", "show_traces"))


def _last_trace(access: GatewayAccess) -> str:
    for has_order in (True, None):
        found = access.client.get("/v1/traces", limit=1, has_order=has_order)["traces"]
        if found:
            return str(found[0]["trace_id"])
    raise CommandError("no trace has arrived yet")


def _trace_of(access: GatewayAccess, given: str) -> str:
    if _TRACE_ID.match(given):
        return given
    return str(access.client.get(f"/v1/decisions/{given}")["prediction"]["trace_id"])
