"""`bellwether ig check FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bellwether.cli.client import in_words
from bellwether.cli.options import Format, Output, write_answer

app = typer.Typer(no_args_is_help=True, help="Look at the demo account at IG Markets before any order is sent.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A TradingSystem as YAML or JSON.")], output: Format = Output.text
) -> None:
    """Ask IG about the account and every declared epic; no order is sent.

    For each symbol: name, currency, expiry, state, smallest order, margin, and
    what speaks against trading it. The account's credentials come from the file
    that BELLWETHER_IG_CREDENTIALS names: JSON with apiKey, identifier, password
    and accountId, readable by its owner only.

        BELLWETHER_IG_CREDENTIALS=ig.json bellwether ig check system.yaml

    Ends with 1 when something could not be traded.
    """
    from bellwether.cli.ig_check import as_json, as_lines, look
    from bellwether.local.files import RunError, load_system

    with in_words(RunError):
        system = load_system(file)
    found = look(system)
    write_answer(output, as_json(found), as_lines(found))
    raise SystemExit(0 if found.good else 1)
