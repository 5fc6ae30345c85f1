"""What commands have in common: the options of a gateway, and how answers are written and drawn."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

import typer

from bellwether.cli.client import CommandError, ReachableClient, Target, make_client
from bellwether.runtime.terminal import all_visible, visible

_PANEL = "Which system"


class Output(StrEnum):
    """How an answer is written."""

    text = "text"
    json = "json"


Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="The gateway's address; else BELLWETHER_URL, else the local run.", rich_help_panel=_PANEL
    ),
]
Token = Annotated[
    str | None,
    typer.Option("--token", help="The gateway's token; else BELLWETHER_TOKEN or the run's.", rich_help_panel=_PANEL),
]
System = Annotated[
    str | None,
    typer.Option(
        "--system", help="A system in a cluster, through kubectl: NAME or NAMESPACE/NAME.", rich_help_panel=_PANEL
    ),
]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", help="Of --system; else the context's.", rich_help_panel=_PANEL)
]
Context = Annotated[
    str | None,
    typer.Option("--context", help="The cluster of --system, of those in KUBECONFIG.", rich_help_panel=_PANEL),
]
Format = Annotated[Output, typer.Option("-o", "--output", help="text for people, json for programs.")]
_PIPE_WIDTH = 200
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")


@dataclass(frozen=True)
class GatewayAccess:
    """One command's way to its gateway and its output."""

    target: Target
    output: Output

    @cached_property
    def client(self) -> ReachableClient:
        """The way to the gateway, found when it is first needed."""
        return make_client(self.target)

    def show(self, answer: Any, draw: Callable[[Any], Any]) -> None:
        """Write an answer: as it came for programs, drawn for people."""
        if self.output is Output.json:
            write_json(answer)
        else:
            print_drawn(draw(all_visible(answer)))


def write_json(answer: Any) -> None:
    """Write an answer for programs. What would steer a terminal is escaped as JSON escapes it."""
    text = json.dumps(answer, indent=2, ensure_ascii=False)
    if not all(one.isprintable() or one == "\n" for one in text):
        text = json.dumps(answer, indent=2)
    sys.stdout.write(text + "\n")


def confirm(question: str, *, yes: bool) -> None:
    """Return once a person at the terminal has agreed, or where --yes was given.

    Raises:
        CommandError: if nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Say --yes: there is no terminal to ask at")
    typer.confirm(question, abort=True)


def write_answer(output: Output, answer: Any, lines: Iterable[str]) -> None:
    """Write an answer: as it is for programs, line by line for people."""
    if output is Output.json:
        write_json(answer)
    else:
        sys.stdout.write("".join(f"{visible(line)}\n" for line in lines))


def say(line: str) -> None:
    """Write a line of progress, beside what programs read."""
    sys.stderr.write(visible(line) + "\n")
    sys.stderr.flush()


def say_to_person(line: str) -> None:
    """Write a line of progress where a person looks on."""
    if sys.stderr.isatty():
        say(line)


def print_drawn(drawn: Any) -> None:
    """Write something drawn for people."""
    from rich.console import Console

    # A file or a pipe has no width: nothing is cut off for it.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False).print(drawn)


def target_of(
    url: str | None, token: str | None, system: str | None, namespace: str | None, context: str | None = None
) -> Target:
    """Return which gateway is meant.

    Raises:
        CommandError: if --system or --namespace is not a name.
    """
    if system is not None and "/" in system:
        namespace, system = system.split("/", 1)
    for option, name in (("--system", system), ("--namespace", namespace)):
        if name is not None and not _NAME.match(name):
            raise CommandError(f"{option} {name!r}: a name has a-z, 0-9 and -")
    if system is None and (namespace is not None or context is not None):
        option = "--namespace" if namespace is not None else "--context"
        raise CommandError(f"{option} is for a system in a cluster: name it with --system")
    return Target(url=url, token=token, system=system, namespace=namespace, context=context)


def day_of(option: str, text: str | None) -> date | None:
    """Return the day that an option names, None without it; raises CommandError for what is no day."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text!r}: a day is written 2026-11-27") from None


def with_options(
    command: Callable[..., None], shared: Mapping[str, inspect.Parameter], make: Callable[..., Any]
) -> Callable[..., None]:
    """Return a command that has shared options, too; its first argument is what `make` makes of their values."""

    def run(*arguments: Any, **named: Any) -> None:
        own = {name: value for name, value in named.items() if name not in shared}
        first = make(**{name: named.get(name, parameter.default) for name, parameter in shared.items()})
        command(first, *arguments, **own)

    own = inspect.signature(command, eval_str=True)
    parameters = [*list(own.parameters.values())[1:], *shared.values()]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    return run


def option(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """Return a shared option."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_GATEWAY = {
    one.name: one
    for one in (
        option("url", Url),
        option("token", Token),
        option("system", System),
        option("namespace", Namespace),
        option("context", Context),
        option("output", Format, Output.text),
    )
}


def talks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a gateway; it gets a `GatewayAccess` as its first argument."""

    def access(output: Output, **which: Any) -> GatewayAccess:
        return GatewayAccess(target_of(**which), output)

    return with_options(command, _GATEWAY, access)


LOOK = "Look"

Count = Annotated[int, typer.Option("-l", "--lines", min=1, max=500, help="How many at most.")]
Symbol = Annotated[str, typer.Argument(help="The share, as declared: AAPL, CBA.AX.")]
MaybeSymbol = Annotated[str | None, typer.Argument(help="Only this share.")]


def shown(name: str, module: str = "show") -> Any:
    """Return what draws an answer by a function of a module beside, loaded only when something is drawn."""

    def draw(found: Any) -> Any:
        return getattr(importlib.import_module(f"bellwether.cli.{module}"), name)(found)

    return draw


def part(name: str, key: str, module: str = "show") -> Any:
    """Return what draws one part of an answer in that way."""
    return lambda found: shown(name, module)(found[key])
