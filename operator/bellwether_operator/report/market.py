"""Whether the calendar, the bars and the models are of today."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bellwether.market.declared import fit
from bellwether.market.sessions import load_calendar
from bellwether.spec.models import TradingSystemSpec
from bellwether.spec.validate_structure import Problem
from bellwether_operator.gateway_view import Bars
from bellwether_operator.report.finding import Finding, Reason, listed, previous_finding
from bellwether_operator.report.observation import Case, spoken_of, unheard

_TRAIN = "train it again (`bellwether models system train`)"
NEAR_DAYS = 30
"""So many days before the calendar's known end a person is notified."""


def calendar_problems(spec: TradingSystemSpec) -> tuple[Problem, ...]:
    """Return what of a declaration does not fit its exchange's calendar."""
    return _calendar_problems(spec.model_dump_json(by_alias=True, include={"market", "tasks"}))


@lru_cache(maxsize=4096)
def _calendar_problems(market_and_tasks: str) -> tuple[Problem, ...]:
    # Kept by what it depends on: a hundred overrides take a tenth of a second, and every pass asks.
    return tuple(fit(TradingSystemSpec.model_validate_json(market_and_tasks)))


def calendar_current(case: Case, unfit: Sequence[Problem]) -> Finding:
    """Return whether the built-in table still knows the exchange's holidays, and the overrides fit it."""
    kind = "CalendarCurrent"
    wrong = [str(problem) for problem in unfit if problem.path.startswith("spec.market")]
    if wrong:
        return Finding(kind, "False", Reason.DOES_NOT_FIT, "; ".join(wrong))
    if case.system.spec.clock.mode == "replay":
        return _replayed(case, kind, "the sessions are of the past, so all of them are known")
    calendar = load_calendar(case.system.spec.market.calendar)
    known = f"the sessions of {calendar.name} are known through {calendar.known_through}"
    remedy = "a newer version of bellwether knows more; until then correct days by spec.market.overrides"
    left = (calendar.known_through - calendar.local_day(case.now)).days
    if left < 0:
        return Finding(kind, "False", Reason.HORIZON_PASSED, f"{known}, and that day has passed: {remedy}")
    if left < NEAR_DAYS:
        return Finding(kind, "False", Reason.HORIZON_NEAR, f"{known} only: {remedy}")
    return Finding(kind, "True", Reason.CURRENT, known)


def data_fresh(case: Case) -> Finding:
    """Return whether every declared symbol has the bar of the newest session."""
    kind = "DataFresh"
    if case.system.spec.clock.mode == "replay":
        return _replayed(case, kind, "the bars are of the past, so none gets stale")
    view, symbols = case.seen.view, case.system.spec.symbols
    if view is None:
        return unheard(case, kind)
    speaks_of = spoken_of(case, view, "market-data")
    rows = {row.symbol: row for row in view.data or ()}
    stale = [rows[symbol] for symbol in symbols if symbol in rows and rows[symbol].fresh is False]
    if stale:
        return Finding(kind, "False", Reason.STALE, "; ".join(_once_each(stale)), speaks_of)
    silent = [symbol for symbol in symbols if symbol not in rows or rows[symbol].fresh is None]
    if silent:
        return Finding(kind, "Unknown", Reason.NOT_SAID, f"market-data did not say: {listed(silent)}", speaks_of)
    newest = max((row.last_session for row in rows.values() if row.last_session is not None), default=None)
    words = "every symbol has the bar that is due" + (f", of session {newest}" if newest is not None else "")
    return Finding(kind, "True", Reason.FRESH, words, speaks_of)


def models_current(case: Case) -> Finding:
    """Return whether a model serves every declared symbol that neither expired nor was demoted."""
    kind = "ModelsCurrent"
    view, symbols = case.seen.view, case.system.spec.symbols
    if view is None:
        return unheard(case, kind)
    speaks_of = spoken_of(case, view, "ml-model")
    if view.models is None or (not view.models and not view.ready.get("ml-model", True)):
        return Finding(kind, "Unknown", Reason.NOT_SAID, "ml-model did not say which models serve", speaks_of)
    recipe = case.system.spec.predictions.model
    serving = {model.symbol: model for model in view.models if model.name == recipe}
    without = [symbol for symbol in symbols if symbol not in serving and None not in serving]
    if without:
        return Finding(kind, "False", Reason.NO_MODEL, f"no model {recipe} serves {listed(without)}", speaks_of)
    used = {symbol: serving.get(symbol) or serving[None] for symbol in symbols}
    expired: dict[str, list[str]] = {}
    for symbol, model in used.items():
        if model.expired is not None:
            expired.setdefault(model.expired.isoformat(), []).append(symbol)
    if expired:
        words = "; ".join(f"on {day} for {listed(whose)}" for day, whose in sorted(expired.items()))
        return Finding(kind, "False", Reason.MODEL_EXPIRED, f"model {recipe} expired {words}: {_TRAIN}", speaks_of)
    demoted = [symbol for symbol, model in used.items() if model.demoted]
    if demoted:
        words = f"model {recipe} was demoted for {listed(demoted)}: {used[demoted[0]].demoted}"
        return Finding(kind, "False", Reason.MODEL_DEMOTED, words, speaks_of)
    ungated = [symbol for symbol, model in used.items() if model.gated is False]
    if ungated:
        words = f"model {recipe} serves, but did not pass its training gate for {listed(ungated)}"
        return Finding(kind, "True", Reason.UNGATED, words, speaks_of)
    return Finding(kind, "True", Reason.SERVED, f"model {recipe} serves every symbol", speaks_of)


def _replayed(case: Case, kind: str, words: str) -> Finding:
    """Return a condition about time of a system that has a time of its own; what was complete stays so."""
    state = None if case.seen.view is None else case.seen.view.replay
    before = previous_finding(case.previous, kind)
    over = state is None and before is not None and before.reason == Reason.REPLAY_COMPLETE
    if state == "complete" or over:
        return Finding(kind, "True", Reason.REPLAY_COMPLETE, "the replay has come to its last session")
    return Finding(kind, "True", Reason.REPLAY_CLOCK, words)


def _once_each(stale: Sequence[Bars]) -> list[str]:
    """Return each reason once, with the symbols that it holds for."""
    alike: dict[str, list[Bars]] = {}
    for row in stale:
        # What is wrong with each share alike is the same reason, though it names each by its own name.
        alike.setdefault(_stale_words(row).replace(row.symbol, "SYMBOL"), []).append(row)
    return [
        f"{listed(row.symbol for row in rows)}: {words if len(rows) > 1 else _stale_words(rows[0])}"
        for words, rows in alike.items()
    ]


def _stale_words(row: Bars) -> str:
    newest = "no bar" if row.last_session is None else f"the newest bar is of session {row.last_session}"
    return newest + (f" ({row.problem})" if row.problem else "")
