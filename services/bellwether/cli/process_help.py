"""Help of the commands that argparse runs, so that the one list of commands is complete."""

from __future__ import annotations

import typer

_BEGIN = "Begin"
_PARTS = "Parts of a system (containers call these)"


def add_beginnings(app: typer.Typer) -> None:
    """Add `run` and `replay` to the list; `bellwether run --help` is answered by the command's own parser."""

    @app.command(rich_help_panel=_BEGIN)
    def run() -> None:
        """Run a whole system on this machine: NATS, all services, dashboard."""

    @app.command(rich_help_panel=_BEGIN)
    def replay() -> None:
        """Replay history as fast as it goes, in one process, and sum it up."""


def add_parts(app: typer.Typer) -> None:
    """Add what containers call to the list."""

    @app.command(rich_help_panel=_PARTS)
    def serve() -> None:
        """Run one or several services, as BELLWETHER_* variables say."""

    @app.command(rich_help_panel=_PARTS)
    def bootstrap() -> None:
        """Make the streams, buckets and consumers that the services need."""

    @app.command("execute-slot", rich_help_panel=_PARTS)
    def execute_slot() -> None:
        """Have the scheduler run one slot, and wait until it is done."""

    @app.command("train-target", rich_help_panel=_PARTS)
    def train_target() -> None:
        """Make one model of an order and upload it as a candidate."""

    @app.command("replay-variant", rich_help_panel=_PARTS)
    def replay_variant() -> None:
        """Replay one variant of a TradingReplay and hand in its report."""

    @app.command(rich_help_panel=_PARTS)
    def nats() -> None:
        """Become the nats-server that comes with this package."""

    @app.command(rich_help_panel=_PARTS)
    def adopt() -> None:
        """Make a volume that was restored from a snapshot this system's, halted."""

    @app.command(rich_help_panel=_PARTS)
    def fill() -> None:
        """Fill a new system's volumes from the repository that it is restored from."""

    @app.command(rich_help_panel=_PARTS)
    def look() -> None:
        """Look whether volumes made from snapshots are whole, and say what is on them."""
