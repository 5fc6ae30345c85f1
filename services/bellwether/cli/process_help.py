"""Help of the commands that argparse runs, so that the one list of commands is complete."""

from __future__ import annotations

from collections.abc import Mapping

import typer

_BEGINNINGS = {
    "run": "Run a whole system on this machine: NATS, all services, dashboard.",
    "replay": "Replay history as fast as it goes, in one process, and sum it up.",
}
_PARTS = {
    "serve": "Run one or several services, as BELLWETHER_* variables say.",
    "bootstrap": "Make the streams, buckets and consumers that the services need.",
    "execute-slot": "Have the scheduler run one slot, and wait until it is done.",
    "train-target": "Make one model of an order and upload it as a candidate.",
    "replay-variant": "Replay one variant of a TradingReplay and hand in its report.",
    "nats": "Become the nats-server that comes with this package.",
    "adopt": "Make a volume that was restored from a snapshot this system's, halted.",
    "fill": "Fill a new system's volumes from the repository that it is restored from.",
    "restore-volumes": "Put a backup in the place of what is on a system's volumes, while nobody has them.",
    "look": "Look whether a backup is whole, and say what is in it.",
}


def add_beginnings(app: typer.Typer) -> None:
    """Add `run` and `replay` to the list; `bellwether run --help` is answered by the command's own parser."""
    _add(app, _BEGINNINGS, "Begin")


def add_parts(app: typer.Typer) -> None:
    """Add what containers call to the list."""
    _add(app, _PARTS, "Parts of a system (containers call these)")


def _add(app: typer.Typer, commands: Mapping[str, str], panel: str) -> None:
    for name, words in commands.items():
        app.command(name, help=words, rich_help_panel=panel)(_not_called)


def _not_called() -> None:
    """Stand for a command that argparse runs."""
