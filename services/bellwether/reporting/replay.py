"""The report of a replay, composed from its rows. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, get_args

import msgspec

from bellwether.messages.fields import from_fields
from bellwether.messages.prediction import Action, Prediction
from bellwether.messages.reporting import CalibrationBin, Judgement, OutcomeDay, ReportedReason
from bellwether.messages.trading import EquityPoint, Order
from bellwether.reporting.intervals import rounded
from bellwether.reporting.judging import judge
from bellwether.reporting.performance import YEAR, Figure, Performance, Point, drawdowns, monthly, performance

VERSION = 1
FILLED = ("filled", "partially_filled")


class ReplayRows(msgspec.Struct, frozen=True):
    """What a replay left behind."""

    system: str
    calendar: str
    currency: str
    initial_cash: Decimal
    symbols: list[str]
    equity: list[EquityPoint]
    hold: list[tuple[date, float]]
    """Value of equal parts of the symbols bought with the initial cash at the first open, at each close."""
    orders: list[Order]
    dividends: dict[str, Decimal]
    held: dict[str, Decimal]
    """Value of the open positions by symbol."""
    refusals: dict[str, int]
    meanings: dict[str, str]
    actions: dict[str, int]
    days: list[OutcomeDay]
    bins: list[CalibrationBin]
    by_symbol: dict[str, list[OutcomeDay]]
    decisions: list[Prediction]
    """Those that an order came from."""
    reasons: dict[str, list[str]]
    """Of these, what their records say in words."""
    horizon: int
    assumptions: list[tuple[str, str]]


class Trade(msgspec.Struct, frozen=True):
    """One filled order with its why."""

    session: date
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    value: Decimal
    commission: Decimal
    reason: str
    why: str
    prediction_id: str | None


class SymbolResult(msgspec.Struct, frozen=True):
    """What came of one symbol: gain = sales + dividends + what is held - purchases - commission."""

    symbol: str
    trades: int
    gain: Decimal
    commission: Decimal
    dividends: Decimal
    held: Decimal
    judgement: Judgement


class Curve(msgspec.Struct, frozen=True):
    """A curve and its figures; values and drawdowns at each close."""

    name: str
    values: list[float]
    drawdowns: list[float]
    performance: Performance
    months: list[tuple[str, float]]


class DecisionWhy(msgspec.Struct, frozen=True):
    """The decision behind a trade, in words."""

    prediction_id: str
    symbol: str
    action: str
    probability: float
    base_rate: float
    model: str
    reasons: list[str]


class ReplayReport(msgspec.Struct, frozen=True):
    """A replay's judgement. Rates as fractions; later versions only add fields with defaults."""

    version: int
    system: str
    calendar: str
    currency: str
    initial_cash: Decimal
    first_session: date | None
    last_session: date | None
    sessions: list[date]
    curves: list[Curve]
    """Of the system, of buy-and-hold where there are bars, and of cash."""
    exposure: Figure
    """Mean share of the equity that was in shares at a close."""
    turnover: Figure
    """Value of all fills over twice the mean equity, a year."""
    commission: Decimal
    commission_rate: Figure
    """As a share of the initial cash."""
    actions: list[tuple[str, int, float]]
    orders: dict[str, int]
    """By status."""
    judgement: Judgement
    symbols: list[SymbolResult]
    refusals: list[ReportedReason]
    trades: list[Trade]
    decisions: list[DecisionWhy]
    assumptions: list[tuple[str, str]]


def compose_replay(rows: ReplayRows) -> ReplayReport:
    """Return the report of a replay."""
    initial = float(rows.initial_cash)
    points = [Point(one.session, float(one.equity)) for one in rows.equity]
    curves = [_curve(rows.system, initial, points)]
    if rows.hold:
        curves.append(_curve("buy-and-hold", initial, [Point(*one) for one in rows.hold]))
    curves.append(_curve("cash", initial, [Point(one.session, initial) for one in points]))
    filled = [one for one in rows.orders if one.status in FILLED and one.fill_price is not None]
    commission = sum((one.commission or Decimal(0) for one in filled), Decimal(0))
    decisions = {one.prediction_id: one for one in rows.decisions}
    counts = {str(name): rows.actions.get(name, 0) for name in get_args(Action)}
    count = sum(counts.values())
    return from_fields(
        ReplayReport,
        rows,
        version=VERSION,
        first_session=points[0].session if points else None,
        last_session=points[-1].session if points else None,
        sessions=[point.session for point in points],
        curves=curves,
        exposure=_exposure(rows.equity),
        turnover=_turnover(filled, rows.equity),
        commission=commission,
        commission_rate=Figure(rounded(float(commission) / initial)),
        actions=[(name, number, rounded(number / count)) for name, number in counts.items()] if count else [],
        orders=dict(sorted(Counter(one.status for one in rows.orders).items())),
        judgement=judge(rows.days, rows.bins, rows.horizon),
        symbols=[_symbol(symbol, filled, rows) for symbol in _symbols(rows, filled)],
        refusals=[
            ReportedReason(code, rows.meanings.get(code, ""), number)
            for code, number in sorted(rows.refusals.items(), key=lambda item: (-item[1], item[0]))
        ],
        trades=[_trade(one, decisions) for one in filled],
        decisions=[
            from_fields(
                DecisionWhy,
                one,
                model=f"{one.model_name} {one.model_version[:12]}",
                reasons=rows.reasons.get(one.prediction_id, []),
            )
            for one in rows.decisions
        ],
    )


def hold_curve(
    opens: Mapping[str, float], closes: Mapping[str, Mapping[date, float]], sessions: Sequence[date], initial: float
) -> list[tuple[date, float]]:
    """Return the value at each close of equal parts bought at each symbol's first open; a missing bar keeps the last.

    Bars adjusted for splits are expected; dividends are left out. Until its first bar a symbol's part is cash.
    """
    if not opens:
        return []
    part, last = initial / len(opens), dict.fromkeys(opens, 1.0)
    found = []
    for session in sessions:
        for symbol, first in opens.items():
            close = closes[symbol].get(session)
            if close is not None:
                last[symbol] = close / first
        found.append((session, part * sum(last.values())))
    return found


def _curve(name: str, initial: float, points: Sequence[Point]) -> Curve:
    return Curve(
        name=name,
        values=[round(point.value, 2) for point in points],
        drawdowns=[rounded(one) for one in drawdowns(initial, points)],
        performance=performance(initial, points),
        months=monthly(initial, points),
    )


def _exposure(equity: Sequence[EquityPoint]) -> Figure:
    shares = [float(one.positions_value / one.equity) for one in equity if one.equity > 0]
    return Figure(rounded(sum(shares) / len(shares))) if shares else Figure(None, "there is no session")


def _turnover(filled: Sequence[Order], equity: Sequence[EquityPoint]) -> Figure:
    if not equity:
        return Figure(None, "there is no session")
    mean = sum(float(one.equity) for one in equity) / len(equity)
    if mean <= 0:
        return Figure(None, "nothing is left")
    traded = sum(float(_value(one)) for one in filled)
    return Figure(rounded(traded / 2 / mean * YEAR / len(equity)))


def _quantity(one: Order) -> Decimal:
    return one.quantity if one.filled_quantity is None else one.filled_quantity


def _value(one: Order) -> Decimal:
    return _quantity(one) * (one.fill_price or Decimal(0))


def _symbols(rows: ReplayRows, filled: Sequence[Order]) -> list[str]:
    return [*rows.symbols, *sorted({one.symbol for one in filled} - set(rows.symbols))]


def _symbol(symbol: str, filled: Sequence[Order], rows: ReplayRows) -> SymbolResult:
    own = [one for one in filled if one.symbol == symbol]
    sides: defaultdict[str, Decimal] = defaultdict(Decimal)
    for one in own:
        sides[one.side] += _value(one)
    commission = sum((one.commission or Decimal(0) for one in own), Decimal(0))
    dividends, held = rows.dividends.get(symbol, Decimal(0)), rows.held.get(symbol, Decimal(0))
    return SymbolResult(
        symbol=symbol,
        trades=len(own),
        gain=sides["SELL"] + dividends + held - sides["BUY"] - commission,
        commission=commission,
        dividends=dividends,
        held=held,
        judgement=judge(rows.by_symbol.get(symbol, []), [], rows.horizon),
    )


def _trade(one: Order, decisions: Mapping[str, Prediction]) -> Trade:
    made = decisions.get(one.prediction_id) if one.prediction_id else None
    return from_fields(
        Trade,
        one,
        quantity=_quantity(one),
        price=one.fill_price or Decimal(0),
        value=_value(one),
        commission=one.commission or Decimal(0),
        why=_why(one, made),
    )


def _why(one: Order, made: Prediction | None) -> str:
    if one.reason == "manual":
        return "by hand"
    if one.reason == "horizon":
        return "the horizon of the decision that opened the position is over"
    if one.reason not in ("signal", "sell_signal") or made is None:
        return one.reason.replace("_", " ")
    said = f"{made.action}: p {made.probability:.4f} beside a base rate of {made.base_rate:.4f}"
    return f"{said}; made smaller by {one.reduction}" if one.reduction else said


def plain(report: ReplayReport) -> Any:
    """Return the report as plain JSON: money as text, days as `2009-01-05`."""
    return msgspec.to_builtins(report)
