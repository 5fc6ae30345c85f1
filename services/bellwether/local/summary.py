"""What a replay came to, and how it is reported at its end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import get_args

from bellwether.messages.prediction import Action


@dataclass(frozen=True)
class OpenPosition:
    """What is still held of a symbol, its value at its last price, and until when its bars reach."""

    symbol: str
    quantity: str
    value: str
    bars_end: str
    cancelled: int
    """Orders of it that found no opening price, or no open any more."""


@dataclass(frozen=True)
class ReplaySum:
    """What a replay came to. Money in the account's currency; returns as fractions of the initial cash."""

    sessions: int
    first_session: str
    last_session: str
    decisions: int
    orders: int
    filled: int
    commission: str
    equity: str
    initial_cash: str
    currency: str
    total_return: float
    buy_and_hold_return: float | None
    """Equal parts of the declared symbols, bought at the first opening price, without costs."""
    ledger_violations: list[str]
    seconds: float
    decisions_per_second: float
    actions: dict[str, float] = field(default_factory=dict)
    """The share of each action among the decisions, as a fraction."""
    refused: int = 0
    cancelled: int = 0
    open_positions: list[OpenPosition] = field(default_factory=list)
    bars_end: dict[str, str] = field(default_factory=dict)
    """Last session of the symbols whose bars end before the replay does."""
    without: dict[str, str] = field(default_factory=dict)
    """Declared symbols that have no bars, and why: the replay went on without them."""
    predictions_failed: int = 0
    slots_failed: int = 0
    first_failed: str = ""

    @property
    def whole(self) -> bool:
        """Whether it is the replay of all that was declared, and its ledger adds up."""
        return not (self.ledger_violations or self.slots_failed or self.without)


def shares_of(counts: Mapping[Action, int]) -> dict[str, float]:
    """Return the share of each action, 0 for one that did not occur; empty without any decision."""
    total = sum(counts.values())
    return {action: round(counts.get(action, 0) / total, 4) for action in get_args(Action)} if total else {}


def action_line(shares: Mapping[str, float]) -> str:
    """Return the share of each action in one line."""
    return ", ".join(f"{action} {share:.0%}" for action, share in shares.items()) or "none"


def sum_lines(found: ReplaySum) -> list[str]:
    """Return a replay's sum as a person reads it."""
    hold = "unknown" if found.buy_and_hold_return is None else f"{found.buy_and_hold_return:+.1%}"
    ledger = "adds up" if not found.ledger_violations else "; ".join(found.ledger_violations)
    ended = f", {found.refused} refused, {found.cancelled} cancelled" if found.refused or found.cancelled else ""
    return [
        f"{found.sessions} sessions, {found.first_session} to {found.last_session}",
        f"decisions   {found.decisions}: {action_line(found.actions)}",
        f"orders      {found.orders}, {found.filled} filled{ended}, commission {Decimal(found.commission):,.2f}",
        f"equity      {Decimal(found.equity):,.2f} {found.currency}, {found.total_return:+.1%}",
        f"beside      {hold} of buy-and-hold (equal parts of the symbols, no costs, no dividends)",
        *_open_lines(found.open_positions, found.bars_end),
        f"ledger      {ledger}",
        *_missing_lines(found),
        f"took        {found.seconds:.1f} s, {found.decisions_per_second:,.0f} decisions a second",
    ]


def _open_lines(positions: Sequence[OpenPosition], bars_end: Mapping[str, str]) -> list[str]:
    still = [f"{one.symbol} {one.quantity} (worth {Decimal(one.value):,.2f})" for one in positions]
    lines = [f"open        {', '.join(still)}"] if still else []
    stuck = {one.symbol: one for one in positions}
    for symbol, day in bars_end.items():
        line = f"bars end    {symbol} on {day}, before the replay does"
        if symbol in stuck:
            one = stuck[symbol]
            line += f": {one.quantity} shares stay open at their last price, {one.cancelled} orders were cancelled"
        lines.append(line)
    return lines


def _missing_lines(found: ReplaySum) -> list[str]:
    lines = [f"without     {symbol}: {why}" for symbol, why in found.without.items()]
    if found.predictions_failed:
        lines.append(f"failed      {found.predictions_failed} predictions of single symbols")
    if found.slots_failed:
        lines.append(f"failed      {found.slots_failed} slots had no effect; the first: {found.first_failed}")
    return lines
