"""`start`, `stop`, `restart`, `logs`, `deploy`, `undeploy`: a system's processes, wherever it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bellwether.cli.client import CommandError, in_words
from bellwether.cli.manage.finding import find, state_root
from bellwether.cli.manage.places import On, Part, Place, check_services, chosen, services_of
from bellwether.cli.options import (
    Format,
    Output,
    confirm,
    option,
    print_drawn,
    say,
    target_of,
    with_options,
    write_json,
)
from bellwether.runtime.terminal import visible

_PANEL = "Manage"
_WHICH = "Which system"
Services = Annotated[
    list[str] | None,
    typer.Option("-s", "--service", metavar="SERVICE", help="Only this service; may be given several times."),
]
_On = Annotated[
    On | None,
    typer.Option("--on", help="Where it runs; else found: the only system of this machine.", rich_help_panel=_WHICH),
]
_System = Annotated[
    str | None, typer.Option("--system", help="In a cluster: NAME or NAMESPACE/NAME.", rich_help_panel=_WHICH)
]
_Namespace = Annotated[
    str | None, typer.Option("--namespace", help="Of --system; else the context's.", rich_help_panel=_WHICH)
]
_Context = Annotated[
    str | None, typer.Option("--context", help="The cluster, of those in KUBECONFIG.", rich_help_panel=_WHICH)
]


_WHICH_ONE = {
    one.name: one
    for one in (
        option("on", _On),
        option("system", _System),
        option("namespace", _Namespace),
        option("context", _Context),
    )
}


def manages(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which system is meant; it gets its `Place` as its first argument."""

    def place(on: On | None, system: str | None, namespace: str | None, context: str | None) -> Place:
        return find(on, target_of(None, None, system, namespace, context), say)

    return with_options(command, _WHICH_ONE, place)


@manages
def start(place: Place, services: Services = None, *, output: Format = Output.text) -> None:
    """Start a system, or one service: first what others need.

    bellwether start
    bellwether start -s prediction --system demo
    """
    _each(place, chosen(place, services or []), "started", place.start, output)


@manages
def stop(place: Place, services: Services = None, *, output: Format = Output.text) -> None:
    """Stop a system, or one service: in reverse, first what needs others.

    In a cluster a service is switched off in the declaration, so that the operator
    does not start it again. Orders alone are stopped by `bellwether halt`.
    """
    _each(place, chosen(place, services or [])[::-1], "stopped", place.stop, output)


@manages
def restart(place: Place, services: Services = None, *, output: Format = Output.text) -> None:
    """Stop and start a system, or one service."""
    parts = chosen(place, services or [])
    if services or len(parts) == 1 or place.on is On.cluster:
        _each(place, parts, "restarted", place.restart, output)
        return
    for part in parts[::-1]:
        place.stop(part.name)
        say(f"stopped   {part.name}")
    _each(place, parts, "started", place.start, output)


def _each(place: Place, parts: list[Part], done: str, act: Callable[[str], None], output: Output) -> None:
    if not parts:
        raise CommandError(f"{place.title} has no processes")
    results: list[dict[str, Any]] = []
    for part in parts:
        began = time.monotonic()
        act(part.name)
        took = time.monotonic() - began
        results.append({"name": part.name, "result": done, "seconds": round(took, 1)})
        if output is Output.text:
            say(f"{done:<9} {part.name}  {took:.1f} s")
    if output is Output.json:
        write_json({"on": place.on.value, "parts": results})


@manages
def logs(
    place: Place,
    services: Services = None,
    *,
    lines: Annotated[int, typer.Option("-n", "--lines", "-l", min=0, max=100_000, help="The last so many.")] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    output: Annotated[Output, typer.Option("-o", "--output", help="text, or the lines as they were written.")] = (
        Output.text
    ),
) -> None:
    """Show the last lines that services logged.

    bellwether logs -s paper-trading -n 200
    bellwether logs -f
    """
    from bellwether.cli.manage.log_lines import of_services, shown

    parts = place.parts()
    if services:
        wanted = set(check_services(services))
        parts = [one for one in parts if one.name in wanted or wanted & set(one.services)]
        if not parts:
            raise CommandError(f"--service {', '.join(services)}: {place.title} has no such process")
    # One process writes the lines of several services: more are read than are shown.
    shared = bool(services) and any(len(one.services) > 1 for one in parts)
    read = 100_000 if shared else lines
    found = place.logs([one.name for one in parts], read, follow=follow)
    for line in of_services(found, services or [] if shared else [], lines if shared else None, follow=follow):
        sys.stdout.write((line if output is Output.json else shown(line)) + "\n")
        if follow:
            sys.stdout.flush()


def deploy(
    file: Annotated[Path, typer.Argument(help="A TradingSystem as YAML or JSON.")],
    *,
    on: Annotated[On, typer.Option("--on", help="Where to.")] = On.local,
    home: Annotated[
        str, typer.Option("--home", help="systemd: where the program is installed, as venv/.")
    ] = "/opt/bellwether",
    user: Annotated[
        bool, typer.Option("--user", help="systemd: units of your own (systemctl --user), without root.")
    ] = False,
    image: Annotated[
        str, typer.Option("--image", metavar="REPOSITORY:TAG", help="compose: the services' image.")
    ] = "bellwether/services:latest",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="local: of dashboard and API on 127.0.0.1.")
    ] = 8080,
    namespace: Annotated[str | None, typer.Option("--namespace", help="cluster: else the file's or context's.")] = None,
    context: Annotated[str | None, typer.Option("--context", help="cluster: of those in KUBECONFIG.")] = None,
) -> None:
    """Bring a declared system up and wait until it is.

    local     runs it in the background, in one process: `bellwether run FILE --detach`
    systemd   renders units, copies them to /etc, enables and starts them (as root); with --user in your home
    compose   renders a compose file below .bellwether and brings it up, healthy
    cluster   applies the file (kubectl) and waits until the system is Ready

    Done again with a changed file it brings the change up; the data is kept.
    """
    from bellwether.cli.validating import check_file

    if user and on is not On.systemd:
        raise CommandError("--user goes with --on systemd")
    if check_file(file, as_json=False, quiet=True) != 0:
        raise SystemExit(1)
    if on is On.systemd:
        from bellwether.cli.manage import systemd_place
        from bellwether.render.systemd import MACHINE

        layout = systemd_place.persons() if user else MACHINE
        done = systemd_place.deploy(file, home, say, layout=layout)
    elif on is On.cluster:
        from bellwether.cli.manage import cluster_place

        done = cluster_place.deploy(file, namespace, context, say)
    else:
        done = _deploy_here(file, image if on is On.compose else None, port)
    for line in done:
        sys.stdout.write(visible(line) + "\n")


def _deploy_here(file: Path, image: str | None, port: int) -> list[str]:
    """Bring a file up below the folder of this directory's systems: by compose with an image, else as a run."""
    from bellwether.local.files import RunError, load_system

    with in_words(RunError):
        name = load_system(file).metadata.name
        if image is not None:
            from bellwether.cli.manage import compose_place

            return compose_place.deploy(file, state_root(), name, image)
        from bellwether.local.detached import Start, start_detached, stop_detached

        root = state_root() / name
        ended = stop_detached(root)
        found = start_detached(Start(file, port), root, [], say)
    return [f"{'restarted' if ended else 'started'}: {found.url}, process {found.pid}, state in {root}"]


@manages
def undeploy(place: Place, *, yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False) -> None:
    """Stop a system and take it away; its data is kept where nothing else is said."""
    confirm(f"Take away {place.title}?", yes=yes)
    sys.stdout.write(f"{place.title} is taken away; {visible(place.undeploy())}\n")


def show_parts(place: Place, services: list[str], output: Output) -> None:
    """Write the processes of a place; end with 3 when one does not run, as `systemctl status` does."""
    parts = chosen(place, services) if services else place.parts()
    if output is Output.json:
        write_json({"on": place.on.value, "parts": [asdict(one) for one in parts]})
    else:
        from bellwether.cli import show

        print_drawn(show.parts(place.title, [(one, services_of(one)) for one in parts]))
    if any(one.state in ("stopped", "failed") for one in parts if one.services):
        raise SystemExit(3)


def add(app: typer.Typer) -> None:
    """Add the commands to the list."""
    for command in (start, stop, restart, logs, deploy, undeploy):
        app.command(rich_help_panel=_PANEL)(command)
