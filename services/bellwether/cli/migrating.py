"""`bellwether migrate`: coming from the old system."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from bellwether.cli import old_data
from bellwether.cli.client import CommandError, in_words, of_file
from bellwether.cli.options import Format, Output, day_of, write_answer
from bellwether.market.sessions import CalendarError, load_calendar
from bellwether.migrate.crontab import Judgement, Wrong, judge, read
from bellwether.spec.exchanges import CALENDARS

app = typer.Typer(no_args_is_help=True, help="Come from the old system: its data, its crontab.")
_SHOWN = 12
_IN_WORDS = {
    Wrong.closed: "although the exchange was closed",
    Wrong.hour: "at another hour than usual (summer time)",
    Wrong.half_day: "after the early close of a half day",
}


old_data.add(app)


@app.command()
def cron(
    file: Annotated[Path, typer.Argument(help="A crontab: what `crontab -l` prints.")],
    *,
    calendar: Annotated[str, typer.Option("--calendar", help="The exchange.")] = "XASX",
    timezone: Annotated[
        str, typer.Option("--timezone", help="The zone of the machine that ran it, such as UTC or Australia/Sydney.")
    ] = "UTC",
    since: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day; else a year ago.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day; else in a year.")] = None,
    with_user: Annotated[
        bool, typer.Option("--with-user", help="The file has a user column, as /etc/crontab.")
    ] = False,
    output: Format = Output.text,
) -> None:
    """Say on which days each line of a crontab ran, or will run, at a wrong time, and which task replaces it.

    crontab -l > old.cron
    bellwether migrate cron old.cron --timezone UTC

    Ends with 1 when a line cannot be read.
    """
    if calendar not in CALENDARS:
        raise CommandError(f"--calendar {calendar!r}: there are {', '.join(CALENDARS)}")
    today = datetime.now(UTC).date()
    first = day_of("--from", since) or today - timedelta(days=365)
    last = day_of("--to", until) or today + timedelta(days=365)
    if first > last:
        raise CommandError(f"--from {first} is after --to {last}")
    with of_file(file):
        text = file.read_text(encoding="utf-8")
    lines, odd = read(text, _zone(timezone), with_user=with_user)
    with in_words(CalendarError):
        judged = [judge(line, load_calendar(calendar), first, last) for line in lines]
    left = [{"line": one.number, "text": one.text, "why": one.why} for one in odd]
    answer = {"from": str(first), "to": str(last), "lines": [_as_json(one) for one in judged], "odd": left}
    complaints = [f"line {one.number}: {one.why}: {one.text}" for one in odd]
    write_answer(output, answer, [*_as_text(judged, first, last), *complaints])
    raise SystemExit(1 if odd else 0)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise CommandError(f"--timezone {name!r}: there is no such zone; write UTC or Australia/Sydney") from None


def _task(one: Judgement) -> str:
    minutes = int(one.replacement.offset.total_seconds()) // 60
    output = f"{minutes:+d} min" if minutes else "at once"
    return f"{one.replacement.name} ({output} from the {one.replacement.anchor})"


def _as_text(judged: list[Judgement], first: date, last: date) -> list[str]:
    output = [f"{first} to {last}, {len(judged)} jobs"]
    for one in judged:
        usual = "several times a day" if one.usual is None else f"usually {one.usual:%H:%M} at the exchange"
        output += ["", f"line {one.line.number}: {one.line.schedule}  {one.line.command}"]
        output.append(f"  {one.runs:,} runs, {usual}; replaced by {_task(one)}")
        counts = Counter(fault.wrong for fault in one.faults)
        for wrong, count in counts.items():
            days = sorted({str(fault.day) for fault in one.faults if fault.wrong is wrong})
            more = f" and {len(days) - _SHOWN} more days" if len(days) > _SHOWN else ""
            output.append(f"  {count:,} {_IN_WORDS[wrong]}: {', '.join(days[:_SHOWN])}{more}")
        if not one.faults:
            output.append("  no run at a wrong time")
    return output


def _as_json(one: Judgement) -> dict[str, Any]:
    return {
        "line": one.line.number,
        "schedule": one.line.schedule,
        "command": one.line.command,
        "runs": one.runs,
        "usual": None if one.usual is None else f"{one.usual:%H:%M}",
        "task": {
            "name": one.replacement.name,
            "anchor": one.replacement.anchor,
            "offset_minutes": int(one.replacement.offset.total_seconds()) // 60,
        },
        "faults": [
            {"at": fault.at.isoformat(), "day": str(fault.day), "time": f"{fault.clock:%H:%M}", "wrong": fault.wrong}
            for fault in one.faults
        ],
    }
