"""A trace as a tree of spans, in the words that matter. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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


def walk(nodes: list[Node], depth: int = 0) -> Iterator[tuple[int, Node]]:
    """Yield every node with its depth, parents before children."""
    for node in nodes:
        yield depth, node
        yield from walk(node.children, depth + 1)


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
