"""A plan as a person likes to read it: what changes, when, and which pods feel it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bellwether.change.compare import FieldChange
from bellwether.change.predicted import Declared, Effect, Plan, Restart, SlotChange
from bellwether.change.steps import Drift, Step, Wait
from bellwether.change.world import CONFIG_MAP

_MARKS = {
    "create": ("+", "green"),
    "adopt": ("+", "green"),
    "change": ("~", "yellow"),
    "remake": ("±", "yellow"),
    "replace": ("±", "yellow"),
    "delete": ("-", "red"),
}
_EFFECTS = {
    Effect.LIVE: ("live, no restart", "green"),
    Effect.PODS: ("new pods", "yellow"),
    Effect.OBJECTS: ("no restart", "green"),
    Effect.OPERATOR: ("how it is looked after", "dim"),
}
_VERBS = {"start": ("+", "green"), "stop": ("-", "red"), "restart": ("↻", "yellow")}
_LINE_LENGTH = 70
_VALUE_LENGTH = 44
_FIELDS_SHOWN = 4
_NAMES_SHOWN = 3
_SLOTS_SHOWN = 8


def draw(found: Plan) -> RenderableType:
    """Return a plan to be printed."""
    parts: list[RenderableType] = [_head(found)]
    if found.declared:
        parts += [_title("Declaration"), _declared(found.declared)]
    for wait, steps in groupby(found.steps, key=lambda step: step.wait):
        parts += [_title(f"Objects {_when(found, wait)}"), _steps(steps)]
        pods = [one for one in found.restarts if one.wait == wait]
        parts += [_pods(pods)] if pods else []
    if found.slots:
        parts += [_title("Tasks"), _slots(found)]
    if found.drift:
        parts += [_title("Not as declared now; the operator puts it right"), _drift(found.drift)]
    parts += [Text(), *(_note(line) for line in found.notes), _sum(found)]
    return Group(*parts)


def _head(found: Plan) -> Text:
    session = "in a replay" if found.session is None else f"session open until {_clock(found, found.session.close)}"
    if found.session is None and found.time_zone != "UTC":
        session = "no session open"
    new = "  new" if found.created else ""
    return Text.assemble(
        (f"{found.namespace}/{found.system}", "bold"),
        (new, "green"),
        (f"  {_local_time(found, found.at)}, {session}", "dim"),
    )


def _title(words: str) -> Text:
    return Text(f"\n{words}", style="bold")


def _grid(*rows: Sequence[RenderableType]) -> Padding:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _declared(found: Iterable[Declared]) -> Padding:
    rows = []
    for one in found:
        mark, style = _mark_of(one.change)
        words, colour = _EFFECTS[one.effect]
        path = one.change.path.removeprefix("spec.")
        rows.append((Text(mark, style=style), Text(path), _values(one.change), Text(words, style=colour)))
    return _grid(*rows)


def _mark_of(change: FieldChange) -> tuple[str, str]:
    return _MARKS["create" if change.old is None else "delete" if change.new is None else "change"]


def _values(change: FieldChange) -> Text:
    old, new = change.old, change.new
    if isinstance(old, list) and isinstance(new, list) and all(isinstance(each, str) for each in (*old, *new)):
        added, gone = [each for each in new if each not in old], [each for each in old if each not in new]
        if added or gone:
            return Text(" ").join(
                [*(Text(f"+{each}", "green") for each in added), *(Text(f"-{each}", "red") for each in gone)]
            )
    if isinstance(old, str) and isinstance(new, str):
        if "\n" in old + new:
            return _lines(old, new)
        if change.path.endswith("schedule"):
            return _schedule(old, new)
    if old is None:
        return Text(_short(new), style="green")
    if new is None:
        return Text(_short(old), style="red")
    return Text.assemble((_short(old), "dim"), " → ", _short(new))


def _schedule(old: str, new: str) -> Text:
    """Return which days of the month a schedule gains and loses; the whole of it where something else changes."""
    was, is_to_be = old.split(), new.split()
    if len(was) != 5 or len(is_to_be) != 5 or was[:2] + was[3:] != is_to_be[:2] + is_to_be[3:]:
        return Text.assemble((_short(old), "dim"), " → ", _short(new))
    days, wanted = was[2].split(","), is_to_be[2].split(",")
    written = [Text(f"+{day}", "green") for day in wanted if day not in days]
    written += [Text(f"-{day}", "red") for day in days if day not in wanted]
    return Text(" ").join([Text("days"), *written])


def _lines(old: str, new: str) -> Text:
    """Return the lines in which two texts differ."""
    changed = [line for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line[:1] in "+-"]
    shown = [
        Text(f"{line[0]} {_short(line[1:].strip())}", style="green" if line[0] == "+" else "red") for line in changed
    ]
    more = len(shown) - _FIELDS_SHOWN
    return Text("\n").join([*shown[:_FIELDS_SHOWN], *([Text(f"and {more} lines more", "dim")] if more > 0 else [])])


def _short(value: Any) -> str:
    """Return a value in one line; of a long one its beginning and its end, since images differ at the end."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = text if isinstance(value, str) else text.replace('"', "")
    if len(text) <= _VALUE_LENGTH:
        return text or '""'
    return f"{text[: _VALUE_LENGTH // 3]}…{text[-(_VALUE_LENGTH * 2 // 3 - 1) :]}"


def _steps(steps: Iterable[Step]) -> Padding:
    """Return the steps, those that do the same to several objects of a kind in one row."""
    rows: dict[tuple[str, str, str], tuple[list[str], Text]] = {}
    for step in steps:
        what = _what(step)
        names, _ = rows.setdefault((step.action, step.kind, what.plain), ([], what))
        names.append(step.name)
    table = []
    for (action, kind, _), (names, what) in rows.items():
        mark, style = _MARKS[action]
        count = "" if len(names) == 1 else f" ×{len(names)}"
        table.append((Text(mark, style=style), Text(f"{kind}{count}", style="cyan"), _with(_names(names), what)))
    return _grid(*table)


def _names(names: Sequence[str]) -> Text:
    more = len(names) - _NAMES_SHOWN
    written = ", ".join(names[:_NAMES_SHOWN])
    return Text(f"{written} and {more} more" if more > 0 else written)


def _with(names: Text, what: Text) -> Text:
    """Return names and what is done with them, in one line where both are short."""
    if not what.plain:
        return names
    one_line = "\n" not in what.plain and len(names) + len(what) < _LINE_LENGTH
    return Text("  " if one_line else "\n").join([names, what])


def _what(step: Step) -> Text:
    """Return what is done with an object, below its name."""
    words = {
        "adopt": "kept from an earlier system of this name, and taken over",
        "remake": "deleted and made again",
        "replace": f"in place of {step.replaces}, which goes when no pod uses it",
    }.get(step.action)
    if step.kind == CONFIG_MAP and step.name.endswith("-declaration") and step.action == "change":
        return Text("the start value: the declaration above", style="dim")
    words = words if step.source is None else f"made from {step.source}"
    lines = [Text(words, style="dim")] if words else []
    fields = dict.fromkeys(_field(change) for change in step.fields)
    lines += [Text.assemble((f"{path} ", "dim"), value) for path, value in list(fields)[:_FIELDS_SHOWN]]
    if len(fields) > _FIELDS_SHOWN:
        lines.append(Text(f"and {len(fields) - _FIELDS_SHOWN} fields more (-o json)", style="dim"))
    return Text("\n").join(lines)


class _Value(Text):
    """Text that is equal to another one that reads the same."""

    def __hash__(self) -> int:
        return hash(self.plain)


def _field(change: FieldChange) -> tuple[str, Text]:
    path = change.path.removeprefix("spec.").removeprefix("jobTemplate.spec.").removeprefix("template.")
    path = path.removeprefix("spec.")
    head, closed, rest = path.partition("].")
    if closed and head.partition("[")[0] in {"containers", "initContainers"}:
        path = rest
    value = _Value()
    value.append_text(_values(change))
    return path, value


def _pods(found: Iterable[Restart]) -> Padding:
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in found:
        rows.setdefault((one.verb, one.why), []).extend(one.pods)
    table = []
    for (verb, why), names in rows.items():
        mark, style = _VERBS[verb]
        reason = Text(f"for {', '.join(why[:_FIELDS_SHOWN])}", style="dim") if why else Text()
        table.append(
            (Text(mark, style=style), Text(f"{verb} pods ×{len(names)}", style="bold"), _with(_names(names), reason))
        )
    return _grid(*table)


def _slots(found: Plan) -> Padding:
    """Return the runs of tasks that come at other times, those with the same two times of day in one row."""
    runs: dict[tuple[str, str, str], list[SlotChange]] = {}
    for one in found.slots:
        runs.setdefault((one.task, _clock(found, one.old), _clock(found, one.new)), []).append(one)
    rows = [_slot(*key, changed) for key, changed in list(runs.items())[:_SLOTS_SHOWN]]
    more = len(runs) - _SLOTS_SHOWN
    if more > 0:
        rows.append((Text(), Text(f"and {more} more (-o json)", style="dim"), Text(), Text()))
    return _grid(*rows)


def _slot(task: str, old: str, new: str, changed: Sequence[SlotChange]) -> tuple[Text, Text, Text, Text]:
    mark, style = _MARKS["create" if not old else "delete" if not new else "change"]
    first, last = changed[0].session, changed[-1].session
    days = f"{first:%a %d %b %Y}" if len(changed) == 1 else f"{len(changed)} sessions, {first:%d %b} to {last:%d %b %Y}"
    words = Text(old, style="dim").append(f" → {new or 'not due'}", "") if old else Text(f"due {new}", style="green")
    return Text(mark, style=style), Text(task), Text(days, style="dim"), words


def _drift(found: Iterable[Drift]) -> Padding:
    rows = []
    for one in found:
        what = Text("is missing and is made again", style="red")
        if one.problem == "changed":
            lines = [
                Text.assemble((f"{change.path} ", "dim"), _values(change)) for change in one.fields[:_FIELDS_SHOWN]
            ]
            what = Text("\n").join(lines)
        rows.append((Text("!", style="bold red"), Text(one.kind, style="cyan"), Text(one.name), what))
    return _grid(*rows)


def _note(line: str) -> Text:
    return Text(f"note: {line}", style="yellow")


def _when(found: Plan, wait: Wait | None) -> str:
    if wait is None:
        return "at once"
    what = "at the close" if wait.for_ == "session" else "when the pause is over"
    return f"{what}, {_local_time(found, wait.until)}"


def _local_time(found: Plan, at: datetime) -> str:
    """Return an instant as clocks at the exchange show it, and in UTC."""
    local, utc = at.astimezone(ZoneInfo(found.time_zone)), at.astimezone(UTC)
    if found.time_zone == "UTC":
        return f"{utc:%a %d %b %Y %H:%M} UTC"
    day = "" if utc.date() == local.date() else f"{utc:%d %b} "
    return f"{local:%a %d %b %Y %H:%M %Z} ({day}{utc:%H:%M} UTC)"


def _clock(found: Plan, at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(ZoneInfo(found.time_zone)):%H:%M %Z}"


def _sum(found: Plan) -> Text:
    if found.empty:
        return Text("Nothing to do: everything is as declared.", style="green")
    counts = []
    for words, actions in (
        ("to make", {"create", "adopt"}),
        ("to change", {"change", "remake", "replace"}),
        ("to delete", {"delete"}),
    ):
        count = sum(step.action in actions for step in found.steps)
        counts += [f"{count} {words}"] if count else []
    for verb in ("start", "restart", "stop"):
        count = sum(len(one.pods) for one in found.restarts if one.verb == verb)
        counts += [f"{count} pods {verb}" if count > 1 else f"1 pod {verb}s"] if count else []
    if found.drift:
        counts.append(f"{len(found.drift)} to put right")
    if not found.restarts:
        counts.append("no pod restarts")
    return Text(", ".join(counts) + ".", style="bold")
