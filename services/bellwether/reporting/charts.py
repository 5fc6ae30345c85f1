"""Charts as inline SVG: lines over sessions, and calibration. Pure text, readable on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from html import escape

from bellwether.messages.reporting import CalibrationBin

WIDTH, HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 112, 14, 12, 30
MOST_POINTS = 1500
"""More than a page is wide: curves are thinned evenly, the last point stays."""


def lines(
    days: Sequence[date], curves: Sequence[tuple[str, Sequence[float]]], written: Callable[[float], str], label: str
) -> str:
    """Return curves over the same sessions, each as a line of its own dash and colour."""
    values = [value for _, curve in curves for value in curve]
    if len(days) < 2 or not values:
        return f'<p class="none">{escape(label)}: not defined, it takes two sessions.</p>'
    low, high = min(values), max(values)
    room = (high - low) * 0.04 or max(abs(high), 1.0) * 0.01
    low, high = low - room, high + room
    marks = ticks(low, high)

    def y(value: float) -> float:
        return _TOP + (1 - (value - low) / (high - low)) * (HEIGHT - _TOP - _BOTTOM)

    def x(index: int, count: int) -> float:
        return _LEFT + index / (count - 1) * (WIDTH - _LEFT - _RIGHT)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    for mark in marks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{escape(written(mark))}</text>')
    for index, text in year_marks(days):
        parts.append(f'<text x="{x(index, len(days)):.1f}" y="{HEIGHT - 7}" text-anchor="middle">{text}</text>')
    for number, (name, curve) in enumerate(curves):
        kept = thinned(len(curve))
        path = " ".join(f"{x(index, len(curve)):.1f},{y(curve[index]):.1f}" for index in kept)
        parts.append(f'<polyline class="curve c{number}" points="{path}"><title>{escape(name)}</title></polyline>')
    parts.append("</svg>")
    keys = "".join(f'<span class="key c{number}">{escape(name)}</span>' for number, (name, _) in enumerate(curves))
    return "".join(parts) + f'<p class="keys">{keys}</p>'


def calibration(bins: Sequence[CalibrationBin]) -> str:
    """Return the share that rose over the stated probability; the area of a circle is the number of decisions."""
    if not bins:
        return '<p class="none">Calibration: not defined, no decision has come to its horizon.</p>'
    size, edge = 330, 44
    most = max(one.decisions for one in bins)

    def place(value: float) -> float:
        return edge + value * (size - 2 * edge)

    parts = [f'<svg class="square" viewBox="0 0 {size} {size}" role="img" aria-label="Calibration">']
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        at, up = place(value), size - place(value)
        parts.append(f'<line class="grid" x1="{edge}" x2="{size - edge}" y1="{up:.1f}" y2="{up:.1f}"/>')
        parts.append(f'<text x="{at:.1f}" y="{size - edge + 16}" text-anchor="middle">{value:.0%}</text>')
        parts.append(f'<text x="{edge - 5}" y="{up + 4:.1f}" text-anchor="end">{value:.0%}</text>')
    parts.append(f'<line class="ideal" x1="{edge}" y1="{size - edge}" x2="{size - edge}" y2="{edge}"/>')
    for one in bins:
        rose = one.rose / one.decisions
        radius = 3 + 11 * math.sqrt(one.decisions / most)
        title = f"probability {one.probability:.3f}: {one.rose} of {one.decisions} rose"
        parts.append(
            f'<circle class="dot" cx="{place(one.probability):.1f}" cy="{size - place(rose):.1f}" r="{radius:.1f}">'
            f"<title>{title}</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round values between two bounds, about as many as asked for."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]


def year_marks(days: Sequence[date], most: int = 9) -> list[tuple[int, str]]:
    """Return where to write years, or months in a short span, below the sessions."""
    span = "%Y" if (days[-1] - days[0]).days > 900 else "%b %Y"
    found: list[tuple[int, str]] = []
    for index, day in enumerate(days):
        text = day.strftime(span)
        if not found or found[-1][1] != text:
            found.append((index, text))
    step = math.ceil(len(found) / most)
    kept = found[1::step] if len(found) > 2 else found
    return [one for one in kept if 0.03 < one[0] / len(days) < 0.97] or found[:1]


def thinned(count: int) -> list[int]:
    """Return which points of a curve are drawn."""
    if count <= MOST_POINTS:
        return list(range(count))
    return [round(number * (count - 1) / (MOST_POINTS - 1)) for number in range(MOST_POINTS)]
