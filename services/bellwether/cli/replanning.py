"""`bellwether plan FILE --replay N`: the orders that an edit would have changed, for people and programs."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bellwether.cli.client import CommandError, in_words
from bellwether.cli.options import Output, say_to_person, write_answer
from bellwether.cli.planning import Asked
from bellwether.local.files import RunError
from bellwether.local.state import RunDirectory
from bellwether.spec.models import TradingSystem

if TYPE_CHECKING:
    from bellwether.local.edited import Edited

_STATE = Path(".bellwether")


def show_orders(asked: Asked, sessions: int, data: Path | None, output: Output) -> None:
    """Replay the newest sessions under the declaration in force and under the file, and write what differs.

    The declaration in force is that of --from, else of the run whose folder is given or is found by its name.

    Raises:
        CommandError: with what is missing or wrong.
    """
    from bellwether.local.edited import Bars, what_would_change
    from bellwether.local.files import load_system
    from bellwether.local.spans import stored_bars
    from bellwether.runtime.logs import configure_logs

    if asked.offline or asked.context is not None:
        raise CommandError("--replay looks at files and a run's folder: leave --offline and --context out")
    with in_words(RunError):
        after = load_system(asked.file)
        folder = data
        if folder is None and asked.from_file is None:
            folder = _STATE / after.metadata.name
        configure_logs("plan", "error", terminal=True)
        before = load_system(asked.from_file) if asked.from_file is not None else _declared_in(folder)
        stored = None if folder is None else stored_bars(folder)
        bars = Bars(stored, asked.file.resolve().parent)
        until = None if asked.at is None else asked.at.date()
        found = asyncio.run(what_would_change(before, after, sessions, bars, say_to_person, until=until))
    write_answer(output, _plain(found), lines(found))


def _declared_in(folder: Path | None) -> TradingSystem:
    path = RunDirectory(folder or _STATE).declaration
    try:
        return TradingSystem.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: no declaration of a run is there; say --from OLDFILE, or --data with the folder of a run"
        ) from error


def lines(found: Edited) -> list[str]:
    """Return the changed orders for people."""
    head = (
        f"{found.span.first} to {found.span.last}: {found.orders_before} orders now, {found.orders_after} as edited; "
        f"equity {found.equity_before} and {found.equity_after} at the end"
    )
    marks = {"new": "+", "gone": "-", "changed": "~"}
    output = [head]
    for one in found.changes:
        values = " -> ".join(part for part in (one.before, one.after) if part)
        output.append(f"{marks[one.kind]} {one.session} {one.side:<4} {one.symbol:<8} {values}: {one.why}")
    if not found.changes:
        output.append("no order would have been another one")
    return [*output, *(f"note: {note}" for note in found.notes)]


def _plain(found: Edited) -> dict[str, object]:
    plain = asdict(found)
    plain["span"] = {"first": found.span.first.isoformat(), "last": found.span.last.isoformat()}
    plain["changes"] = [asdict(one) | {"session": one.session.isoformat()} for one in found.changes]
    return plain
