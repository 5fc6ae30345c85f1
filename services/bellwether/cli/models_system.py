"""`bellwether models system`: the same of a system that runs, through its gateway."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bellwether.cli.options import GatewayAccess, talks

app = typer.Typer(no_args_is_help=True, help="The models of a running system, through its gateway.")
Version = Annotated[str, typer.Argument(help="A version, or its beginning.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]


@app.command("list")
@talks
def list_models(access: GatewayAccess) -> None:
    """List the models of the system's registry with their stage and whether they passed the gate."""
    access.show(access.client.get("/v1/models"), _table)


@app.command()
@talks
def show(access: GatewayAccess, version: Version) -> None:
    """Show a model's stage, what the gate said, and its live record beside the base rate."""
    access.show(access.client.get(f"/v1/models/{version}"), _shown)


@app.command()
@talks
def shadow(
    access: GatewayAccess,
    version: Version,
    reason: Reason,
    *,
    end: Annotated[bool, typer.Option("--end", help="Take it out of the shadow again.")] = False,
) -> None:
    """Ask a candidate beside what serves: its live record grows, and nothing is traded by it."""
    body = {"reason": reason, "source": "cli"}
    found = access.client.send("POST", f"/v1/models/{version}/shadow", body, end="true" if end else None)
    access.show(found, _one)


@app.command()
@talks
def train(
    access: GatewayAccess,
    recipe: Annotated[str | None, typer.Argument(help="The recipe; else the one that the system declares.")] = None,
) -> None:
    """Have the models of a recipe made again; `status` tells how far it is."""
    access.show(access.client.send("POST", "/v1/training", {}, model_name=recipe), _state)


@app.command()
@talks
def status(access: GatewayAccess) -> None:
    """Tell how training is."""
    access.show(access.client.get("/v1/training"), _state)


@app.command()
@talks
def promote(access: GatewayAccess, version: Version, reason: Reason) -> None:
    """Let a model serve in place of what serves for its recipe and symbol."""
    body = {"reason": reason, "source": "cli"}
    access.show(access.client.send("POST", f"/v1/models/{version}/promote", body), _one)


@app.command()
@talks
def rollback(
    access: GatewayAccess,
    recipe: Annotated[str, typer.Argument(help="The recipe's name.")],
    reason: Reason,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Its own model; else the general one.")] = None,
) -> None:
    """Let the model serve again that served before; a second time, the one before that.

    bellwether models system rollback direction-full --symbol IBM --reason "worse since Monday"
    """
    body = {"reason": reason, "source": "cli"}
    access.show(access.client.send("POST", f"/v1/models/{recipe}/rollback", body, symbol=symbol), _one)


def _table(found: Any) -> Any:
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "symbol", "stage", "since (UTC)", "version", "gate"):
        table.add_column(title, overflow="fold")
    for one in sorted(found["models"], key=lambda each: (each["model_name"], each["symbol"] or "", each["since"])):
        since, version = str(one["since"])[:16].replace("T", " "), str(one["version"])[:12]
        gate = "passed" if one["passed"] else "nobody judged it" if one["passed"] is None else "failed"
        said = f"demoted; {gate}" if one.get("demoted") else gate
        table.add_row(one["model_name"], one["symbol"] or "all", one["stage"], since, version, said)
    shown, total = len(found["models"]), found.get("total", 0)
    lines: list[Any] = [table] if shown else ["no models yet: `bellwether models system status` tells how training is"]
    if any(one["passed"] is False for one in found["models"]):
        lines.append("why one failed: bellwether models system show VERSION")
    if total > shown:
        lines.append(f"{total - shown} older ones are not shown")
    return Group(*lines)


def _shown(found: Any) -> Any:
    model = found["model"]
    since = str(model["since"])[:16].replace("T", " ")
    lines = [_one(model), f"since {since} UTC: {model['reason']}", f"gate: {model['gate']}"]
    if model.get("demoted"):
        lines.append(f"demoted: {model['demoted']}")
    for one in found["live"]:
        lines += [
            f"live, {one['role']}: {one['decisions']} realised decisions of {one['sessions']} sessions, {one['first']} "
            f"to {one['last']}",
            f"  Brier {one['brier']:.4f} beside {one['base_brier']:.4f} of the base rate, log loss "
            f"{one['log_loss']:.4f} beside {one['base_log_loss']:.4f}",
            f"  {one['verdict']}",
        ]
    return "\n".join(lines if found["live"] else [*lines, "live: no decision of it has an outcome yet"])


def _one(found: Any) -> Any:
    return f"{found['model_name']}, {found['symbol'] or 'all symbols'}: {found['version'][:12]} is {found['stage']}"


def _state(found: Any) -> Any:
    words = found.get("error") or found.get("progress") or ""
    return f"{found['status']} {found.get('model_name', '')} {words}".strip()
