"""The report of a session, composed from its rows: the same rows give the same bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from bellwether.messages.fields import from_fields
from bellwether.messages.reporting import (
    MetDecision,
    ReportedAccount,
    ReportedNews,
    ReportedOrder,
    ReportedPrediction,
    ReportedQuality,
    ReportedReason,
    ReportedRefusal,
    SessionBook,
    SessionDecision,
    SessionReport,
    SessionRows,
)
from bellwether.messages.trading import Order
from bellwether.reporting.intervals import rounded
from bellwether.reporting.judging import judge

VERSION = 1
HOLD = "HOLD"
NO_BATCH = "NO_BATCH"
MEANINGS: Mapping[str, str] = {
    HOLD: "the prediction was HOLD: the probability is too near the base rate for an order",
    NO_BATCH: "the batch that may trade did not run, or predicted nothing",
}
"""Reasons that are no guard's code."""


def compose(rows: SessionRows) -> SessionReport:
    """Return the report of a session."""
    decided, book = rows.decided, rows.book
    predictions = _predictions(rows)
    orders = [from_fields(ReportedOrder, one, price=one.fill_price) for one in book.orders]
    account = _account(book)
    refusals = _refusals(book)
    horizon = max((one.horizon_sessions for one in decided.decisions), default=1)
    return from_fields(
        SessionReport,
        rows,
        version=VERSION,
        summary=_summary(rows, predictions, account, len(refusals)),
        predictions=predictions,
        refusals=refusals,
        orders=orders,
        account=account,
        positions=book.positions,
        halts=book.halts,
        settled=decided.settled,
        judgement=judge(decided.days, decided.bins, horizon),
        quality_score=rows.quality.overall_score,
        quality=_quality(rows),
        news=[
            ReportedNews(one.symbol, one.sentiment_score, one.news_confidence or 0.0, one.headlines)
            for one in decided.decisions
            if one.sentiment_score is not None
        ],
        idle_sessions=book.idle.sessions,
        idle_reasons=_reasons(rows),
    )


def _predictions(rows: SessionRows) -> list[ReportedPrediction]:
    met = {one.prediction_id: one for one in rows.book.met}
    orders = {one.order_id: one for one in rows.book.orders}
    made = {one.symbol: one for one in rows.decided.decisions}
    found = []
    for symbol in [*rows.symbols, *sorted(made.keys() - set(rows.symbols))]:
        if symbol in made:
            one = made[symbol]
            became = _became(one, met.get(one.prediction_id), orders, rows.book)
            found.append(
                from_fields(
                    ReportedPrediction,
                    one,
                    became=became,
                    price=one.current_price,
                    model=f"{one.model_name} {one.model_version[:12]}".strip(),
                    missing=one.fallbacks,
                )
            )
        else:
            why = rows.failures.get(symbol, "no batch predicted it")
            found.append(ReportedPrediction(symbol, f"not predicted: {why}"))
    return found


def _became(made: SessionDecision, met: MetDecision | None, orders: Mapping[str, Order], book: SessionBook) -> str:
    """Return in words what became of a decision."""
    if met is None:
        return "the trader has not met it" if made.may_trade else "made for looking at"
    if met.outcome == "order":
        order = None if met.order_id is None else orders.get(met.order_id)
        if order is None:
            return f"order {met.order_id}"
        return f"{order.side} {order.quantity:f}, {order.status}" + (f": {order.refusal}" if order.refusal else "")
    if met.code is not None:
        return f"refused, {met.code}: {_meaning(met.code, book)} (value {met.value}, limit {met.limit})"
    if made.action == HOLD:
        return "no order asked for"
    return "made for looking at" if not made.may_trade else "ignored"


def _refusals(book: SessionBook) -> list[ReportedRefusal]:
    """Return every refusal by time: the ledger's, and those of decisions that asked for nothing the ledger keeps."""
    kept = {one.prediction_id for one in book.refusals if one.stage == "signal"}
    found = [
        ReportedRefusal(one.symbol, one.code, _meaning(one.code, book), one.value, one.limit, one.stage, one.at)
        for one in book.refusals
    ]
    found += [
        ReportedRefusal(
            one.symbol, one.code, _meaning(one.code, book), one.value or "", one.limit or "", "signal", one.at
        )
        for one in book.met
        if one.code is not None and one.prediction_id not in kept
    ]
    return sorted(found, key=lambda one: (one.at, one.symbol, one.code))


def _account(book: SessionBook) -> ReportedAccount:
    point = book.close or book.before
    equity = book.initial_cash if point is None else point.equity
    before = None if book.close is None else (book.initial_cash if book.before is None else book.before.equity)
    change = None if before is None else equity - before
    since = equity - book.initial_cash
    return ReportedAccount(
        currency=book.currency,
        closed=book.close is not None,
        equity=equity,
        cash=book.initial_cash if point is None else point.cash,
        positions_value=Decimal(0) if point is None else point.positions_value,
        change=change,
        change_rate=None if change is None or before is None else _share(change, before),
        since_start=since,
        since_start_rate=_share(since, book.initial_cash),
        realised=book.realised,
        commission=book.commission,
    )


def _share(part: Decimal, whole: Decimal) -> float | None:
    return rounded(float(part / whole)) if whole > 0 else None


def _quality(rows: SessionRows) -> list[ReportedQuality]:
    found = []
    for symbol in [*rows.symbols, *sorted(rows.quality.symbols.keys() - set(rows.symbols))]:
        one = rows.quality.symbols.get(symbol)
        if one is None or one.quality_score is None:
            found.append(ReportedQuality(symbol, None, rows.quality.unmeasured.get(symbol, "nothing was measured")))
        else:
            worst = one.findings[0].message if one.findings else "nothing is wrong"
            found.append(ReportedQuality(symbol, one.quality_score, worst))
    return found


def _reasons(rows: SessionRows) -> list[ReportedReason]:
    """Return why there was no order since the last one, the most frequent first."""
    idle = rows.book.idle
    if not idle.sessions:
        return []
    counts = idle.reasons or {NO_BATCH: idle.sessions}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [ReportedReason(code, _meaning(code, rows.book), count) for code, count in ordered]


def _meaning(code: str, book: SessionBook) -> str:
    return book.meanings.get(code) or MEANINGS.get(code, "")


def _summary(
    rows: SessionRows, predictions: Sequence[ReportedPrediction], account: ReportedAccount, refused: int
) -> str:
    """Return the session in one line."""
    predicted = sum(one.action is not None for one in predictions)
    filled = sum(
        one.status in ("filled", "partially_filled") and one.session == rows.session for one in rows.book.orders
    )
    change = "not closed yet" if account.change is None else f"{account.change:+,.2f} {account.currency}"
    parts = [
        f"{predicted} of {len(predictions)} predicted",
        f"{filled} filled",
        f"{refused} refused",
        f"equity {account.equity:,.2f} ({change})",
    ]
    troubles = [one for one in rows.slots if one.status in ("failed", "missed", "not run")]
    if troubles:
        parts.append(", ".join(f"{one.task} {one.status}" for one in troubles))
    if rows.book.halts:
        parts.append("orders are halted")
    return "; ".join(parts)
