"""A trace as a tree of spans in the words that matter, and traces as a table, for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from bellwether.cli.show import short, short_time, table_of

PREFIX = "bellwether."
_BORING = ("messaging.", "rpc.")


@dataclass
class Node:
    """A span and those below it, by their start."""

    span: dict[str, Any]
    children: list[Node] = field(default_factory=list)


def build_tree(spans: list[dict[str, Any]]) -> list[Node]:
    """Return the spans without a parent in the trace, each with what hangs below it."""
    nodes = {span["span_id"]: Node(span) for span in sorted(spans, key=lambda span: int(span["start_ns"]))}
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.span["parent_span_id"] or "")
        (parent.children if parent is not None and parent is not node else roots).append(node)
    return roots


def span_facts(span: dict[str, Any]) -> str:
    """Return the attributes that a person wants to see, as `name=value` in the order of their names."""
    attributes = span["attributes"]
    shown = [(key, value) for key, value in sorted(attributes.items()) if not key.startswith(_BORING)]
    return "  ".join(f"{key.removeprefix(PREFIX)}={_short(value)}" for key, value in shown)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "…"


def duration(milliseconds: float) -> str:
    """Return a length of time in the unit that reads best."""
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f} µs"
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1000:.2f} s"


def trace(found: dict[str, Any]) -> RenderableType:
    """Return a trace as a tree."""
    roots = build_tree(found["spans"])
    services = sorted({span["service"] for span in found["spans"]})
    tree = Tree(
        Text.assemble(
            ("trace ", "dim"), found["trace_id"], (f"  {len(found['spans'])} spans, {', '.join(services)}", "dim")
        ),
        guide_style="dim",
    )
    for root in roots:
        _grow(tree, root)
    return tree


def _grow(tree: Tree, node: Node) -> None:
    span = node.span
    label = Text.assemble(
        (f"{span['service']} ", "cyan"),
        (span["name"].removeprefix(span["service"] + "."), "bold red" if span["status"] == "error" else "bold"),
        (f"  {duration(span['duration_ms'])}", "yellow"),
    )
    if span["status_message"]:
        label.append(f"  {span['status_message']}", "red")
    facts = span_facts(span)
    if facts:
        label.append(f"\n{facts}", "dim")
    for link in span["links"]:
        label.append(f"\n↗ linked to trace {link['trace_id']}", "dim")
    branch = tree.add(label)
    for child in node.children:
        _grow(branch, child)


def traces(found: list[dict[str, Any]]) -> RenderableType:
    """Return traces, newest first."""
    if not found:
        return Text("no trace has arrived yet", style="dim")
    table = table_of("when (UTC)", "name", "spans", "took", "order", "services", "trace", right=("spans", "took"))
    for one in found:
        order = (
            "order" if one["has_order"] else "refused" if one["has_refusal"] else "error" if one["has_error"] else ""
        )
        took = duration(one["duration_ms"])
        who = escape(", ".join(one["services"]))
        table.add_row(
            short_time(one["start"]), one["name"], str(one["spans"]), took, order, who, short(one["trace_id"])
        )
    return table
