"""A replay's report as one HTML file: nothing is asked of another host, and it is readable on paper and phone. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from html import escape

from bellwether.messages.reporting import CalibrationBin, Judgement
from bellwether.reporting.performance import Figure
from bellwether.reporting.replay import Curve, ReplayReport
from bellwether.reporting.session_text import interval_text, percent

_STYLE = """
:root{--ink:#1b2126;--dim:#5d6872;--line:#dde2e6;--soft:#f3f5f7;--c0:#2c5f9e;--c1:#b06a00;--c2:#7a858e;--good:#1e7d54;
--bad:#b3362b;font:14px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif;color:var(--ink);background:#fff}
*{box-sizing:border-box}body{margin:0 auto;max-width:1040px;padding:20px 24px 60px}
h1{font-size:23px;margin:0 0 2px}h2{font-size:16px;margin:32px 0 8px;break-after:avoid}p{margin:4px 0}
.dim,.none{color:var(--dim)}nav a{margin-right:14px;white-space:nowrap}a{color:var(--c0)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{color:var(--dim);font-weight:500;font-size:12px;text-align:left;vertical-align:bottom}
td,th{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
.num{text-align:right;white-space:nowrap}.code{font-family:ui-monospace,monospace;font-size:12px;overflow-wrap:anywhere}
svg{width:100%;height:auto;display:block}svg.square{max-width:360px}svg text{font-size:12px;fill:var(--dim)}
.grid{stroke:var(--line)}.ideal{stroke:var(--dim);stroke-dasharray:4 4}
.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}.dot{fill:#2c5f9e88;stroke:var(--c0)}
.curve.c0{stroke:var(--c0)}.curve.c1{stroke:var(--c1);stroke-dasharray:6 3}
.curve.c2{stroke:var(--c2);stroke-dasharray:2 3}
.keys{display:flex;gap:18px;flex-wrap:wrap}.key::before{content:"";display:inline-block;width:22px;margin-right:6px;
vertical-align:middle;border-top:3px solid}
.key.c0::before{border-color:var(--c0)}.key.c1::before{border-color:var(--c1);border-top-style:dashed}
.key.c2::before{border-color:var(--c2);border-top-style:dotted}
.good{color:var(--good)}.bad{color:var(--bad)}details{margin:6px 0}summary{cursor:pointer}
@media(max-width:640px){body{padding:14px 12px 40px}svg text{font-size:22px}svg.square text{font-size:12px}
td,th{padding-right:8px}}
@media print{body{max-width:none;padding:0;font-size:10px}nav{display:none}.wide{overflow:visible}
tr,svg,figure{break-inside:avoid}details>*{display:block}a{color:inherit;text-decoration:none}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
Cell = tuple[str, str]
"""HTML and the class of its cell."""


def replay_page(report: ReplayReport) -> str:
    """Return the whole page."""
    title = f"Replay of {report.system}, {report.first_session} to {report.last_session}"
    assumptions = [list(map(_text, pair)) for pair in report.assumptions]
    sections = [
        ("figures", "Figures", _figures(report.curves) + _trading(report)),
        ("equity", "Equity", _equity(report)),
        ("drawdowns", "Drawdowns", _drawdowns(report)),
        ("months", "Returns by month", "".join(map(_months, report.curves[:-1]))),
        ("predictions", "How predictions fared", _judgement(report.judgement) + _bins(report.judgement)),
        ("symbols", "By symbol", _symbols(report)),
        ("refusals", "Refused, by guard", _refusals(report)),
        ("trades", "Trades", _trades(report)),
        ("decisions", "Decisions behind the trades", _decisions(report)),
        ("assumptions", "Assumptions", _table(("what", "how"), assumptions)),
    ]
    links = " ".join(f'<a href="#{name}">{escape(text)}</a>' for name, text, _ in sections)
    body = "".join(f'<section><h2 id="{name}">{escape(text)}</h2>{inner}</section>' for name, text, inner in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1>"
        f'<p class="dim">{escape(report.calendar)}, {len(report.sessions)} sessions, '
        f"money in {escape(report.currency)}. "
        "A replay of history is no forecast.</p>"
        f"<nav>{links}</nav>{body}</body></html>\n"
    )


def _figures(curves: Sequence[Curve]) -> str:
    names = (
        ("total return", "total_return", True),
        ("a year", "annual_return", True),
        ("volatility a year", "annual_volatility", True),
        ("Sharpe", "sharpe", False),
        ("Sortino", "sortino", False),
        ("Calmar", "calmar", False),
        ("largest drawdown", "max_drawdown", True),
        ("best session", "best_session", True),
        ("worst session", "worst_session", True),
    )
    rows: list[list[Cell]] = [
        [_text(words), *(_figure(getattr(one.performance, field), share=share) for one in curves)]
        for words, field, share in names
    ]
    longest = [one.performance.longest_drawdown for one in curves]
    rows.append([_text("longest drawdown"), *((f"{sessions:,} sessions", "num") for sessions in longest)])
    rows.append([_text("at the end"), *((f"{one.performance.final:,.2f}", "num") for one in curves)])
    return _table(("", *(one.name for one in curves)), rows, right=range(1, len(curves) + 1))


def _trading(report: ReplayReport) -> str:
    shares = ", ".join(f"{name} {number:,} ({share:.1%})" for name, number, share in report.actions) or "none"
    orders = ", ".join(f"{number:,} {status}" for status, number in report.orders.items()) or "none"
    rate = _words(report.commission_rate, share=True)
    return _paragraphs(
        f"Exposure: {_words(report.exposure, share=True)} of the equity was in shares at a close, on average.",
        f"Turnover: {_words(report.turnover, share=True)} of the equity a year.",
        f"Costs: commission {report.commission:,.2f}, {rate} of the initial cash; slippage is in the fills' prices.",
        f"All decisions, those for looking at too: {shares}.",
        f"Orders: {orders}.",
    )


def _equity(report: ReplayReport) -> str:
    curves = [(one.name, one.values) for one in report.curves]
    return lines(report.sessions, curves, lambda value: f"{value:,.0f}", "Equity at each close")


def _drawdowns(report: ReplayReport) -> str:
    curves = [(one.name, one.drawdowns) for one in report.curves[:-1]]
    return lines(report.sessions, curves, lambda value: f"{value:.0%}", "Drawdown at each close")


def _months(curve: Curve) -> str:
    years: dict[str, dict[int, float]] = {}
    for month, value in curve.months:
        years.setdefault(month[:4], {})[int(month[5:])] = value
    rows: list[list[Cell]] = []
    for year, found in years.items():
        whole = 1.0
        for value in found.values():
            whole *= 1.0 + value
        cells = [_signed(found[number]) if number in found else ("", "num") for number in range(1, 13)]
        rows.append([_text(year), *cells, _signed(whole - 1.0)])
    return _paragraphs(curve.name) + _table(("", *_MONTHS, "year"), rows, right=range(1, 14))


def _judgement(one: Judgement) -> str:
    if not one.decisions:
        return _paragraphs(f"Not defined: {one.hit_rate.undefined}.")
    said = [
        f"{one.decisions:,} decisions of the batch that may trade, over {one.sessions:,} sessions with outcomes.",
        f"Hit rate of {one.signals:,} signals: {interval_text(one.hit_rate)}.",
        f"Beside {percent(one.base_hit_rate)} at the share of rises, {interval_text(one.rise_rate)}.",
        f"Difference: {interval_text(one.difference)}.",
    ]
    if one.brier is not None and one.base_brier is not None:
        said.append(f"Brier score {one.brier:.4f} beside {one.base_brier:.4f} of the base rates (lower is better).")
    return _paragraphs(*said)


def _bins(one: Judgement) -> str:
    rows: list[list[Cell]] = [
        [
            (f"{each.probability:.3f}", "num"),
            (f"{each.decisions:,}", "num"),
            (f"{each.rose:,}", "num"),
            (f"{each.rose / each.decisions:.1%}", "num"),
        ]
        for each in one.bins
    ]
    head = ("mean probability", "decisions", "rose", "share")
    return calibration(one.bins) + (_table(head, rows, right=range(4)) if rows else "")


def _symbols(report: ReplayReport) -> str:
    rows: list[list[Cell]] = [
        [
            _text(one.symbol),
            (f"{one.trades:,}", "num"),
            (f"{one.gain:+,.2f}", f"num {'good' if one.gain >= 0 else 'bad'}"),
            (f"{one.commission:,.2f}", "num"),
            (f"{one.dividends:,.2f}", "num"),
            (f"{one.held:,.2f}", "num"),
            (f"{one.judgement.signals:,}", "num"),
            _text(interval_text(one.judgement.hit_rate)),
            (percent(one.judgement.base_hit_rate), "num"),
        ]
        for one in report.symbols
    ]
    head = ("symbol", "fills", "gain", "commission", "dividends", "held", "signals", "hit rate", "base hit rate")
    return _table(head, rows, right=(1, 2, 3, 4, 5, 6, 8))


def _refusals(report: ReplayReport) -> str:
    rows = [[_text(one.code, "code"), _text(one.meaning), (f"{one.count:,}", "num")] for one in report.refusals]
    return _table(("guard", "meaning", "times"), rows, right=(2,), nothing="No guard refused anything.")


def _trades(report: ReplayReport) -> str:
    rows: list[list[Cell]] = []
    known = {one.prediction_id for one in report.decisions}
    for one in report.trades:
        link = _text("")
        if one.prediction_id is not None:
            name = escape(one.prediction_id)
            link = (f'<a href="#{name}">{name}</a>' if one.prediction_id in known else name, "code")
        rows.append(
            [
                _text(str(one.session)),
                _text(one.symbol),
                _text(one.side),
                (f"{one.quantity:,f}", "num"),
                (f"{one.price:,.4f}", "num"),
                (f"{one.commission:,.2f}", "num"),
                _text(one.why),
                link,
            ]
        )
    head = ("session", "symbol", "side", "shares", "price", "commission", "why", "decision")
    return _table(head, rows, right=(3, 4, 5), nothing="Nothing was traded.")


def _decisions(report: ReplayReport) -> str:
    if not report.decisions:
        return '<p class="none">There is none.</p>'
    listed = "".join(
        f'<details id="{escape(one.prediction_id)}"><summary><span class="code">{escape(one.prediction_id)}</span> '
        f"{escape(one.action)}, p {one.probability:.4f}, base rate {one.base_rate:.4f}, "
        f"model {escape(one.model)}</summary>"
        f"<ul>{''.join(f'<li>{escape(reason)}</li>' for reason in one.reasons)}</ul></details>"
        for one in report.decisions
    )
    return '<p class="dim">With <code>--data DIR</code> kept, each can be looked at and computed again.</p>' + listed


def _table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], right: Iterable[int] = (), nothing: str = "None."
) -> str:
    if not rows:
        return f'<p class="none">{escape(nothing)}</p>'
    numbers = set(right)
    kinds = [' class="num"' if place in numbers else "" for place in range(len(head))]
    top = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, head, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell) -> str:
    text, kind = cell
    return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"


def _figure(one: Figure, *, share: bool) -> Cell:
    return escape(_words(one, share=share)), "num" if one.value is not None else "dim"


def _words(one: Figure, *, share: bool) -> str:
    if one.value is None:
        return f"not defined: {one.undefined}"
    return f"{one.value:.2%}" if share else f"{one.value:.2f}"


def _signed(value: float) -> Cell:
    return f"{value:+.1%}", f"num {'good' if value >= 0 else 'bad'}"


def _text(text: str, kind: str = "") -> Cell:
    return escape(text), kind


def _paragraphs(*texts: str) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


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
