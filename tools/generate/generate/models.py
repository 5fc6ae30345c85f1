"""`python -m generate.models`: train every recipe on recorded bars and write docs/models.md with its plots."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from bellwether.cli.training import enter, run_training
from bellwether.cli.training_bars import SP500, cut, dataset
from bellwether.messages.market_data import Bar
from bellwether.training.artifact import read_model
from bellwether.training.card import interval, score_table
from bellwether.training.evidence import Bin, Evidence, Interval
from bellwether.training.ledger import Entry
from bellwether.training.recipe import Recipe, load_recipe, recipe_folders
from devcluster.typed import Parser

ROOT = Path(__file__).resolve().parents[3]
PAGE = Path("docs/models.md")
PLOTS = Path("docs/models")
US = "us-2000-2013"
FROM = date(2003, 1, 1)
"""From when on the twenty shares are taken: before, some of them cost cents and are rounded to three digits."""

_TOP = """# Models

Written by `make models`; do not edit.

What each recipe in `models/` is worth on recorded daily bars. Every figure is of predictions that were made before
their outcome: expanding walk-forward, purged (no label that a model learned from reaches into the test block),
embargoed where the recipe has `embargoSessions`, calibrated on sessions that the estimator did not see. Beside every
figure stand the base rates, as known at that time, and 95 % intervals of a block bootstrap over whole sessions, in
blocks longer than the horizon. `direction-lr-news` is the model of `direction-lr`, so it is not listed.

**What the figures carry.** The interval is the claim. Where a recipe's interval and that of the base rate overlap and
the gate says `failed`, nothing is known that would let anybody earn money with it; the samples run such models because
they declare `training.gate.mode: report`, and say so. All shares here are large firms that are known to have done well
later, so even the base rates are kinder than those of shares picked today.

Make them again: `make models`, or one of them by `bellwether train RECIPE --data NAME`. Of `sp500-1990-2022` this page
takes the sessions from 2003 on (before, some of the shares cost cents and are rounded to three digits); `train` takes
all. `bellwether models show VERSION` gives card and verdict.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, and write the page and its plots."""
    parser = Parser(prog="python -m generate.models", description=__doc__)
    parser.add_argument("--registry", type=Path, default=ROOT / ".models", help="where the models are kept")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    parts = [_TOP]
    for path in sorted(recipe_folders()[0].glob("*.yaml")):
        recipe = load_recipe(path.stem)
        if recipe.news is not None:
            # The news is no part of the model: this one is that of another recipe.
            continue
        for name in datasets(recipe):
            sys.stderr.write(f"{recipe.name} on {name}\n")
            registry = options.registry / name
            versions = run_training(path, bars(name), registry, options.workers, lambda line: print(line, flush=True))
            ledger = enter(registry, versions, recipe)
            found = [(ledger.entry(version), read_model(registry, version)[1]) for version in versions]
            parts.append(section(recipe, name, found))
            evidence = found[0][1]
            if evidence is not None:
                target = ROOT / PLOTS / f"{recipe.name}-{name}.svg"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(plot(evidence.bins), "utf-8")
    (ROOT / PAGE).write_text("\n".join(parts), "utf-8")
    print(f"wrote {PAGE}")
    return 0


def datasets(recipe: Recipe) -> list[str]:
    """Return the recorded bars that a recipe can be made from."""
    return [US, SP500] if recipe.data.prices == "closes" else [US]


def bars(name: str) -> dict[str, list[Bar]]:
    """Return the bars of a data set that the page is about."""
    found = cut(dataset(name), None)
    if name != SP500:
        return found
    return {symbol: [bar for bar in series if bar.session >= FROM] for symbol, series in found.items()}


def section(recipe: Recipe, name: str, found: Sequence[tuple[Entry, Evidence | None]]) -> str:
    """Return what the page says of a recipe on a data set."""
    entry, evidence = found[0]
    lines = [f"## {recipe.name} on {name}", "", recipe.description, ""]
    if evidence is None:
        return "\n".join([*lines, "Too little history to judge by.", ""])
    first, last = (date.fromordinal(evidence.days[place].day) for place in (0, -1))
    lines += [
        f"{evidence.rows} predictions of {evidence.folds} folds, {first} to {last}, horizon "
        f"{evidence.horizon_sessions} sessions, {len(recipe.features)} features.",
        "",
        *score_table(evidence),
        "",
        f"Gate: {'passed' if entry.verdict is not None and entry.verdict.passed else 'failed'}.",
        "",
    ]
    if entry.verdict is not None:
        lines += [f"- {check.name}: {check.found}: {'yes' if check.passed else 'no'}" for check in entry.verdict.checks]
    if evidence.costs is not None:
        costs = evidence.costs
        lines += [
            "",
            f"Bought whenever the probability stood 0.01 above the base rate: {costs.trades} trades "
            f"({costs.share:.0%} of all rows, turnover {costs.turnover:.1%} a session), "
            f"{percent(costs.before)} a trade before costs, {percent(costs.after)} after {costs.cost:.2%} for buying "
            f"and selling; buying always brought {percent(costs.always)}.",
        ]
    lines += ["", f"![calibration](models/{recipe.name}-{name}.svg)", ""]
    own = [(one, said) for one, said in found[1:] if said is not None]
    if own:
        lines += ["Models of single symbols:", "", "| symbol | rows | log loss | base rates | AUC | gate |"]
        lines.append("|---|---|---|---|---|---|")
        for one, said in own:
            base = min(said.table[-2:], key=lambda score: score.log_loss.value)
            passed = one.verdict is not None and one.verdict.passed
            lines.append(
                f"| {one.symbol} | {said.rows} | {interval(said.table[0].log_loss)} | {base.log_loss.value:.4f} | "
                f"{interval(said.table[0].auc)} | {'passed' if passed else 'failed'} |"
            )
        lines.append("")
    return "\n".join(lines)


def percent(found: Interval) -> str:
    """Return a fraction with its interval in percent."""
    if found.low is None or found.high is None:
        return f"{found.value:+.2%}"
    return f"{found.value:+.2%} ({found.low:+.2%} to {found.high:+.2%})"


def plot(bins: Sequence[Bin]) -> str:
    """Return the calibration plot as SVG: where a bar crosses the diagonal, the probability was meant."""
    seen = [part for one in bins for part in (one.probability, one.rose.low, one.rose.high) if part is not None]
    low, high = min([*seen, 0.4]) - 0.02, max([*seen, 0.65]) + 0.02
    size, edge = 320, 40

    def at(value: float) -> float:
        return round((value - low) / (high - low) * (size - 2 * edge), 1)

    marks = []
    for one in bins:
        x, y = edge + at(one.probability), size - edge - at(one.rose.value)
        if one.rose.low is not None and one.rose.high is not None:
            top, foot = size - edge - at(one.rose.high), size - edge - at(one.rose.low)
            marks.append(f'<line x1="{x}" y1="{foot}" x2="{x}" y2="{top}" stroke="#38c"/>')
        marks.append(f'<circle cx="{x}" cy="{y}" r="3" fill="#38c"/>')
    ticks = []
    for tenth in range(11):
        value = tenth / 10
        if low <= value <= high:
            x, y = edge + at(value), size - edge - at(value)
            ticks.append(f'<text x="{x}" y="{size - edge + 16}" text-anchor="middle">{value:.1f}</text>')
            ticks.append(f'<text x="{edge - 6}" y="{y + 4}" text-anchor="end">{value:.1f}</text>')
    frame = size - 2 * edge
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" font-family="sans-serif" '
        f'font-size="11"><rect width="{size}" height="{size}" fill="#fff"/>'
        f'<rect x="{edge}" y="{edge}" width="{frame}" height="{frame}" fill="none" stroke="#999"/>'
        f'<line x1="{edge}" y1="{size - edge}" x2="{size - edge}" y2="{edge}" stroke="#bbb" stroke-dasharray="4"/>'
        + "".join(ticks)
        + "".join(marks)
        + f'<text x="{size / 2}" y="{size - 6}" text-anchor="middle">probability</text>'
        f'<text x="{edge}" y="{edge - 10}">share that rose, 95 %</text></svg>\n'
    )


if __name__ == "__main__":
    sys.exit(main())
