"""The comparison of old and new as one HTML page that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from bellwether.migrate.comparison import Compared, Verdict

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2330; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; }
th { border-bottom: 1px solid #9aa4b2; font-weight: 600; } tr:nth-child(even) td { background: #f3f5f8; }
.safe { color: #12683a; } .not-safe { color: #a31621; } .not-yet { color: #8a5a00; }
@media (prefers-color-scheme: dark) {
  body { background: #14181f; color: #dde3ea; } tr:nth-child(even) td { background: #1c222b; }
  .safe { color: #58c98b; } .not-safe { color: #ff7b82; } .not-yet { color: #e6b35a; }
}
"""


def page(title: str, compared: Sequence[Compared], verdict: Verdict) -> str:
    """Return the page: the verdict, every difference, and the sessions with their counts."""
    differences = [one for pair in compared for one in pair.differences]
    rows = [
        (one.session, one.symbol, one.kind, one.cause, _text(one.old), _text(one.new), one.words)
        for one in reversed(differences)
    ]
    reasons = "".join(f"<li>{escape(one)}</li>" for one in verdict.reasons)
    state = verdict.state.replace(" ", "-")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1>"
        f'<p>To switch is <strong class="{state}">{escape(verdict.state)}</strong>: {verdict.sessions} of '
        f"{verdict.wanted} sessions, {verdict.answers} answers.</p><ul>{reasons}</ul>"
        f"<h2>Differences</h2>{_table(('session', 'share', 'what', 'why', 'old', 'new', 'in words'), rows)}"
        f"<h2>Sessions</h2>{_table(('session', 'shares', 'equal decisions', 'differences'), _sessions(compared))}"
        "</body></html>\n"
    )


def _sessions(compared: Sequence[Compared]) -> list[tuple[Any, ...]]:
    found = []
    for session in sorted({one.session for one in compared}, reverse=True):
        pairs = [one for one in compared if one.session == session]
        equal = sum(one.equal_decisions is True for one in pairs)
        found.append((session, len(pairs), equal, sum(len(one.differences) for one in pairs)))
    return found


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(one)}</th>" for one in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
