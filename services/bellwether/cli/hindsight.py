"""`bellwether hindsight`: the live paper account beside history as it is known today."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from bellwether.cli.client import in_words
from bellwether.cli.options import Format, Output, say_to_person, write_answer

if TYPE_CHECKING:
    from bellwether.local.hindsight import Hindsight

_MOST_SHOWN = 40


def hindsight(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run, such as .bellwether/NAME.")],
    *,
    sessions: Annotated[int, typer.Option("--sessions", min=1, max=5000, help="How many sessions, the newest.")] = 60,
    output: Format = Output.text,
) -> None:
    """Compare what a live run decided and filled with history as it is known today.

    Each decision that could trade is made again twice, at its own instant and
    with its own model: by the versions of bars that were known then, which must
    give equal bytes, and by today's. Each fill is priced again by today's
    opening price. Every difference names its cause: a bar that came late, or
    history that the source restated since. The run may go on meanwhile.

        bellwether hindsight .bellwether/asx-banks --sessions 20

    Ends with 1 when a decision does not come out by what was known then.
    """
    from bellwether.backups.errors import BackupError
    from bellwether.local.files import RunError
    from bellwether.local.hindsight import look_back
    from bellwether.storage.store import StoreError

    with in_words(RunError, BackupError, StoreError):
        found = asyncio.run(look_back(data, sessions, say_to_person))
    write_answer(output, msgspec.to_builtins(asdict(found)), lines(found))
    raise SystemExit(1 if found.unequal_then else 0)


def lines(found: Hindsight) -> list[str]:
    """Return the comparison for people."""
    text = [
        f"{found.decisions} decisions: {found.equal_then} come out with equal bytes by the bars known then, "
        f"{len(found.decisions_differ)} would be made otherwise by today's"
    ]
    for wrong in found.unequal_then:
        text.append(
            f"! {wrong.prediction_id} does not come out by what was known then: {', '.join(wrong.differs_then)}"
        )
    if found.with_news:
        text.append(f"{found.with_news} of them saw news: it is taken from their records, no source has it still")
    for one in found.decisions_differ[-_MOST_SHOWN:]:
        text.append(f"~ {one.prediction_id} {one.live}, today {one.today}: {one.why}")
    text.append(f"{found.fills} fills, {len(found.fills_differ)} orders would be filled otherwise")
    for fill in found.fills_differ[-_MOST_SHOWN:]:
        text.append(f"~ {fill.session} {fill.symbol} {fill.live}, today {fill.today} ({fill.cash:+f} cash): {fill.why}")
    if max(len(found.decisions_differ), len(found.fills_differ)) > _MOST_SHOWN:
        text.append("older differences: -o json has all")
    return [*text, f"at today's prices the same orders would leave {found.cash:+f} of cash"]
