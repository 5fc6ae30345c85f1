"""Commands for people: what they say and what they answer."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any

import typer

from bellwether.cli import (
    backups,
    bridging,
    capsule,
    hindsight,
    ig,
    letters,
    lookahead,
    migrating,
    models,
    process_help,
    rendering,
    serving,
    side_by_side,
    training,
)
from bellwether.cli.client import CommandError
from bellwether.cli.manage import commands as manage
from bellwether.cli.manage.places import On
from bellwether.cli.options import Format, Output, Session, print_drawn, talks, write_json
from bellwether.cli.trading import add_trading
from bellwether.runtime.terminal import visible

_LOOK = "Look"
_CHANGE = "Change"
WOULD_CHANGE = 3
"""The exit code of `plan --exit-code` for a plan that is not empty; 2 is what a wrongly typed command ends with."""
_TRACE_ID = re.compile(r"^[0-9a-f]{8,32}$")

app = typer.Typer(
    name="bellwether",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""A stock-trading system as one declared resource.

Begin on this machine, without Kubernetes:

    bellwether validate manifests/samples/replay.yaml
    bellwether run manifests/samples/replay.yaml

While it runs, ask from a second terminal:

    bellwether status
    bellwether decisions AAPL
    bellwether why AAPL
    bellwether trace --last

A system in a cluster answers the same commands with --system NAME.
""",
)


def _tell_version(asked: bool) -> None:
    if asked:
        try:
            told = installed("bellwether")
        except PackageNotFoundError:
            told = "(from its sources, not installed)"
        sys.stdout.write(f"bellwether {told}\n")
        raise typer.Exit


@app.callback()
def beginning(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which release this is.")
    ] = False,
) -> None:
    """Read the options that stand before a command."""


process_help.add_beginnings(app)
app.add_typer(rendering.app, name="render", rich_help_panel="Begin")
app.add_typer(migrating.app, name="migrate", rich_help_panel="Begin")
app.command(rich_help_panel="Begin")(side_by_side.compare)
app.command(rich_help_panel="Judge")(lookahead.lookahead)
app.command(rich_help_panel="Judge")(capsule.capsule)
app.command(rich_help_panel="Judge")(hindsight.hindsight)
app.add_typer(bridging.app, name="bridge", rich_help_panel="Keep")
app.command(rich_help_panel="Models")(training.train)
app.command(rich_help_panel="Models")(serving.serving)
app.add_typer(models.app, name="models", rich_help_panel="Models")
app.add_typer(backups.app, name="backup", rich_help_panel="Keep")
app.command(rich_help_panel="Keep")(backups.restore)
app.command(rich_help_panel="Keep")(backups.profile)
app.add_typer(ig.app, name="ig", rich_help_panel="Begin")

Services = manage.Services
Place = Annotated[On | None, typer.Option("--on", help="The processes of this place, whether or not they answer.")]
Gateway = Annotated[On | None, typer.Option("--on", help="Where it runs; a cluster needs --system, too.")]
Count = Annotated[int, typer.Option("-l", "--lines", min=1, max=500, help="How many at most.")]
Symbol = Annotated[str, typer.Argument(help="The share, as declared: AAPL, CBA.AX.")]
MaybeSymbol = Annotated[str | None, typer.Argument(help="Only this share.")]
Seen = Annotated[
    int | None, typer.Option("--seen", min=0, help="Number of the newest halt you know of, from `bellwether status`.")
]
Why = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]


def _shown(name: str) -> Any:
    # Drawing is loaded only when something is drawn.
    def draw(found: Any) -> Any:
        from bellwether.cli import show

        return getattr(show, name)(found)

    return draw


def _shown_news(name: str) -> Any:
    def draw(found: Any) -> Any:
        from bellwether.cli import show_news

        return getattr(show_news, name)(found)

    return draw


def _part(name: str, key: str) -> Any:
    return lambda found: _shown(name)(found[key])


@app.command(rich_help_panel="Begin")
def validate(
    file: Annotated[Path, typer.Argument(help="A TradingSystem as YAML or JSON.")], output: Format = Output.text
) -> None:
    """Say whether a file would be accepted, and if not, which field is wrong and what would be right."""
    from bellwether.cli.validating import check_file

    raise SystemExit(check_file(file, as_json=output is Output.json))


@app.command(rich_help_panel="Begin")
def plan(
    file: Annotated[Path, typer.Argument(help="A TradingSystem as YAML or JSON.")],
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Look at no cluster: everything is new.")] = False,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="OLDFILE", help="Look at no cluster: from this file to FILE.")
    ] = None,
    context: Annotated[str | None, typer.Option("--context", help="The cluster, of those in KUBECONFIG.")] = None,
    namespace: Annotated[
        str | None, typer.Option("-n", "--namespace", help="The namespace; else the file's, else the context's.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="INSTANT", help="As if it were 2026-11-23T01:30:00Z.")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="REPOSITORY:TAG", help="The services' image; else the installed one."),
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 3 when something would change.")] = False,
    replay: Annotated[
        int | None,
        typer.Option("--replay", metavar="N", min=1, max=5000, help="Also which orders of the last N sessions change."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="With --replay: the folder of a run with stored bars.")
    ] = None,
    output: Format = Output.text,
) -> None:
    """Say what applying a file would do, and when, without doing it.

    It reads what is stored and what is there (kubectl, never Secrets), and
    renders both with the operator's own builders: which fields change, which
    objects and pods for it, and when: at once or at the session's close.
    Live fields (symbols, limits, halts, tasks) restart no pod.

    [green]+[/] made  [yellow]~[/] changed  [yellow]±[/] deleted and made again  [red]-[/] deleted

        bellwether plan system.yaml
        bellwether plan system.yaml --at 2026-11-23T01:30:00Z
        bellwether plan new.yaml --from old.yaml
        bellwether plan new.yaml --from old.yaml --replay 60

    With --replay the newest sessions (up to the day of --at) are replayed under
    both declarations over the same stored versions of bars, and each order that
    differs has its reason.

    Ends with 0; with 1 when the file would be refused, or nothing can be known;
    with 2 when it is wrongly typed;
    with --exit-code, 3 when something would change.
    """
    from bellwether.cli.planning import Asked, as_json, instant, make_plan, tell_refusals

    moment = None if at is None else instant(at)
    asked = Asked(file, offline, from_file, context, namespace, moment, image)
    if replay is not None:
        from bellwether.cli.replanning import tell_orders

        tell_orders(asked, replay, data, as_json=output is Output.json)
        return
    if data is not None:
        raise CommandError("--data is for --replay")
    found = make_plan(asked)
    if output is Output.json:
        write_json(as_json(found))
    elif found.refusals:
        tell_refusals(file, found)
    else:
        from bellwether.cli.plan_text import draw

        print_drawn(draw(found))
    if found.refusals:
        raise SystemExit(1)
    raise SystemExit(WOULD_CHANGE if exit_code and not found.empty else 0)


@app.command(rich_help_panel="Begin")
def bars(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of daily bars, SYMBOL.csv.")],
    *,
    calendar: Annotated[
        str | None, typer.Option("--calendar", help="An exchange (XASX): also say which sessions are missing.")
    ] = None,
    prices: Annotated[
        str | None, typer.Option("--prices", help="raw, splitAdjusted or adjusted: as data.csv.prices.")
    ] = None,
    dates: Annotated[str | None, typer.Option("--dates", help="dayFirst or monthFirst: as data.csv.dates.")] = None,
    max_odd_rows: Annotated[str, typer.Option("--max-odd-rows", help="A share, 0-1: as data.csv.maxOddRows.")] = "0.05",
    output: Format = Output.text,
) -> None:
    """Say what would be read from files of daily bars, before any system is made.

    For each file its form, its sessions, splits and dividends, and the rows that
    are left out or flagged, by line; with --calendar also what does not fit it.

        bellwether bars CBA.AX.csv BHP.AX.csv --calendar XASX

    Ends with 1 when a file would be refused.
    """
    from bellwether.cli.bars_files import Asked, as_json, as_lines, look

    found = look(files, Asked(calendar, prices, dates, max_odd_rows))
    if output is Output.json:
        write_json([as_json(one) for one in found])
    else:
        sys.stdout.write("".join(f"{line}\n" for one in found for line in as_lines(one)))
    raise SystemExit(1 if any(one.refusal for one in found) else 0)


@app.command(rich_help_panel=_LOOK)
@talks
def status(session: Session, service: Services = None, on: Place = None) -> None:
    """Show services, replay, account and what halts.

    With --on: the processes, as systemd, compose, the cluster or the local run has them, also when nothing answers;
    ends with 3 when one of them does not run.
    """
    if on is not None:
        from bellwether.cli.manage.finding import find

        manage.show_parts(find(on, session.target, manage.say), service or [], session.output)
        return
    found = session.client.get("/v1/status")
    if service:
        found["services"] = _only([(one["name"], one) for one in found["services"]], service)
    session.show(found, _part("services", "services") if service else _shown("status"))


@app.command(rich_help_panel=_LOOK)
@talks
def health(session: Session, service: Services = None, on: Gateway = None) -> None:
    """Show the health of every service, and CPU, memory and disk."""
    _check_place(session, on)
    found = session.client.get("/v1/system")
    if service:
        rows = [(name, (name, one)) for name, one in found["services"].items()]
        found["services"] = dict(_only(rows, service))
    session.show(found, _shown("system"))


def _check_place(session: Session, on: On | None) -> None:
    """Refuse a place that does not fit to what else was said: a gateway is found without it."""
    if on is On.cluster and session.target.system is None:
        raise CommandError("--on cluster needs the system's name: --system NAME or --system NAMESPACE/NAME")
    if on not in (None, On.cluster) and session.target.system is not None:
        raise CommandError(f"--system is for a cluster; with --on {on} leave it out")


def _only(rows: list[tuple[str, Any]], names: list[str]) -> list[Any]:
    """Return the rows of some services."""
    known = [name for name, _ in rows]
    for name in names:
        if name not in known:
            raise CommandError(f"--service {name!r}: no such service; there are {', '.join(known)}")
    return [row for name, row in rows if name in names]


@app.command(rich_help_panel=_LOOK)
@talks
def dashboard(session: Session, on: Gateway = None) -> None:
    """Show a live screen: services, session, safe to trade, decisions, alarms; looks again every 10 s.

    Keys: h halts (it asks why), t shows the trace of a decision, r looks now, q quits.
    """
    _check_place(session, on)
    if not sys.stdout.isatty():
        raise CommandError("dashboard needs a terminal; `bellwether status -o json` is for programs")
    from bellwether.cli.manage.dashboard import show_dashboard

    show_dashboard(session.client)


@app.command(rich_help_panel=_LOOK)
@talks
def alerts(session: Session) -> None:
    """List what is wrong at this moment; ends with 1 when something is critical."""
    found = session.client.get("/v1/alerts")
    session.show(found, _part("alerts", "alerts"))
    if any(one["severity"] == "critical" for one in found["alerts"]):
        raise SystemExit(1)


@app.command(rich_help_panel=_LOOK)
@talks
def notify(
    session: Session,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="With --test: only this notification.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Send a test message now; ends with 1 if one fails.")] = False,
    lines: Count = 20,
) -> None:
    """Show who is told of alarms and what was sent, or send a test message."""
    if not test:
        if name is not None:
            raise typer.BadParameter("a NAME is for --test")
        session.show(session.client.get("/v1/notifications", limit=lines), _shown("notifications"))
        return
    found = session.client.send("POST", "/v1/notifications/test", name=name)
    session.show(found, _part("test_messages", "results"))
    if not all(one["delivered"] for one in found["results"]):
        raise SystemExit(1)


@app.command(rich_help_panel=_LOOK)
@talks
def decisions(session: Session, symbol: MaybeSymbol = None, lines: Count = 20) -> None:
    """List decisions, newest first."""
    answer = session.client.get("/v1/decisions", symbol=symbol, limit=lines)
    session.show(answer, _part("decisions", "decisions"))


@app.command(rich_help_panel=_LOOK)
@talks
def decision(
    session: Session,
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="The decision, from `bellwether decisions`.")],
    replay: Annotated[bool, typer.Option("--replay", help="Compute it again and compare the bytes.")] = False,
) -> None:
    """Explain one decision: bars, features that moved it, model, news, guards, order, outcome.

    With --replay it ends with 1 when other bytes come out, and names what
    differs; with 3 when numbers differ by 1e-6 at most (another CPU or release).
    """
    if not replay:
        session.show(session.client.get(f"/v1/decisions/{decision_id}", explained=True), _shown_news("decision"))
        return
    found = session.client.send("POST", f"/v1/decisions/{decision_id}/replay")
    session.show(found, lambda answer: "\n".join([answer["outcome"], *answer["differences"]]))
    if found["outcome"] != "equal":
        raise SystemExit(1 if found["outcome"] == "different" else 3)


@app.command(rich_help_panel=_LOOK)
@talks
def news(session: Session, symbol: MaybeSymbol = None) -> None:
    """Show what the news says of each share; with SYMBOL also the headlines."""
    session.show(session.client.get("/v1/sentiment", symbol=symbol), _shown_news("news"))


@app.command(rich_help_panel=_LOOK)
@talks
def positions(session: Session) -> None:
    """Show what is held."""
    session.show(session.client.get("/v1/positions"), _part("positions", "positions"))


@app.command(rich_help_panel=_LOOK)
@talks
def orders(
    session: Session,
    symbol: MaybeSymbol = None,
    state: Annotated[
        str | None, typer.Option("--status", help="Only these: awaiting_approval, queued, filled, refused, ...")
    ] = None,
    lines: Count = 20,
) -> None:
    """List orders, newest first; below them the ids of those that `approve` or `cancel` can take."""
    answer = session.client.get("/v1/orders", symbol=symbol, status=state, limit=lines)
    session.show(answer, _part("orders", "orders"))


@app.command(rich_help_panel=_LOOK)
@talks
def predict(session: Session, symbol: Symbol) -> None:
    """Predict one share now, for looking at: it never leads to an order."""
    session.show(session.client.send("POST", f"/v1/predict/{symbol}", force_refresh=True), _shown("prediction"))


@app.command(rich_help_panel=_LOOK)
@talks
def why(session: Session, symbol: Symbol) -> None:
    """Show why there is an order for a share, or where its way there stopped."""
    session.show(session.client.get(f"/v1/why/{symbol}"), _shown("funnel"))


@app.command(rich_help_panel=_LOOK)
@talks
def report(
    session: Session,
    day: Annotated[
        str | None, typer.Option("--session", metavar="DAY", help="The session, as 2026-11-27; else the newest.")
    ] = None,
    all_: Annotated[bool, typer.Option("--list", help="List the reports instead.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compose it again from its rows and compare.")] = False,
    lines: Count = 20,
) -> None:
    """Show the report of a session: what was due, predicted, refused and filled, and why.

    evening_analysis writes one for each session. With --verify it ends with 1
    when composing it again gives other bytes.
    """
    from bellwether.cli.reports import listed, told

    if all_:
        session.show(session.client.get("/v1/reports", limit=lines), listed)
        return
    found = session.client.get(f"/v1/reports/{day or 'latest'}", verify=verify or None)
    session.show(found, told)
    if found["equal"] is False:
        raise SystemExit(1)


@app.command(rich_help_panel=_LOOK)
@talks
def trace(
    session: Session,
    trace_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A trace (8 or more digits of it), or a decision's id.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest trace with an order, else the newest.")] = False,
    all_: Annotated[bool, typer.Option("--list", help="List traces instead.")] = False,
    lines: Count = 20,
) -> None:
    """Show the trace of a decision as a tree, from bars to fill."""
    if all_:
        session.show(session.client.get("/v1/traces", limit=lines), _part("traces", "traces"))
        return
    if trace_id is not None and last:
        raise typer.BadParameter("give an ID or --last, not both")
    wanted = _last_trace(session) if trace_id is None else _trace_of(session, trace_id)
    session.show(session.client.get(f"/v1/traces/{wanted}"), _shown("trace"))


def _last_trace(session: Session) -> str:
    for has_order in (True, None):
        found = session.client.get("/v1/traces", limit=1, has_order=has_order)["traces"]
        if found:
            return str(found[0]["trace_id"])
    raise CommandError("no trace has arrived yet")


def _trace_of(session: Session, given: str) -> str:
    if _TRACE_ID.match(given):
        return given
    return str(session.client.get(f"/v1/decisions/{given}")["prediction"]["trace_id"])


@app.command(rich_help_panel=_CHANGE)
@talks
def halt(session: Session, reason: Why) -> None:
    """Stop every order until somebody resumes."""
    body = {"reason": reason, "source": "cli"}
    session.show(session.client.send("POST", "/v1/halt", body), _shown("halt_state"))


@app.command(rich_help_panel=_CHANGE)
@talks
def resume(session: Session, reason: Why, seen: Seen = None) -> None:
    """Allow orders again; a halt that the resource declares stays.

    It opens the halts that it finds when it begins, or those up to --seen;
    with a newer one nothing is resumed.
    """
    if seen is None:
        seen = int(session.client.get("/v1/account").get("newest_halt", 0))
    body = {"reason": reason, "source": "cli", "seen": seen}
    session.show(session.client.send("POST", "/v1/resume", body), _shown("halt_state"))


manage.add(app)
app.add_typer(letters.app, name="dead-letters", rich_help_panel=_CHANGE)
add_trading(app)
process_help.add_parts(app)


def run_app(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Errors are told in words on stderr."""
    try:
        app(list(arguments), standalone_mode=True, prog_name="bellwether")
    except CommandError as error:
        sys.stderr.write(f"error: {visible(str(error), keep=chr(10))}\n")
        return 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
