"""Commands for people: what they say and what they answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperOption

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
    restoring,
    serving,
    side_by_side,
    training,
)
from bellwether.cli.client import CommandError
from bellwether.cli.condition import add_condition
from bellwether.cli.explaining import add_explaining
from bellwether.cli.manage import commands as manage
from bellwether.cli.options import (
    LOOK,
    Count,
    Format,
    GatewayAccess,
    MaybeSymbol,
    Output,
    part,
    print_drawn,
    shown,
    talks,
    write_answer,
    write_json,
)
from bellwether.cli.trading import add_trading
from bellwether.runtime.terminal import visible

_type_of_value = TyperOption.display_type_rich


def _type_unless_flag(self: TyperOption, ctx: Any) -> str | None:
    return None if self.is_flag else _type_of_value(self, ctx)


# Else the help says that a flag takes a value: `--follow <bool>`.
TyperOption.display_type_rich = _type_unless_flag  # type: ignore[method-assign]

_CHANGE = "Change"
WOULD_CHANGE = 3
"""The exit code of `plan --exit-code` for a plan that is not empty; 2 is what a wrongly typed command ends with."""

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


def _show_version(asked: bool) -> None:
    if asked:
        try:
            release = installed("bellwether")
        except PackageNotFoundError:
            release = "(from its sources, not installed)"
        sys.stdout.write(f"bellwether {release}\n")
        raise typer.Exit


@app.callback()
def beginning(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which release this is.")
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
app.command(rich_help_panel="Keep")(restoring.restore)
app.command(rich_help_panel="Keep")(restoring.profile)
app.add_typer(ig.app, name="ig", rich_help_panel="Begin")

Seen = Annotated[
    int | None, typer.Option("--seen", min=0, help="Number of the newest halt you know of, from `bellwether status`.")
]
Why = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]


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
    from bellwether.cli.planning import Asked, as_json, instant, make_plan, show_refusals

    when = None if at is None else instant(at)
    asked = Asked(file, offline, from_file, context, namespace, when, image)
    if replay is not None:
        from bellwether.cli.replanning import show_orders

        show_orders(asked, replay, data, output)
        return
    if data is not None:
        raise CommandError("--data is for --replay")
    found = make_plan(asked)
    if output is Output.json:
        write_json(as_json(found))
    elif found.refusals:
        show_refusals(file, found)
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
    write_answer(output, [as_json(one) for one in found], (line for one in found for line in as_lines(one)))
    raise SystemExit(1 if any(one.refusal for one in found) else 0)


add_condition(app)


@app.command(rich_help_panel=LOOK)
@talks
def notify(
    access: GatewayAccess,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="With --test: only this notification.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Send a test message now; ends with 1 if one fails.")] = False,
    lines: Count = 20,
) -> None:
    """Show who is notified of alarms and what was sent, or send a test message."""
    if not test:
        if name is not None:
            raise typer.BadParameter("a NAME is for --test")
        access.show(access.client.get("/v1/notifications", limit=lines), shown("notifications"))
        return
    found = access.client.send("POST", "/v1/notifications/test", name=name)
    access.show(found, part("test_messages", "results"))
    if not all(one["delivered"] for one in found["results"]):
        raise SystemExit(1)


@app.command(rich_help_panel=LOOK)
@talks
def decisions(access: GatewayAccess, symbol: MaybeSymbol = None, lines: Count = 20) -> None:
    """List decisions, newest first."""
    answer = access.client.get("/v1/decisions", symbol=symbol, limit=lines)
    access.show(answer, part("decisions", "decisions"))


@app.command(rich_help_panel=LOOK)
@talks
def decision(
    access: GatewayAccess,
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="The decision, from `bellwether decisions`.")],
    replay: Annotated[bool, typer.Option("--replay", help="Compute it again and compare the bytes.")] = False,
) -> None:
    """Explain one decision: bars, features that moved it, model, news, guards, order, outcome.

    With --replay it ends with 1 when other bytes come out, and names what
    differs; with 3 when numbers differ by 1e-6 at most (another CPU or release).
    """
    if not replay:
        access.show(access.client.get(f"/v1/decisions/{decision_id}", explained=True), shown("decision", "show_news"))
        return
    found = access.client.send("POST", f"/v1/decisions/{decision_id}/replay")
    access.show(found, lambda answer: "\n".join([answer["outcome"], *answer["differences"]]))
    if found["outcome"] != "equal":
        raise SystemExit(1 if found["outcome"] == "different" else 3)


@app.command(rich_help_panel=LOOK)
@talks
def news(access: GatewayAccess, symbol: MaybeSymbol = None) -> None:
    """Show what the news says of each share; with SYMBOL also the headlines."""
    access.show(access.client.get("/v1/sentiment", symbol=symbol), shown("news", "show_news"))


@app.command(rich_help_panel=LOOK)
@talks
def positions(access: GatewayAccess) -> None:
    """Show what is held."""
    access.show(access.client.get("/v1/positions"), part("positions", "positions"))


@app.command(rich_help_panel=LOOK)
@talks
def orders(
    access: GatewayAccess,
    symbol: MaybeSymbol = None,
    state: Annotated[
        str | None, typer.Option("--status", help="Only these: awaiting_approval, queued, filled, refused, ...")
    ] = None,
    lines: Count = 20,
) -> None:
    """List orders, newest first; below them the ids of those that `approve` or `cancel` can take."""
    answer = access.client.get("/v1/orders", symbol=symbol, status=state, limit=lines)
    access.show(answer, part("orders", "orders"))


add_explaining(app)


@app.command(rich_help_panel=_CHANGE)
@talks
def halt(access: GatewayAccess, reason: Why) -> None:
    """Stop every order until somebody resumes."""
    body = {"reason": reason, "source": "cli"}
    access.show(access.client.send("POST", "/v1/halt", body), shown("halt_state"))


@app.command(rich_help_panel=_CHANGE)
@talks
def resume(access: GatewayAccess, reason: Why, seen: Seen = None) -> None:
    """Allow orders again; a halt that the resource declares stays.

    It clears the halts that it finds when it begins, or those up to --seen;
    with a newer one nothing is resumed.
    """
    if seen is None:
        seen = int(access.client.get("/v1/account").get("newest_halt", 0))
    body = {"reason": reason, "source": "cli", "seen": seen}
    access.show(access.client.send("POST", "/v1/resume", body), shown("halt_state"))


manage.add(app)
app.add_typer(letters.app, name="dead-letters", rich_help_panel=_CHANGE)
add_trading(app)
process_help.add_parts(app)


def run_app(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Errors are written to stderr in words."""
    try:
        ended = app(list(arguments), standalone_mode=False, prog_name="bellwether")
        return ended if isinstance(ended, int) else 0
    except CommandError as error:
        _report(str(error))
        return error.code
    except typer.Abort:
        _report("not confirmed: nothing was done")
    except typer.TyperException as error:
        return _report_usage(error)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 1


def _report(words: str) -> None:
    sys.stderr.write(f"error: {visible(words, keep=chr(10))}\n")


def _report_usage(error: Any) -> int:
    """Write a usage error as one line; return the exit code."""
    words = " ".join(error.format_message().replace("Value error, ", "").split()).removeprefix("Invalid value: ")
    words = words.rstrip(".")
    if words:  # there are none where the help was shown instead
        _report(f"{words[0].lower()}{words[1:]} (see {error.ctx.command_path if error.ctx else 'bellwether'} --help)")
    return int(error.exit_code)
