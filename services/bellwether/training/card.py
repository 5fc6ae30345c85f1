"""A model's card: what it is, what it saw, and how it did beside the base rate (pure)."""

from __future__ import annotations

from bellwether.training.artifact import Manifest
from bellwether.training.evidence import Evidence, Interval
from bellwether.training.recipe import Recipe

_ROWS = (
    ("Brier score", "brier", "lower is better"),
    ("Log loss", "log_loss", "lower is better"),
    ("AUC", "auc", "0.5 is a coin"),
    ("Accuracy", "accuracy", "share of right directions at 0.5"),
)

_CAVEATS = (
    "Every prediction was made by a model that saw only bars whose outcome was settled before the test block began. "
    "The rows overlap (a new label of several sessions begins each session) and the symbols move together, so there "
    "are far fewer independent outcomes than rows. The symbols are large shares that are known to have done well "
    "later; nothing here says how other shares would have done. Costs are not part of these figures."
)


def card(recipe: Recipe, manifest: Manifest, version: str, evidence: Evidence | None = None) -> str:
    """Return the card as Markdown; `evidence` adds the estimators beside, with intervals."""
    scope = manifest.symbol or "all symbols: " + ", ".join(sorted(manifest.symbol_base_rates))
    lines = [
        f"# {manifest.name}",
        "",
        recipe.description,
        "",
        f"- Version: `{version}` (SHA-256 of the manifest)",
        f"- For: {scope}",
        f"- Horizon: {manifest.horizon_sessions} sessions; the label is a higher close at its end",
        f"- Bars seen, labels included: {manifest.trained_from} to {manifest.trained_through}, {manifest.rows} rows",
        f"- Features: {', '.join(manifest.features)}",
        f"- Estimator: {manifest.estimator or _regression(recipe)}",
        f"- Calibration on the newest {recipe.calibration.share:.0%} of the sessions: slope "
        f"{manifest.calibrator.slope:.4f}, intercept {manifest.calibrator.intercept:.4f}, and one shift per symbol",
        f"- Base rate, in the same sessions: {manifest.base_rate:.4f} ("
        + ", ".join(f"{symbol} {rate:.4f}" for symbol, rate in sorted(manifest.symbol_base_rates.items()))
        + ")",
        f"- ONNX Runtime beside scikit-learn: largest difference {manifest.parity.largest_difference:.1e} on "
        f"{manifest.parity.rows} rows",
        "",
        "## How it did on what it had not seen",
        "",
        *_judgement(manifest),
        "",
        *([] if evidence is None else [*score_table(evidence), ""]),
        "## What to keep in mind",
        "",
        _CAVEATS,
        "",
    ]
    return "\n".join(lines)


def score_table(evidence: Evidence) -> list[str]:
    """Return every estimator and base rate with 95 % intervals of the block bootstrap, as a Markdown table."""
    lines = ["| predictor | Brier score | log loss | AUC | hit rate |", "|---|---|---|---|---|"]
    for one in evidence.table:
        cells = [interval(part) for part in (one.brier, one.log_loss, one.auc, one.hit_rate)]
        lines.append(f"| {one.name}{' (serves)' if one.serves else ''} | " + " | ".join(cells) + " |")
    return lines


def interval(found: Interval, digits: int = 4) -> str:
    """Return a figure with its interval."""
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f} (too few sessions for an interval)"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def _regression(recipe: Recipe) -> str:
    return f"logistic regression on standardised features, C = {recipe.estimator.inverse_penalty:g}"


def _judgement(manifest: Manifest) -> list[str]:
    found = manifest.metrics
    if not found.get("rows"):
        return ["There was too little history to judge by: nothing is known about it."]
    table = [
        f"Expanding walk-forward, {found['folds']:.0f} purged folds, {found['rows']:.0f} predictions. The base rate of "
        "each symbol, as known at that time, stands beside.",
        "",
        "| measure | model | base rate | |",
        "|---|---|---|---|",
    ]
    for title, name, note in _ROWS:
        table.append(f"| {title} | {found[name]:.4f} | {found['base_rate_' + name]:.4f} | {note} |")
    gain = found["base_rate_brier"] - found["brier"]
    skill = gain / found["base_rate_brier"] if found["base_rate_brier"] else 0.0
    if skill > 0.01:
        verdict = f"By Brier score it is {skill:.1%} better than the base rate."
    elif gain > 0.0:
        verdict = (
            f"By Brier score it is {skill:.2%} better than the base rate: no edge that anyone should rely on. It is "
            "here to have honest probabilities to run the system with."
        )
    else:
        verdict = f"By Brier score it is {-skill:.2%} worse than the base rate: it has no edge."
    return [*table, "", verdict]
