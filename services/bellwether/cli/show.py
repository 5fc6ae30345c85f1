"""Answers of the gateway as tables and trees for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bellwether.cli.manage.places import Part

_ACTION_STYLE = {
    "STRONG_BUY": "bold green",
    "BUY": "green",
    "SELL": "red",
    "STRONG_SELL": "bold red",
    "HOLD": "dim",
}
_STATUS_STYLE = {
    "filled": "green",
    "queued": "yellow",
    "awaiting_approval": "bold yellow",
    "refused": "red",
    "rejected": "red",
    "cancelled": "dim",
}

_OPEN = {"awaiting_approval": "waits for approval", "queued": "is queued", "working": "works at the broker"}
"""States in which somebody may want an order's id, in words."""
_SENTENCES = frozenset({"what", "why", "last error", "result", "sent to", "headline", "services", "detail"})
"""Columns that wrap where the terminal is narrow, so that the others keep their width."""


def short_time(text: str | None) -> str:
    """Return a time as a person reads it, UTC."""
    return text[:16].replace("T", " ") if text else "-"


def money(text: str | None) -> str:
    """Return an amount with its thousands parted and two places."""
    return "-" if text is None else f"{float(text):,.2f}"


def short(trace_id: str | None) -> str:
    """Return as much of a trace's id as tells it from others; commands take it in place of the whole."""
    return (trace_id or "-")[:12]


def table_of(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table; columns named in `right` stand at the right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        wraps = column in _SENTENCES
        table.add_column(column, justify="right" if column in right else "left", no_wrap=not wraps)
    return table


def _action(action: str) -> Text:
    return Text(action, style=_ACTION_STYLE.get(action, ""))


def status(found: dict[str, Any]) -> RenderableType:
    """Return the state of the system."""
    good = found["ready"]
    head = Text.assemble(
        (found["system"], "bold"),
        "  ",
        ("ready", "green") if good else ("not ready", "red"),
        f"  {found['mode']} · trading {found['trading']} · generation {found['generation']}",
    )
    lines: list[RenderableType] = [head]
    replay = found["replay"]
    if replay:
        lines.append(
            Text(
                f"replay {replay['state']}: session {replay['session'] or '-'}, "
                f"{replay['sessions_done']:,} of {replay['sessions_total']:,} sessions"
            )
        )
        if replay["error"]:
            lines.append(Text(replay["error"], style="yellow"))
    account = found["account"]
    if account:
        lines.append(
            Text(
                f"equity {money(account['equity'])} {account['currency']} "
                f"(began with {money(account['initial_cash'])}), cash {money(account['cash'])}, "
                f"{account['orders_filled']} orders filled"
            )
        )
    halts = [Text(f"HALTED: {line}", style="bold red") for line in found["halts"]]
    newest = account.get("newest_halt", 0) if account else 0
    if newest:
        halts.append(Text(f"newest halt: number {newest} (bellwether resume --seen {newest} --reason ...)"))
    problems = [Text(f"unknown: {line}", style="yellow") for line in found["problems"]]
    above = (*lines, *halts, *safety(found.get("safety")), *problems)
    return Group(*above, Text(), services(found["services"]))


def safety(found: dict[str, Any] | None) -> list[Text]:
    """Return whether an order would be allowed if the session were open; halts have lines of their own.

    None: the gateway is of a release that does not know the question.
    """
    if found is None:
        return [Text("this gateway does not say whether it is safe to trade", style="yellow")]
    # A guard's code is for programs; its sentence says the same to people.
    refusals = _sentences(one for one in found["refusals"] if one["code"] != "HALTED")
    apart = [Text(f"except in {message}", style="yellow") for message in refusals]
    if found["safe"]:
        return [Text("safe to trade", style="green"), *apart]
    if found["safe"] is None:
        return [Text("it is not known whether it is safe to trade", style="yellow"), *apart]
    return [Text(f"not safe to trade: {message}", style="red") for message in refusals]


def _sentences(refusals: Iterable[dict[str, Any]]) -> list[str]:
    """Return a sentence for each reason; the symbols for which it holds alike are named together."""
    alike: dict[str, list[str]] = {}
    for one in refusals:
        symbol = one.get("symbol", "")
        alike.setdefault(one["message"].removeprefix(f"{symbol}: "), []).append(symbol)
    return [f"{', '.join(symbols)}: {words}" if any(symbols) else words for words, symbols in alike.items()]


def services(found: list[dict[str, Any]]) -> Table:
    """Return the services, one per row."""
    table = table_of("service", "status", "generation", "up", "last error", right=("generation", "up"))
    for one in found:
        style = "green" if one["status"] == "healthy" else "yellow" if one["ready"] else "red"
        up = "-" if one["uptime"] is None else f"{one['uptime']:,.0f} s"
        generation = "-" if one["generation"] < 0 else str(one["generation"])
        said = one["last_error"] or ""
        table.add_row(one["name"], Text(one["status"], style=style), generation, up, Text(said, overflow="ellipsis"))
    return table


def parts(title: str, rows: list[tuple[Part, str]]) -> RenderableType:
    """Return the processes of a place, each with what it runs in words."""
    table = table_of("process", "state", "PID", "MiB", "since (UTC)", "services", "detail", right=("PID", "MiB"))
    for one, runs in rows:
        style = "green" if one.good else "red" if one.state in ("failed", "stopped") else "yellow"
        memory = "-" if one.memory_mib is None else f"{one.memory_mib:,.0f}"
        pid = "-" if one.pid is None else str(one.pid)
        table.add_row(one.name, Text(one.state, style=style), pid, memory, short_time(one.since), runs, one.detail)
    return Group(Text(title), Text(), table)


def system(found: dict[str, Any]) -> RenderableType:
    """Return the machine's figures, and each service with those of its process."""
    machine = found["system"]
    figures = ("up", "MiB", "of limit", "CPU")
    table = table_of("service", "status", *figures, "process", "last error", right=figures)
    for name, one in found["services"].items():
        style = "green" if one["status"] == "healthy" else "yellow" if one["healthy"] else "red"
        table.add_row(
            name,
            Text(one["status"], style=style),
            "-" if one["uptime"] is None else f"{one['uptime']:,.0f} s",
            "-" if one["memory_usage"] is None else f"{one['memory_usage']:,.0f}",
            percent(one["memory_percent"]),
            percent(one["cpu_usage"]),
            one["process"] or "-",
            Text(one["last_error"] or "", overflow="ellipsis"),
        )
    head = (
        f"{'container' if machine['scope'] == 'container' else 'machine'}: CPU {percent(machine['cpu_percent'])}, "
        f"memory {percent(machine['memory_percent'])}, disk {percent(machine['disk_usage'])}"
    )
    count = len(found["processes"])
    total = f"all services: {found['memory_usage']:,.0f} MiB in {count} process{'' if count == 1 else 'es'}"
    return Group(Text(head), Text(total), Text(), table)


def percent(value: float | None) -> str:
    """Return a share as a person reads it."""
    return "-" if value is None else f"{value:.0f} %"


def alerts(found: list[dict[str, Any]]) -> RenderableType:
    """Return what is wrong, critical first."""
    if not found:
        return Text("nothing is wrong", style="green")
    table = table_of("severity", "since (UTC)", "service", "what")
    for one in found:
        style = "bold red" if one["severity"] == "critical" else "yellow"
        table.add_row(
            Text(one["severity"], style=style), short_time(one["since"]), one["service"], Text(one["message"])
        )
    return table


def notifications(found: dict[str, Any]) -> RenderableType:
    """Return who is notified, and what of, newest first."""
    if not found["channels"]:
        return Text("nobody is notified: spec.notifications is empty", style="yellow")
    channels = table_of(
        "notification", "kind", "from", "owed", "held", "last delivered (UTC)", "state", right=("owed",)
    )
    for one in found["channels"]:
        good = "delivers" if one["last_delivered"] else "nothing sent yet"
        state = Text(one["failing"] or good, style="bold red" if one["failing"] else "green")
        owed, held = str(one["owed"]), str(one["held"])
        last = short_time(one["last_delivered"])
        channels.add_row(one["name"], one["kind"], one["min_severity"], owed, held, last, state)
    notices = table_of("when (UTC)", "severity", "state", "what", "sent to")
    for one in found["notices"]:
        sent = ", ".join(f"{name}: {status}" for name, status in one["deliveries"].items()) or "nobody"
        notices.add_row(short_time(one["timestamp"]), one["severity"], one["state"], Text(one["message"]), Text(sent))
    return Group(channels, Text(), notices) if found["notices"] else channels


def dead_letters(found: dict[str, Any]) -> RenderableType:
    """Return events that were given up, oldest first."""
    if not found["letters"]:
        return Text(f"none of {found['total']} is to be shown" if found["total"] else "there is none", style="green")
    table = table_of("number", "when (UTC)", "given up by", "type", "attempts", "why", right=("number", "attempts"))
    for one in found["letters"]:
        why = Text(one["error"], overflow="ellipsis")
        row = (str(one["number"]), short_time(one["timestamp"]), one["service"], one["type"], str(one["attempts"]))
        table.add_row(*row, why)
    return Group(table, Text(f"{found['total']} in all", style="dim"))


def test_messages(found: list[dict[str, Any]]) -> RenderableType:
    """Return what became of test messages."""
    table = table_of("notification", "kind", "result")
    for one in found:
        good = one["delivered"]
        result = Text("delivered", style="green") if good else Text(one["error"] or "", style="bold red")
        table.add_row(one["name"], one["kind"], result)
    return table


def decisions(found: list[dict[str, Any]]) -> RenderableType:
    """Return decisions, newest first."""
    if not found:
        return Text("nothing was decided", style="dim")
    right = ("p", "base", "price")
    table = table_of("when (UTC)", "symbol", "action", "p", "base", "price", "for", "trades", "id", right=right)
    for one in found:
        table.add_row(
            short_time(one["timestamp"]),
            one["symbol"],
            _action(one["action"]),
            f"{one['probability']:.3f}",
            f"{one['base_rate']:.3f}",
            f"{one['current_price']:.2f}",
            one["target_session"],
            "yes" if one["may_trade"] else "no",
            one["prediction_id"],
        )
    return table


def prediction(one: dict[str, Any]) -> RenderableType:
    """Return one prediction with what it was made from."""
    missing = ", ".join(one["fallbacks"]) or "nothing"
    table = Table.grid(padding=(0, 2))
    rows: list[tuple[str, RenderableType]] = [
        ("symbol", one["symbol"]),
        ("action", _action(one["action"])),
        ("probability", f"{one['probability']:.4f} beside a base rate of {one['base_rate']:.4f}"),
        ("BUY from", f"{one['buy_threshold']:.4f}"),
        ("price", f"{one['current_price']:.2f} at the close of {one['bar_session']}" if one["bar_session"] else "none"),
        ("for session", one["target_session"]),
        ("model", f"{one['model_name']} {one['model_version'][:12]}"),
        ("news", _news(one)),
        ("missing", missing),
        ("may trade", "yes" if one["may_trade"] else "no"),
        ("made", short_time(one["timestamp"]) + (" (cached)" if one["cached"] else "")),
        ("id", one["prediction_id"]),
        ("trace", one["trace_id"]),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="dim"), value)
    return table


def _news(one: dict[str, Any]) -> str:
    """Return what the news said and the negative headlines, or that there was none."""
    if not one.get("sentiment_data_available"):
        return "none"
    said = f"{one['sentiment_score']:g}, confidence {one['news_confidence']:g}"
    return "\n".join([said, *(f"{bad['score']:g} {bad['title']} ({bad['source'] or '-'})" for bad in one["bad_news"])])


def positions(found: list[dict[str, Any]]) -> RenderableType:
    """Return what is held."""
    if not found:
        return Text("nothing is held", style="dim")
    right = ("quantity", "cost", "price", "value", "unrealised", "sessions")
    table = table_of("symbol", "quantity", "cost", "price", "value", "unrealised", "since", "sessions", right=right)
    for one in found:
        gain = float(one["unrealised"])
        table.add_row(
            one["symbol"],
            one["quantity"],
            money(one["average_cost"]),
            money(one["market_price"]),
            money(one["market_value"]),
            Text(f"{gain:+,.2f}", style="green" if gain >= 0 else "red"),
            one["opened"],
            str(one["sessions_held"]),
        )
    return table


def orders(found: list[dict[str, Any]]) -> RenderableType:
    """Return orders, newest first."""
    if not found:
        return Text("there are no orders", style="dim")
    right = ("quantity", "price", "commission")
    table = table_of(
        "session", "symbol", "side", "quantity", "status", "price", "commission", "why", "trace", right=right
    )
    for one in found:
        table.add_row(
            one["session"],
            one["symbol"],
            one["side"],
            one["quantity"],
            Text(one["status"], style=_STATUS_STYLE.get(one["status"], "")),
            money(one["fill_price"]),
            money(one["commission"]),
            one["refusal"] or one["reason"],
            short(one["trace_id"]),
        )
    waiting = [
        f"{one['order_id']}  {one['side']} {one['quantity']} {one['symbol']} {_OPEN[one['status']]}"
        for one in found
        if one["status"] in _OPEN
    ]
    return Group(table, *([Text(), *map(Text, waiting)] if waiting else []))


def funnel(found: dict[str, Any]) -> RenderableType:
    """Return the way of a symbol's newest decision, stage by stage."""
    marks = {True: ("✔", "green"), False: ("✘", "red"), None: ("·", "dim")}
    table = Table.grid(padding=(0, 2))
    for stage in found["stages"]:
        mark, style = marks[stage["passed"]]
        table.add_row(
            Text(mark, style=style), stage["name"], Text(stage["says"], style="" if stage["passed"] else style)
        )
    where = f"stopped at {found['stopped_at']}" if found["stopped_at"] else "there is an order"
    return Group(Text.assemble((found["symbol"], "bold"), f": {where}"), table)


def halt_state(found: dict[str, Any]) -> RenderableType:
    """Return whether orders are stopped, and by whom."""
    if not found["halted"]:
        return Text("orders are allowed", style="green")
    return Group(Text("orders are stopped:", style="bold red"), *(Text(f"  {line}") for line in found["halts"]))
