"""`bellwether dead-letters`: events that were given up."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bellwether.cli.options import GatewayAccess, shown, talks

app = typer.Typer(no_args_is_help=True, help="List, show, replay or drop events that were given up.")
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="From `bellwether dead-letters list`.")]


def _whole(found: dict[str, Any]) -> str:
    letter = found["letter"]
    head = f"{letter['number']}  {letter['type']}  given up by {letter['service']} after {letter['attempts']} attempts"
    return "\n".join([head, letter["error"], "", f"{found['subject']}  {found['message_id']}", found["body"]])


@app.command("list")
@talks
def list_(
    access: GatewayAccess,
    after: Annotated[int, typer.Option("--after", min=0, help="Only those with a larger number.")] = 0,
    lines: Annotated[int, typer.Option("-l", "--lines", min=1, max=200, help="How many at most.")] = 50,
) -> None:
    """List them, oldest first."""
    access.show(access.client.get("/v1/dead-letters", after=after, limit=lines), shown("dead_letters"))


@app.command("show")
@talks
def show_(access: GatewayAccess, number: Number) -> None:
    """Show one with its event, and why it was given up."""
    access.show(access.client.get(f"/v1/dead-letters/{number}"), _whole)


@app.command()
@talks
def replay(access: GatewayAccess, number: Number) -> None:
    """Publish its event again; whoever had it before drops it."""
    found = access.client.send("POST", f"/v1/dead-letters/{number}/replay")
    access.show(found, lambda one: f"{one['number']} is published again as {one['message_id']}")


@app.command()
@talks
def drop(access: GatewayAccess, number: Number) -> None:
    """Take it away for good."""
    found = access.client.send("DELETE", f"/v1/dead-letters/{number}")
    access.show(found, lambda one: f"{one['number']} is dropped")
