"""`bellwether lookahead`: whether decisions of a replay saw what came after them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwether.cli.client import CommandError, in_words
from bellwether.cli.options import Format, Output, say_to_person, write_answer

if TYPE_CHECKING:
    from bellwether.lineage.lookahead import Judgement


def lookahead(
    file: Annotated[Path, typer.Argument(help="A TradingSystem with clock.mode replay.")],
    *,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Instead of clock.from.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Instead of clock.to.")] = None,
    every: Annotated[int, typer.Option("--every", min=1, max=10_000, help="Look at each N-th session only.")] = 1,
    exchange: Annotated[
        list[str] | None,
        typer.Option("--exchange", metavar="SYMBOL=XNYS", help="A share's own exchange, where it is another one."),
    ] = None,
    output: Format = Output.text,
) -> None:
    """Say which features and decisions change when the later bars are not there.

    At the instant of each decision that may trade, everything is computed
    twice: with all that is recorded, and with what had happened by then (bars
    whose session had closed at the share's own exchange, splits in effect, news
    that was out). What a model learns is computed twice as well, for the whole
    and for a fold of the walk-forward. Nothing may differ.

        bellwether lookahead manifests/samples/replay.yaml --to 2009-12-31
        bellwether lookahead system.yaml --every 20 --exchange SPY=XNYS

    Ends with 0 when nothing changes, with 1 when something does.
    """
    from bellwether.lineage.past import PastError
    from bellwether.local.files import RunError
    from bellwether.market.sessions import CalendarError
    from bellwether.training.fit import TooFewRows
    from bellwether.training.recipe import RecipeError

    with in_words(RunError, PastError, CalendarError, TooFewRows, RecipeError, ValueError):
        found = _judged(file, first, last, every, _exchanges(exchange or []))
    write_answer(output, as_json(found), as_lines(found))
    raise SystemExit(1 if found.changes else 0)


def _exchanges(given: list[str]) -> dict[str, str]:
    from bellwether.spec.exchanges import CALENDARS

    found: dict[str, str] = {}
    for one in given:
        symbol, _, name = one.partition("=")
        if not symbol or name not in CALENDARS:
            raise CommandError(f"--exchange {one!r}: write SYMBOL=CALENDAR, with one of {', '.join(CALENDARS)}")
        found[symbol] = name
    return found


def _judged(file: Path, first: str | None, last: str | None, every: int, exchanges: dict[str, str]) -> Judgement:
    from bellwether.lineage.lookahead import instants_of, judge
    from bellwether.lineage.past import read_past
    from bellwether.local.files import load_system
    from bellwether.local.replay import ReplayOptions, replayed
    from bellwether.training.recipe import load_recipe

    system = replayed(load_system(file), ReplayOptions(first, last))
    unknown = sorted(set(exchanges) - set(system.spec.symbols))
    if unknown:
        raise CommandError(f"--exchange {unknown[0]}: not declared; declared are {', '.join(system.spec.symbols)}")
    past = read_past(system, file.resolve().parent, exchanges)
    ends = [one.bars[-1].session for one in past.recorded.values() if one.bars]
    if not ends:
        raise CommandError("no declared symbol has bars")
    clock = system.spec.clock
    began = date.fromisoformat(clock.from_ or "")
    ended = min(date.fromisoformat(clock.to), max(ends)) if clock.to else max(ends)
    instants = instants_of(past, began, ended, every)
    if not instants:
        raise CommandError(f"no decision that may trade is due from {began} to {ended}")
    return asyncio.run(judge(past, load_recipe(system.spec.predictions.model), began, instants, say_to_person))


def as_lines(found: Judgement) -> list[str]:
    """Return the judgement for people: each thing that changes once."""
    from bellwether.lineage.lookahead import summed

    lines = []
    for one in summed(found.changes):
        whose = f" ({', '.join(one.symbols)})" if one.symbols else ""
        often = "once" if one.times == 1 else f"{one.times:,} times"
        seen = one.first
        lines.append(
            f"{one.what}{whose} changes {often}, first at {seen.at:%Y-%m-%d %H:%M} UTC: {seen.whole!r} with the later "
            f"bars, {seen.cut!r} without"
        )
    looked = (
        f"looked at {found.decisions:,} decisions at {found.instants:,} instants and {found.learnt} fits of the model"
    )
    return [*lines, f"{looked}: {'they see the future' if lines else 'nothing sees what came later'}"]


def as_json(found: Judgement) -> dict[str, Any]:
    """Return the judgement for programs."""
    return {
        "moments": found.instants,
        "decisions": found.decisions,
        "fits": found.learnt,
        "changes": [asdict(one) | {"at": one.at.isoformat()} for one in found.changes],
    }
