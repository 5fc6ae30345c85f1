"""A first mapping, made by looking at the old tables: a person reads and mends it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from bellwether.migrate.mapping import ACTIONS, FIELDS, NEEDED, Kind, Unfit, action, instant
from bellwether.migrate.sqlite_pages import Value

_NAMES = {
    "symbol": ("symbol", "ticker", "share", "stock", "code", "epic", "instrument", "market"),
    "at": (
        *("timestamp", "prediction_timestamp", "prediction_time", "predicted_at", "entry_time", "opened_at"),
        *("entry_timestamp", "executed_at", "trade_time", "created_at", "datetime", "time", "date"),
    ),
    "action": ("action", "predicted_action", "optimal_action", "signal", "recommendation", "direction", "side", "type"),
    "quantity": ("quantity", "qty", "shares", "size", "position_size", "deal_size", "volume"),
    "price": ("entry_price", "price", "current_price", "level", "open_level", "fill_price", "price_at_prediction"),
    "probability": ("probability", "prob", "predicted_probability", "probability_up"),
    "confidence": ("confidence", "action_confidence", "confidence_score", "prediction_confidence", "ml_confidence"),
    "model": ("model", "model_name", "model_version"),
    "prediction_id": ("prediction_id", "feature_id"),
    "order_id": ("order_id", "deal_id", "ig_order_id", "deal_reference", "trade_id"),
    "status": ("status", "state"),
    "closed_at": ("exit_time", "closed_at", "exit_timestamp", "close_time"),
    "close_price": ("exit_price", "close_price", "close_level", "price_after"),
    "profit": ("profit", "pnl", "profit_loss", "realized_pnl", "profit_and_loss"),
    "return_percent": ("return_pct", "return_percent", "actual_return", "outcome_return", "percent_return"),
    "correct": ("correct", "was_correct", "success", "is_correct", "direction_correct"),
}
"""What the old columns may be called, the surest name first."""
_KINDS = (
    (Kind.outcome, ("outcome", "result", "evaluation")),
    (Kind.trade, ("trade", "position", "order", "deal")),
    (Kind.prediction, ("prediction", "signal", "forecast")),
)
_FEW = 0.5
"""A column whose values are of the right kind less often than this is not proposed."""


@dataclass(frozen=True)
class Look:
    """An old table as it was looked at: its file, columns, number of rows and a few of them."""

    file: str
    table: str
    columns: Sequence[str]
    rows: int
    sample: Sequence[Mapping[str, Value]]


@dataclass(frozen=True)
class Proposed:
    """What an old table seems to be; `why` is set where it is left."""

    look: Look
    kind: Kind | None
    columns: Mapping[str, str]
    actions: Sequence[str]
    """Words that are no action here: a person has to say what they mean."""
    why: str | None


def propose(look: Look) -> Proposed:
    """Return what a table seems to hold: by its name and its columns' names, kept where the sample's values fit."""
    kind = _kind(look)
    columns: dict[str, str] = {}
    taken: set[str] = set()
    for name in FIELDS:
        column = next((one for one in _candidates(name, look) if one not in taken and _fits(name, one, look)), None)
        if column is not None:
            columns[name] = column
            taken.add(column)
    if look.rows == 0:
        return Proposed(look, None, {}, (), "it has no rows")
    if kind is None:
        return Proposed(look, None, {}, (), "its name and columns say nothing of predictions, trades or outcomes")
    lacking = [name for name in NEEDED[kind] if name not in columns]
    if lacking:
        return Proposed(look, None, {}, (), f"it looks like a {kind}, and no column is its {' and '.join(lacking)}")
    return Proposed(look, kind, columns, _odd_actions(columns.get("action"), look), None)


def _kind(look: Look) -> Kind | None:
    for text in (look.table, look.file):
        for kind, words in _KINDS:
            if any(word in text.lower() for word in words):
                return kind
    return None


def _candidates(name: str, look: Look) -> list[str]:
    by_name = {column.lower(): column for column in look.columns}
    return [by_name[one] for one in _NAMES[name] if one in by_name]


def _fits(name: str, column: str, look: Look) -> bool:
    """Return whether the sample's values may be of that kind; an empty column may."""
    values = [row[column] for row in look.sample if row.get(column) not in (None, "")]
    if not values:
        return name not in ("symbol", "at", "action")
    return sum(_may_be(name, value) for value in values) >= _FEW * len(values)


def _may_be(name: str, value: Value) -> bool:
    if isinstance(value, bytes):
        return False
    if FIELDS[name] is float:
        try:
            float(str(value))
        except ValueError:
            return False
        return True
    if name in ("at", "closed_at"):
        try:
            instant(value, ZoneInfo("UTC"))
        except Unfit:
            return False
        return True
    if name == "symbol":
        return isinstance(value, str)
    return True


def _odd_actions(column: str | None, look: Look) -> list[str]:
    if column is None:
        return []
    odd: dict[str, None] = {}
    for row in look.sample:
        text = str(row.get(column) or "").strip()
        try:
            if text:
                action(text, {}, column)
        except Unfit:
            odd[text] = None
    return list(odd)


def as_yaml(source: str, found: Sequence[Proposed]) -> str:
    """Return proposals as the text of a mapping file, with what a person has to look at."""
    lines = [
        "# Proposed from the names of columns and a few rows: read it before you import by it.",
        f"source: {_quoted(source)}",
        "# Of instants that name no zone: what the old machine's clock showed.",
        "timezone: UTC",
        "tables:",
    ]
    kept = [one for one in found if one.kind is not None]
    for one in kept:
        lines.append(f"  - file: {_quoted(one.look.file)}")
        lines.append(f"    table: {_quoted(one.look.table)}   # {one.look.rows:,} rows")
        lines.append(f"    kind: {one.kind}")
        lines.append("    columns:")
        lines += [f"      {name}: {_quoted(column)}" for name, column in one.columns.items()]
        rest = [column for column in one.look.columns if column not in one.columns.values()]
        if rest:
            lines.append(f"    # kept as they are, under `extra`: {', '.join(rest)}".replace("\n", " "))
        if one.actions:
            lines.append(f"    # say what these words mean, else their rows are left: {', '.join(ACTIONS)}")
            lines += ["    # actions:", *(f"    #   {json.dumps(word)}: BUY" for word in one.actions)]
    if not kept:
        lines[-1] = "tables: []"
    left = [one for one in found if one.kind is None]
    if left:
        lines.append("leave:")
        for one in left:
            lines.append(f"  - file: {_quoted(one.look.file)}")
            lines.append(f"    table: {_quoted(one.look.table)}")
            lines.append(f"    why: {_quoted(one.why or '')}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text as a YAML scalar that is read back as this very text."""
    plain = text.replace("_", "").replace(".", "").replace("-", "").isalnum() and text[0].isalpha()
    word = text.lower() in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
    return text if plain and not word else json.dumps(text)
