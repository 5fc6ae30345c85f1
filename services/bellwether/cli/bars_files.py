"""`bellwether bars FILE…`: what would be read from files of daily bars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bellwether.cli.client import CommandError
from bellwether.market.sessions import Calendar, CalendarError, load_calendar
from bellwether.market_data.actions import Action
from bellwether.market_data.csv_files import latest_day, read_bars, read_unchanging
from bellwether.market_data.csv_forms.reading import Found, Options
from bellwether.market_data.intake import read_statement
from bellwether.market_data.rows import Loaded, SourceError, SourceRow
from bellwether.spec.data import CsvData

_LISTED = 12
_PRICES = {
    "raw": "as traded",
    "splitAdjusted": "restated after later splits",
    "adjusted": "restated after later splits and dividends",
    None: "beside adjusted closes, which tell splits and dividends",
}


@dataclass(frozen=True)
class Asked:
    """What a person asked for beside the files."""

    calendar: str | None = None
    prices: str | None = None
    dates: str | None = None
    max_odd_rows: str = "0.05"


@dataclass(frozen=True)
class CalendarCheck:
    """What of a file does not fit an exchange's calendar."""

    name: str
    gaps: tuple[date, ...]
    closed: tuple[date, ...]
    outside: int


@dataclass(frozen=True)
class Look:
    """What would be read from one file, or why it would be refused."""

    file: Path
    symbol: str
    refusal: str = ""
    found: Found | None = None
    actions: tuple[Action, ...] = ()
    check: CalendarCheck | None = None
    held: str = ""


def look(files: Sequence[Path], asked: Asked) -> list[Look]:
    """Return what would be read from each file.

    Raises:
        CommandError: when an option is not right.
    """
    declared, calendar = _declared(asked), _calendar(asked.calendar)
    options = Options(
        today=latest_day(),
        prices=declared.prices,
        order=declared.dates,
        most_odd=float(declared.max_odd_rows),
        zone=None if calendar is None else calendar.timezone,
    )
    return [_look(file, options, calendar) for file in files]


def _declared(asked: Asked) -> CsvData:
    values = {"directory": ".", "prices": asked.prices, "dates": asked.dates, "maxOddRows": asked.max_odd_rows}
    try:
        return CsvData.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = re.sub(r"([A-Z])", r"-\1", str(first["loc"][0])).lower()
        raise CommandError(f"--{option} {first['input']}: {first['msg']}") from error


def _calendar(name: str | None) -> Calendar | None:
    try:
        return None if name is None else load_calendar(name.upper())
    except CalendarError as error:
        raise CommandError(f"--calendar: {error}") from error


def _look(file: Path, options: Options, calendar: Calendar | None) -> Look:
    symbol = file.name.removesuffix(".csv")
    try:
        content, _ = read_unchanging(file)
        found = read_bars(content, symbol, str(file), options)
    except SourceError as error:
        return Look(file, symbol, refusal=str(error))
    check = None if calendar is None else _check(found.rows, calendar)
    at = datetime.now(UTC)
    loaded = Loaded(found.rows, str(file), "", at, found.split_adjusted, found.states_actions, found.odd)
    reading = read_statement(loaded, calendar)
    held = "" if reading.hold is None else f"from {reading.hold.since} on: {reading.hold.code}: {reading.hold.message}"
    return Look(file, symbol, "", found, reading.actions, check, held)


def _check(rows: Sequence[SourceRow], calendar: Calendar) -> CalendarCheck:
    days = [row.session for row in rows]
    inside = [day for day in days if calendar.first_day <= day <= calendar.last_day]
    if not inside:
        return CalendarCheck(calendar.name, (), (), len(days))
    expected = {session.day for session in calendar.sessions(inside[0], inside[-1])}
    return CalendarCheck(
        calendar.name,
        tuple(sorted(expected - set(inside))),
        tuple(day for day in inside if day not in expected),
        len(days) - len(inside),
    )


def as_lines(one: Look) -> list[str]:
    """Return what a person reads of one file."""
    if one.found is None:
        return [f"{one.file}: refused", f"  {one.refusal}"]
    found, rows = one.found, one.found.rows
    splits = [action for action in one.actions if action.kind == "split"]
    dividends = [action for action in one.actions if action.kind == "dividend"]
    how = "stated" if found.states_actions else "inferred"
    lines = [
        f"{one.file}: {one.symbol}, {found.form}",
        f"  sessions   {len(rows)}, {rows[0].session} to {rows[-1].session}",
        f"  prices     {_PRICES[found.prices]}; the last close is {rows[-1].close:g}",
        f"  splits     {_shown([f'{one.session} {one.ratio:g}:1' for one in splits]) or 'none'} ({how})",
        f"  dividends  {_shown([f'{one.session} {one.amount:g}' for one in dividends]) or 'none'} ({how})",
    ]
    if one.held:
        lines.append(f"  held back  {one.held}")
    if one.check is not None:
        lines += _check_lines(one.check)
    lines += [
        f"  left out   {row.where.rpartition(', ')[2]}: {row.message} ({row.code})" for row in found.odd[:_LISTED]
    ]
    flagged = [row for row in rows if row.flags]
    lines += [
        f"  kept       {row.where.rpartition(', ')[2]}, {row.session}: {', '.join(row.flags)}"
        for row in flagged[:_LISTED]
    ]
    for count, words in ((len(found.odd), "left out"), (len(flagged), "flagged")):
        if count > _LISTED:
            lines.append(f"  and {count - _LISTED} more that are {words}")
    return lines


def _check_lines(check: CalendarCheck) -> list[str]:
    lines = [f"  {check.name:<10} {len(check.gaps)} sessions without a row{_listed(check.gaps)}"]
    if check.closed:
        lines.append(f"  {'':<10} {len(check.closed)} rows on days without a session{_listed(check.closed)}")
    if check.outside:
        lines.append(f"  {'':<10} {check.outside} rows outside of the calendar's table")
    return lines


def _listed(days: Sequence[date]) -> str:
    return f": {_shown([day.isoformat() for day in days])}" if days else ""


def _shown(words: Sequence[str]) -> str:
    if len(words) <= _LISTED:
        return ", ".join(words)
    return f"{len(words) - _LISTED} earlier, {', '.join(words[-_LISTED:])}"


def as_json(one: Look) -> dict[str, Any]:
    """Return what a program reads of one file."""
    answer: dict[str, Any] = {"file": str(one.file), "symbol": one.symbol, "refused": one.refusal or None}
    if one.found is None:
        return answer
    found = one.found
    answer |= {
        "form": found.form,
        "prices": found.prices,
        "held_back": one.held or None,
        "sessions": len(found.rows),
        "first": found.rows[0].session.isoformat(),
        "last": found.rows[-1].session.isoformat(),
        "actions": [
            {"session": action.session.isoformat(), "kind": action.kind}
            | ({"ratio": action.ratio} if action.kind == "split" else {"amount": action.amount})
            for action in one.actions
        ],
        "left_out": [
            {
                "where": row.where,
                "session": row.session and row.session.isoformat(),
                "code": row.code,
                "message": row.message,
            }
            for row in found.odd
        ],
        "flagged": [
            {"where": row.where, "session": row.session.isoformat(), "flags": list(row.flags)}
            for row in found.rows
            if row.flags
        ],
    }
    if one.check is not None:
        answer["calendar"] = {
            "name": one.check.name,
            "gaps": [day.isoformat() for day in one.check.gaps],
            "without_session": [day.isoformat() for day in one.check.closed],
            "outside": one.check.outside,
        }
    return answer
