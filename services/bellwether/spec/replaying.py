"""What a TradingReplay replays: of a system's declaration the parts that decide, over a span of history. Pure.

What only runs a system is left out: volumes, pods, notifications, backups, halts. News is left out too, since a live
system's headlines are not kept as a file that a replay could read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bellwether.spec.models import API_VERSION, KIND
from bellwether.spec.trading_replay import TradingReplaySpec
from bellwether.spec.validate import validate
from bellwether.spec.vary import Variant, Varied, VaryError, changed, variant_name, variants

DECIDES = ("data", "market", "predictions", "quality", "symbols", "tasks", "trading", "training")
"""The parts of a declaration that a replay takes; only they can be varied."""
BARS_FOLDER = "bars"
"""Where the bars of a system are put before its declaration is replayed, relative to the declaration."""
Source = Literal["image", "system"]
"""Where bars come from: recorded ones with the product, or the running system."""
_SEVERAL = 3


class Span(NamedTuple):
    """The days that are replayed; without a last one, as far as there are bars."""

    first: str
    last: str | None = None


class Refused(ValueError):
    """A replay that cannot be made; the message says of which field and value, and what would be right."""


def source_of(declaration: Mapping[str, Any]) -> Source:
    """Return where a declaration's bars come from."""
    return "image" if (declaration.get("spec") or {}).get("data", {}).get("provider") == "replay" else "system"


def replay_document(declaration: Mapping[str, Any], span: Span, variant: Variant = ()) -> dict[str, Any]:
    """Return the TradingSystem, as plain data, that replays a declaration with these changes.

    Raises:
        Refused: when a change is none, or makes a declaration that is refused for its structure.
    """
    for change in variant:
        part = change.path.removeprefix("spec.").partition(".")[0].partition("[")[0]
        if part not in DECIDES:
            raise Refused(f"spec.vary {change.path}: {part} decides nothing; {', '.join(DECIDES)} can be varied")
    plain = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": declaration["metadata"]["name"]}}
    spec = copy.deepcopy(dict(declaration.get("spec") or {}))
    try:
        found = changed({**plain, "spec": _replayed(spec, span)}, variant)
    except VaryError as error:
        raise Refused(f"spec.{error}") from error
    problems = validate(found, rules=False)
    if problems:
        shown = "; ".join(map(str, problems[:_SEVERAL]))
        raise Refused(f"spec.vary {variant_name(variant)}: {shown}" if variant else f"the declaration: {shown}")
    return found


def all_variants(spec: TradingReplaySpec) -> list[Variant]:
    """Return what is changed in each replay, in the order of their indexes; nothing in the first.

    Raises:
        Refused: when they are too many, or a path stands there twice.
    """
    try:
        return variants([Varied(one.path, tuple(one.values)) for one in spec.vary])
    except VaryError as error:
        raise Refused(f"spec.{error}") from error


def problem_of(declaration: Mapping[str, Any], span: Span, found: Sequence[Variant]) -> str | None:
    """Return why a declaration cannot be replayed with these variants; None when it can, as far as is known here."""
    try:
        for variant in found:
            replay_document(declaration, span, variant)
    except Refused as error:
        return str(error)
    return None


def _replayed(spec: dict[str, Any], span: Span) -> dict[str, Any]:
    found = {name: spec[name] for name in DECIDES if name in spec}
    found["clock"] = {"mode": "replay", "from": span.first, **({"to": span.last} if span.last else {}), "pace": "0s"}
    data = found.get("data") or {}
    if data.get("provider") != "replay":
        found["data"] = {"provider": "csv", "csv": {"directory": BARS_FOLDER, "prices": "raw", "delay": "0s"}}
    trading = dict(found.get("trading") or {})
    trading |= {"mode": "simulated"} if trading.get("mode") == "ig-demo" else {}
    found["trading"] = {name: value for name, value in trading.items() if name not in ("brokerSecretRef", "halted")}
    training = found.get("training") or {}
    found["training"] = {name: value for name, value in training.items() if name != "job"}
    return found
