"""`bellwether render systemd|compose FILE`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from bellwether.cli.client import in_words

app = typer.Typer(
    no_args_is_help=True,
    help="Write a declared system as files for a machine without Kubernetes: systemd units, or a compose file.",
)
File = Annotated[Path, typer.Argument(help="A TradingSystem as YAML or JSON.")]


@app.command()
def systemd(
    file: File,
    directory: Annotated[
        Path, typer.Option("-d", "--directory", metavar="DIR", help="Where to write; it keeps the system's identity.")
    ],
    home: Annotated[
        str, typer.Option("--home", help="Where venv, services and models are on the machine.")
    ] = "/opt/bellwether",
) -> None:
    """Write units, configuration and keys below DIR/etc, to be copied to /etc.

    The keys are made here, in files that only their owner can read; keep DIR,
    and render into it again after an edit: the same keys come out.
    """
    from bellwether.local.files import RunError
    from bellwether.local.rendering import render_systemd

    with in_words(RunError):
        names = render_systemd(file, directory, home)
    tree = shlex.quote(f"{directory}/etc/.")
    sys.stdout.write(
        "".join(f"{directory}/etc/systemd/system/{name}\n" for name in names)
        + f"\nnext, as root:\n  cp -r --preserve=mode {tree} /etc/\n"
        "  systemd-sysusers && systemd-tmpfiles --create trading.conf\n"
        "  systemctl daemon-reload && systemctl enable --now trading.target\n"
    )


@app.command()
def compose(
    file: File,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it there; else to the terminal.")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option("-d", "--directory", metavar="DIR", help="Keys, data (else .bellwether/NAME-compose)."),
    ] = None,
    image: Annotated[
        str, typer.Option("--image", metavar="REPOSITORY:TAG", help="The services' image.")
    ] = "bellwether/services:latest",
) -> None:
    """Write a compose file; keys, configuration and data are in a folder that it names.

    bellwether render compose system.yaml -o compose.yaml
    docker compose -f compose.yaml up --wait
    """
    from bellwether.local.files import RunError
    from bellwether.local.rendering import render_compose

    with in_words(RunError):
        text = render_compose(file, directory, image, output)
    if output is None:
        sys.stdout.write(text)
