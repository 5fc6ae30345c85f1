"""SafeToTrade: whether an order would be allowed if the session were open and, if not, why and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bellwether.spec.models import TradingSystem
from bellwether_operator.gateway_view import GatewayView, Refusal
from bellwether_operator.report.finding import Finding, Reason
from bellwether_operator.report.observation import Case, spoken_of, unheard

_KIND = "SafeToTrade"
_SAID_AT_MOST = 3
"""Refusals with the same code, one for each symbol, are reported up to so many: for the others' names there is room."""


class _Known(NamedTuple):
    reason: Reason
    remedy: str


_KNOWN: Mapping[str, _Known] = {
    "TRADING_OFF": _Known(Reason.TRADING_OFF, "To trade, set spec.trading.mode to simulated."),
    "HALTED": _Known(
        Reason.HALTED,
        "To trade again, take back spec.trading.halted if it is true, and clear halts that were made by hand or by a "
        'risk limit with `bellwether resume --reason "..."`.',
    ),
    "DAILY_LOSS_EXCEEDED": _Known(
        Reason.DAILY_LOSS_EXCEEDED,
        "It stops the rest of the session and the next one, until that has closed; the limit is "
        "spec.trading.risk.maxDailyLoss.",
    ),
    "DRAWDOWN_EXCEEDED": _Known(
        Reason.DRAWDOWN_EXCEEDED,
        "The account fell by spec.trading.risk.maxDrawdown from its highest close; `bellwether resume` begins to count "
        "again from what it is worth now.",
    ),
    "VOLUME_FULL": _Known(
        Reason.VOLUME_FULL, "Raise spec.storage.size where the class lets volumes grow, or shorten spec.retention."
    ),
    "DATA_STALE": _Known(Reason.DATA_STALE, "Condition DataFresh says which bars are missing, and why."),
    "QUALITY_UNKNOWN": _Known(
        Reason.QUALITY_UNKNOWN, "data-quality has to measure the bars first: its health and its log say what keeps it."
    ),
    "QUALITY_TOO_LOW": _Known(
        Reason.QUALITY_TOO_LOW,
        "`bellwether why SYMBOL` says what is wrong, docs/quality.md what to do; the limit is quality.minScore.",
    ),
    "NO_REAL_PRICE": _Known(
        Reason.NO_REAL_PRICE, "An order needs a bar with a real price: condition DataFresh says what is missing."
    ),
    "BROKER_UNRECONCILED": _Known(
        Reason.BROKER_UNRECONCILED,
        "Compare the symbol's position at the broker with the ledger's and mend what differs there; `sync_positions` "
        "frees the symbol once both agree.",
    ),
    "MODEL_EXPIRED": _Known(
        Reason.MODEL_EXPIRED,
        "Train it again: `bellwether models system train`, or declare training.everySessions. Until then each decision "
        "about its symbols is HOLD.",
    ),
    "SESSION_STUCK": _Known(
        Reason.SESSION_STUCK,
        "Until it succeeds no later session is opened or closed and no order is filled. It is tried again all the "
        "time; what is wrong is in the log of the service that it names, and of the scheduler.",
    ),
}
"""Codes of the trader, and of the gateway, that speak for the whole system, with what a person can do."""


def safe_to_trade(case: Case) -> Finding:
    """Return whether it is safe to trade. What the declaration itself forbids needs no word of the gateway.

    What concerns single symbols, while another could be traded, is reported and makes it no less safe.
    """
    declared = _declared(case.system)
    view = case.seen.view
    said = () if view is None or (view.safety is not None and view.safety.safe) else _said(view)
    refusals = [*said, *(each for each in declared if each.code not in {known.code for known in said})]
    if refusals:
        speaks_of = case.generation if declared or view is None else spoken_of(case, view, "paper-trading")
        return Finding(_KIND, "False", _reason(refusals[0]), _words(refusals), speaks_of)
    if view is None:
        return unheard(case, _KIND)
    speaks_of = spoken_of(case, view, "paper-trading")
    safety = view.safety
    if safety is None or safety.safe is None:
        return Finding(_KIND, "Unknown", Reason.NOT_SAID, "the trader did not say whether it is safe", speaks_of)
    if not safety.safe:
        return Finding(_KIND, "False", Reason.REFUSED, "The trader refuses orders and does not say why.", speaks_of)
    if safety.refusals:
        words = (
            f"An order would be allowed if the session were open, but not in every symbol. {_words(safety.refusals)}"
        )
        return Finding(_KIND, "True", Reason.SOME_REFUSED, words, speaks_of)
    words = "an order would be allowed if the session were open"
    return Finding(_KIND, "True", Reason.SAFE, words, speaks_of)


def _declared(system: TradingSystem) -> list[Refusal]:
    trading = system.spec.trading
    found = []
    if trading.mode == "off":
        found.append(Refusal("TRADING_OFF", "off", "simulated", "spec.trading.mode is off: nothing is traded"))
    if trading.halted:
        found.append(Refusal("HALTED", "true", "false", "spec.trading.halted is true: every order is stopped"))
    return found


def _said(view: GatewayView) -> Sequence[Refusal]:
    if view.safety is not None:
        return view.safety.refusals
    if view.halts:
        return (Refusal("HALTED", "; ".join(view.halts), "no halt", f"Orders are stopped: {'; '.join(view.halts)}"),)
    return ()


def _reason(refusal: Refusal) -> Reason:
    known = _KNOWN.get(refusal.code)
    return Reason.REFUSED if known is None else known.reason


def _words(refusals: Sequence[Refusal]) -> str:
    """Return a sentence for each refusal, and after those of one kind what to do about them; every symbol is named."""
    by_code: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        by_code.setdefault(refusal.code, []).append(refusal)
    parts: list[str] = []
    for code, alike in by_code.items():
        parts += [_sentence(each) for each in alike[:_SAID_AT_MOST]]
        rest = alike[_SAID_AT_MOST:]
        names = [each.symbol for each in rest if each.symbol]
        if names:
            parts.append(f"The same holds for {', '.join(names)}.")
        if len(rest) > len(names):
            parts.append(f"The same holds {len(rest) - len(names)} times more.")
        if code in _KNOWN:
            parts.append(_KNOWN[code].remedy)
    return " ".join(parts)


def _sentence(refusal: Refusal) -> str:
    words = refusal.message.strip() or f"{refusal.code}: {refusal.value or 'refused'}"
    if not refusal.message.strip() and refusal.limit:
        words += f" (needed: {refusal.limit})"
    if words.partition(" ")[0].isalpha():  # a field's or symbol's name is left as it is written
        words = words[0].upper() + words[1:]
    return words if words.endswith((".", "!", "?")) else f"{words}."
