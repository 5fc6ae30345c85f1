"""`bellwether compare`: the old system and the new one, asked for the same instant."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
import yaml

from bellwether.cli.client import Client, CommandError, Target, in_words, make_client
from bellwether.cli.comparing import (
    Comparison,
    GatewaySide,
    Side,
    State,
    ask_both,
    meant_session,
    new_side,
    next_session_time,
    old_side,
)
from bellwether.cli.options import Format, Output, say, target_of, write_answer
from bellwether.market.sessions import CalendarError, load_calendar
from bellwether.migrate import comparison
from bellwether.migrate.comparison import Compared, Sample, Tolerances, Verdict, as_json, judge, read_tolerances
from bellwether.migrate.comparison_page import page
from bellwether.spec.exchanges import CALENDARS

_MOST_SHOWN = 40
_EXIT = {"safe": 0, "not safe": 1, "not yet": 3}
_LONGEST_SLEEP = 60.0
"""A machine that slept wakes up to the right time, at most this late."""


def compare(
    *,
    old: Annotated[
        str | None,
        typer.Option("--old", metavar="CMD|SOCKET", help="A command that prints a batch, or its socket or folder."),
    ] = None,
    new: Annotated[
        str,
        typer.Option("--new", metavar="SYSTEM", help="NAME or NAMESPACE/NAME in a cluster, URL, socket, or `local`."),
    ] = "local",
    sessions: Annotated[int, typer.Option("--sessions", min=1, max=500, help="Sessions that have to agree.")] = 20,
    symbols: Annotated[
        str | None, typer.Option("--symbols", metavar="A,B", help="Shares; else those that the new system declares.")
    ] = None,
    calendar: Annotated[str, typer.Option("--calendar", help="The exchange.")] = "XASX",
    lead: Annotated[int, typer.Option("--before-open", min=0, max=600, help="Minutes before the open to ask.")] = 15,
    state: Annotated[Path, typer.Option("--state", metavar="FILE", help="Where both answers are kept.")] = Path(
        "compare.db"
    ),
    tolerances: Annotated[
        Path | None, typer.Option("--tolerances", metavar="FILE", help="How far they may be apart, as YAML.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write the report as a page, too.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Ask now, for the session that is next or on, and end.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Ask nobody: judge what was kept.")] = False,
    token: Annotated[str | None, typer.Option("--token", help="The gateway's token.")] = None,
    output: Format = Output.text,
) -> None:
    """Ask the old system and the new one for the same instant, session by session, and say when to switch.

        bellwether compare --old /tmp/old --new asx-banks --sessions 20
        bellwether compare --old "python run_predictions.py --json" --once
        bellwether compare --old /tmp/old --new asx-banks --report --page compare.html

    It waits for each session, keeps both answers with their inputs, and may be
    ended and started again at any time; --once is for a timer of your own.
    What the new system is asked for leads to no order. Differences are judged
    by --tolerances: input differs, logic differs, or a side did not answer.

    Ends with 0 when it is safe to switch, 1 when not, 3 when too few sessions
    are compared yet.
    """
    if calendar not in CALENDARS:
        raise CommandError(f"--calendar {calendar!r}: there are {', '.join(CALENDARS)}")
    allowed = _tolerances(tolerances)
    if report and not state.exists():
        raise CommandError(f"--state {state}: there is no such file; `compare` without --report makes it")
    kept = State(state)
    if not report:
        if old is None:
            raise CommandError("--old is missing: a command that prints a batch as JSON, or the folder of its sockets")
        sides = (old_side(old), new_side(new, lambda name: _client(name, token)))
        wanted = Comparison(old, new, calendar, tuple(_symbols(symbols, sides[1], kept)))
        kept.begin(wanted)
        with in_words(CalendarError):
            if once:
                _now(kept, sides, wanted)
            else:
                _gather(kept, sides, wanted, timedelta(minutes=lead), sessions)
    what = kept.comparison()
    if what is None:
        raise CommandError(f"{state}: nothing was compared yet")
    compared = [one for sample in kept.samples() for one in comparison.compare(sample, what.symbols, allowed)]
    verdict = judge(compared, sessions, allowed)
    if html is not None:
        _write(html, page(f"{what.old} and {what.new}", compared, verdict))
    write_answer(output, as_json(compared, verdict), _lines(compared, verdict))
    raise SystemExit(_EXIT[verdict.state])


def _client(name: str, token: str | None) -> Client:
    if name == "local":
        return make_client(Target(token=token))
    if name.startswith(("http://", "https://")):
        return make_client(Target(url=name, token=token))
    return make_client(target_of(None, token, name, None))


def _tolerances(path: Path | None) -> Tolerances:
    if path is None:
        return Tolerances()
    try:
        return read_tolerances(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise CommandError(f"{path}: {error}") from error


def _symbols(given: str | None, side: Side, kept: State) -> list[str]:
    if given is not None:
        found = [one.strip() for one in given.split(",") if one.strip()]
    elif (before := kept.comparison()) is not None:
        found = list(before.symbols)
    elif isinstance(side, GatewaySide):
        found = side.symbols()
    else:
        raise CommandError("--symbols is missing: a socket does not say which shares are declared; write CBA.AX,BHP.AX")
    if not found:
        raise CommandError("--symbols: there is none; write CBA.AX,BHP.AX")
    return found


def _now(kept: State, sides: tuple[Side, Side], what: Comparison) -> None:
    """Ask both now, unless the session was asked about already."""
    day = meant_session(load_calendar(what.calendar), datetime.now(UTC)).day
    if kept.has(day):
        say(f"{day} was asked about already: its first answers count")
    else:
        say(_in_words(ask_both(kept, day, sides, what.symbols, time.sleep)))


def _gather(kept: State, sides: tuple[Side, Side], what: Comparison, lead: timedelta, sessions: int) -> None:
    """Ask both before each open until as many sessions as are wanted are kept."""
    calendar = load_calendar(what.calendar)
    while len(kept.samples()) < sessions:
        day, at = next_session_time(calendar, lead, datetime.now(UTC), kept.has)
        say(f"next: session {day}, asked at {at:%Y-%m-%d %H:%M} UTC")
        _wait(at)
        say(_in_words(ask_both(kept, day, sides, what.symbols, time.sleep)))


def _wait(until: datetime) -> None:
    while (left := (until - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, _LONGEST_SLEEP))


def _in_words(sample: Sample) -> str:
    sides = {"old": sample.old, "new": sample.new}
    lines = [f"the {side} system: {one['error']}" for side, one in sides.items() if "error" in one]
    return f"{sample.session}: {'; '.join(lines) or 'both answered'}"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--page {path}: {error.strerror}") from error


def _lines(compared: list[Compared], verdict: Verdict) -> list[str]:
    found = [one for pair in compared for one in pair.differences]
    lines = [f"{one.session}  {one.symbol:<10} {one.kind:<12} {one.words}" for one in found[-_MOST_SHOWN:]]
    if len(found) > _MOST_SHOWN:
        lines.insert(0, f"{len(found) - _MOST_SHOWN} older differences: -o json and --page have all")
    equal = sum(one.equal_decisions is True for one in compared)
    lines.append(f"{len(compared)} answers of {verdict.sessions} sessions, {equal} with equal decisions")
    lines.append(f"to switch is {verdict.state} ({verdict.sessions} of {verdict.wanted} sessions)")
    return [*lines, *(f"  {one}" for one in verdict.reasons)]
