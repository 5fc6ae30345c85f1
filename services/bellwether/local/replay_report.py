"""`bellwether replay FILE --report DIR`: what the replay left in the stores, and the two files made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from bellwether.messages.market_data import Bars
from bellwether.messages.prediction import Action, Prediction
from bellwether.messages.reporting import GetSessionDecisions, OutcomeDay
from bellwether.messages.trading import EquityPoint, Order
from bellwether.prediction import store as decided
from bellwether.prediction.session import MOST_SESSIONS, outcomes_of_symbol, session_decisions
from bellwether.reporting.page import replay_page
from bellwether.reporting.replay import FILLED, ReplayRows, compose_replay, hold_curve, plain
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store, Transaction
from bellwether.trading.answers import order_from
from bellwether.trading.codes import Code
from bellwether.trading.events import DividendPaid, decode
from bellwether.trading.queries import find_equity, find_orders
from bellwether.trading.session_book import refusal_counts
from bellwether.trading.tables import ledger_events

PAGE_NAME, JSON_NAME = "index.html", "report.json"
_ALL = 10_000_000


class Asked(NamedTuple):
    """What the services said at the replay's end: bars, the value of what is held, decisions by action."""

    histories: Sequence[Bars]
    held: Mapping[str, Decimal]
    actions: Mapping[Action, int]


class Stores(Protocol):
    """Whoever has the stores of the replay's services."""

    def store(self, service: str) -> Store:
        """Return the store of a service of this process."""


async def gather(stores: Stores, system: TradingSystem, run: str, asked: Asked) -> ReplayRows:
    """Return what a replay that is complete left behind."""
    histories, held, actions = asked
    symbols = list(system.spec.symbols)

    def ledger(tx: Transaction) -> tuple[list[EquityPoint], list[Order], dict[str, Decimal], dict[str, int]]:
        found, _ = find_orders(tx, run, limit=_ALL)
        return (
            find_equity(tx, run),
            [order_from(row) for row in reversed(found)],
            _dividends(tx, run),
            refusal_counts(tx, run),
        )

    equity, orders, dividends, refusals = await stores.store("paper-trading").transact(ledger)
    last = equity[-1].session if equity else date.max
    wanted = sorted({one.prediction_id for one in orders if one.prediction_id and one.status in FILLED})

    def decisions(tx: Transaction) -> tuple[Any, dict[str, list[OutcomeDay]], list[decided.Row]]:
        judged = session_decisions(tx, run, GetSessionDecisions(last, [], MOST_SESSIONS))
        by_symbol = {symbol: outcomes_of_symbol(tx, run, symbol) for symbol in symbols}
        parts = [wanted[first : first + 500] for first in range(0, len(wanted), 500)]
        return judged, by_symbol, [row for part in parts for row in decided.stored(tx, run, part).values()]

    judged, by_symbol, rows = await stores.store("prediction").transact(decisions)
    rows = sorted(rows, key=lambda row: row.sequence)
    made: list[Prediction] = [row.prediction for row in rows]
    return ReplayRows(
        system=system.metadata.name,
        calendar=system.spec.market.calendar,
        currency=system.spec.trading.currency,
        initial_cash=Decimal(system.spec.trading.initial_cash),
        symbols=symbols,
        equity=equity,
        hold=_hold(histories, [one.session for one in equity], float(system.spec.trading.initial_cash)),
        orders=orders,
        dividends=dividends,
        held=dict(held),
        refusals=refusals,
        meanings={code.name: code.value for code in Code if code.name in refusals},
        actions={str(name): count for name, count in actions.items()},
        days=judged.days,
        bins=judged.bins,
        by_symbol=by_symbol,
        decisions=made,
        reasons={row.prediction.prediction_id: _reasons(row.canonical) for row in rows},
        horizon=max((one.horizon_sessions for one in made), default=1),
        assumptions=assumptions(system),
    )


def write_report(rows: ReplayRows, folder: Path) -> list[Path]:
    """Write the page and the JSON of a replay; return where they are.

    Raises:
        OSError: if the folder cannot be made or written to.
    """
    report = compose_replay(rows)
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / PAGE_NAME, folder / JSON_NAME
    page.write_text(replay_page(report), "utf-8")
    data.write_text(json.dumps(plain(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return [page, data]


def assumptions(system: TradingSystem) -> list[tuple[str, str]]:
    """Return everything that the figures rest on, as pairs of what and how."""
    spec = system.spec
    trading, costs, risk = spec.trading, spec.trading.costs, spec.trading.risk
    horizon = trading.exit.horizon_sessions
    fee = f"{costs.commission_per_order} {trading.currency} an order"
    return [
        ("bars", f"daily, provider {spec.data.provider}, calendar {spec.market.calendar}; decided on closed bars only"),
        ("symbols", "as declared today: those that failed before and are not in the list are missing (survivorship)"),
        ("fills", "every order that passed the guards is filled whole at the opening price of its session"),
        ("slippage", f"{costs.slippage_bps} basis points worse than the opening price"),
        ("commission", f"{fee} and {costs.commission_bps} basis points of its value"),
        ("market impact", "none: an order moves no price, however large"),
        ("sizing", f"{trading.sizing.method} {trading.sizing.value}, whole shares or lots"),
        ("exit", f"after {horizon} sessions" + (", or on SELL" if trading.exit.on_sell else "")),
        ("short positions", "none"),
        (
            "limits",
            f"at most {risk.max_position_value} a position, {risk.max_orders_per_session} orders a session, "
            f"no purchase after a loss of {risk.max_daily_loss} in a session",
        ),
        ("cash", "earns nothing; the riskless rate is 0"),
        ("taxes", "none"),
        ("dividends and splits", "as the bars' source states them, at the ex-date"),
        ("buy-and-hold", "equal parts of the symbols that have bars, bought at the first open, no costs, no dividends"),
        ("model", f"{spec.predictions.model}, trained on bars from before the replay's first session"),
        ("ratios", "simple returns from close to close, 252 sessions a year, sample deviation"),
        ("intervals", "95 %, circular block bootstrap over sessions, blocks as long as the horizon"),
    ]


def _dividends(tx: Transaction, run: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    query = ledger_events.select().where(ledger_events.c.run == run, ledger_events.c.key.startswith("dividend:"))
    for row in tx.execute(query):
        event = decode(row.data)
        if isinstance(event, DividendPaid):
            found[event.symbol] = found.get(event.symbol, Decimal(0)) + event.cash
    return found


def _hold(histories: Sequence[Bars], sessions: Sequence[date], initial: float) -> list[tuple[date, float]]:
    if not sessions:
        return []
    later = {one.symbol: [bar for bar in one.bars if bar.session >= sessions[0]] for one in histories}
    opens = {symbol: bars[0].open for symbol, bars in later.items() if bars}
    closes = {symbol: {bar.session: bar.close for bar in bars} for symbol, bars in later.items()}
    return hold_curve(opens, closes, sessions, initial)


def _reasons(canonical: bytes) -> list[str]:
    return [str(one) for one in msgspec.json.decode(canonical)["outcome"]["reasons"]]
