"""Decisions with what they were made from, and news, for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bellwether.cli.show import prediction, short_time, table_of

NEGATIVE = -0.05
"""The score from which a headline is called bad; mirrored, good."""


def decision(found: dict[str, Any]) -> RenderableType:
    """Return one decision in words, with its features and the hash of its record."""
    made, lineage = found["prediction"], found.get("lineage") or {}
    features = _features(made, lineage.get("parts"))
    inputs = found.get("canonical", {}).get("inputs", {})
    parts: list[RenderableType] = [prediction(made), Text(f"record sha256 {found['sha256']}", style="dim"), Text()]
    parts += [_versions(inputs), Text(), features]
    if lineage:
        parts = [_steps(lineage["steps"]), Text(), *parts]
    if seen := (inputs.get("news") or {}).get("headlines"):
        parts += [Text(), headlines(seen)]
    return Group(*parts)


def _steps(steps: list[dict[str, Any]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for one in steps:
        table.add_row(Text(one["name"], style="dim"), Text(one["says"]))
    return table


_KINDS = {
    "exact": "log odds: exact",
    "replaced": "log odds: less with the training median instead",
    "unknown": "",
}


def _features(made: dict[str, Any], parts: dict[str, Any] | None) -> RenderableType:
    """Return the features, those that moved the probability most first where that is known."""
    known = [] if parts is None else parts["parts"]
    if parts is None or not known:
        table = table_of("feature", "value", right=("value",))
        for name, value in made["features"].items():
            table.add_row(name, f"{value:.6g}")
        return table
    kind = _KINDS[parts["kind"]]
    table = table_of("feature", "value", "usual", kind, right=("value", "usual", kind))
    for one in known:
        table.add_row(one["feature"], f"{one['value']:.6g}", f"{one['usual']:.6g}", f"{one['contribution']:+.4f}")
    table.add_row(Text("at the usual values", style="dim"), "", "", f"{parts['at_usual']:+.4f}")
    table.add_row(Text("this row", style="dim"), "", "", f"{parts['log_odds']:+.4f}")
    return table


def headlines(found: list[dict[str, Any]]) -> RenderableType:
    """Return headlines with their scores, newest first."""
    table = table_of("published (UTC)", "known from", "score", "source", "headline", right=("score",))
    for one in found:
        style = "red" if one["score"] <= NEGATIVE else "green" if one["score"] >= -NEGATIVE else ""
        score = Text(f"{one['score']:+.2f}", style=style)
        known = short_time(one["available_at"])
        table.add_row(short_time(one["published"]), known, score, Text(one["source"] or "-"), Text(one["title"]))
    return table


def _versions(inputs: dict[str, Any]) -> RenderableType:
    """Return which version of each input a decision was made from, and what was missing."""
    news, weight = inputs.get("news") or {}, inputs.get("news_weight")
    count = len(news.get("headlines", []))
    rows = {
        "bars": inputs.get("bars_revision"),
        "model": (inputs.get("model") or {}).get("version"),
        "quality": (inputs.get("quality") or {}).get("revision"),
        "news": f"{count} headlines, scored by {news.get('version') or 'an unnamed version'}" if news else None,
        "news weight": weight and f"{weight['weight']:g} of {weight['outcomes']} outcomes through {weight['through']}",
    }
    table = table_of("input", "version")
    for name, value in rows.items():
        why = inputs.get("missing", {}).get({"bars": "market_data", "news": "sentiment"}.get(name, name))
        if value or why:
            table.add_row(name, Text(str(value)) if value else Text(f"none: {why}", style="yellow"))
    return table


def news(found: dict[str, Any]) -> RenderableType:
    """Return what the news says of each symbol, the headlines where there is one symbol, and the source's state."""
    said, symbols = found["source"], found["news"]
    source = Text(f"source {said['provider']}: {said['state']}", style="dim")
    table = table_of(
        "symbol", "score", "confidence", "quality", "headlines", "", right=("score", "confidence", "quality")
    )
    for one in symbols:
        count, none = f"{len(one['headlines'])}, {one['duplicates']} repeated", one["sentiment_score"] is None
        score = Text("none", style="yellow") if none else Text(f"{one['sentiment_score']:+.2f}")
        confidence, quality = f"{one['news_confidence']:.2f}", f"{one['news_quality_score']:.2f}"
        table.add_row(one["symbol"], score, confidence, quality, count, Text(one["reason"]))
    if len(symbols) == 1 and symbols[0]["headlines"]:
        return Group(table, Text(), headlines(symbols[0]["headlines"]), Text(), source)
    return Group(table, Text(), source)
