"""Whatever happens to an account, its cash and positions reconcile, and it never owes anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from bellwether.messages.market_data import CorporateAction
from bellwether.messages.prediction import Action
from bellwether.trading.book import Book, fold
from bellwether.trading.check import cash_from, check_ledger, statuses_from
from bellwether.trading.events import AccountOpened, LedgerEvent, decode, encode
from bellwether.trading.placing import OrderIntent, Origin, order_id_of, place, queue
from bellwether.trading.release import Opening
from bellwether.trading.rules import Rules
from bellwether.trading.sessions import Closing, close_session
from bellwether.trading.situation import Circumstances
from unit.trading.making import BEFORE_OPEN, RULES, open_session, prediction

SYMBOLS = ("AAA", "BBB", "CCC")
ACTIONS: tuple[Action, ...] = ("STRONG_BUY", "BUY", "HOLD", "SELL", "STRONG_SELL")


@dataclass(frozen=True)
class Day:
    """One made-up day: what is signalled, asked by hand, split, paid out, and at which prices."""

    actions: dict[str, Action]
    opens: dict[str, Decimal | None]
    closes: dict[str, Decimal]
    ratios: dict[str, float]
    dividends: dict[str, float]
    manual: tuple[str, bool, int] | None
    halted: bool


prices = st.decimals("0.05", "900", places=2)
days = st.builds(
    Day,
    actions=st.fixed_dictionaries({symbol: st.sampled_from(ACTIONS) for symbol in SYMBOLS}),
    opens=st.fixed_dictionaries({symbol: st.none() | prices for symbol in SYMBOLS}),
    closes=st.fixed_dictionaries(dict.fromkeys(SYMBOLS, prices)),
    ratios=st.dictionaries(st.sampled_from(SYMBOLS), st.sampled_from([0.1, 0.3333, 1.05, 1.5, 2.0, 7.0]), max_size=2),
    dividends=st.dictionaries(st.sampled_from(SYMBOLS), st.sampled_from([0.001, 0.25, 3.1]), max_size=2),
    manual=st.none() | st.tuples(st.sampled_from(SYMBOLS), st.booleans(), st.integers(1, 400)),
    halted=st.booleans(),
)
rules = st.builds(
    lambda value, horizon, orders, cash: replace(
        RULES, sizing_value=value, horizon_sessions=horizon, max_orders_per_session=orders, initial_cash=cash
    ),
    st.sampled_from([Decimal(100), Decimal(1000), Decimal(30000)]),
    st.integers(0, 3),
    st.integers(0, 4),
    st.sampled_from([Decimal(50), Decimal(3000), Decimal(100000)]),
)


def lived(rules: Rules, history: list[Day]) -> tuple[Book, list[LedgerEvent]]:
    """Let an account live through days; check it after every step."""
    events: list[LedgerEvent] = [AccountOpened(BEFORE_OPEN, rules.initial_cash, "USD")]
    book = fold(events)

    def happened(new: Sequence[LedgerEvent]) -> None:
        nonlocal book
        for event in new:
            book = fold([event], book)
            events.append(event)
            assert book.imbalance() == 0
            assert book.cash >= 0
            assert all(one.quantity > 0 and one.cost >= 0 for one in book.holdings.values())

    for number, day in enumerate(history):
        session = date(2009, 1, 5) + timedelta(days=number)
        now = datetime(session.year, session.month, session.day, 14, 0, tzinfo=UTC)
        at = Circumstances(rules, ("test: halted",) if day.halted else (), now)
        for symbol, action in day.actions.items():
            signal = prediction(
                prediction_id=f"{session}-{symbol}",
                symbol=symbol,
                action=action,
                timestamp=now,
                current_price=float(day.closes[symbol]),
                target_session=session,
                valid_until=now + timedelta(hours=7),
            )
            happened(place(signal, "", book, at).events)
        if day.manual is not None:
            symbol, buy, quantity = day.manual
            order_id = order_id_of("manual", f"{session}")
            side = "BUY" if buy else "SELL"
            intent = OrderIntent(
                order_id,
                "manual",
                symbol,
                "BUY" if side == "BUY" else "SELL",
                session,
                day.closes[symbol],
                Decimal(quantity),
                True,
                Origin(),
            )
            happened(queue(intent, book, at, "manual").events)
        actions = [CorporateAction(symbol, session, "split", ratio=ratio) for symbol, ratio in day.ratios.items()]
        actions += [CorporateAction(one, session, "dividend", amount=paid) for one, paid in day.dividends.items()]
        known = {symbol: price for symbol, price in day.opens.items() if price is not None}
        opened = open_session(book, replace(at, now=now + timedelta(minutes=30)), Opening(session, known, actions))
        happened(opened.events)
        following = session + timedelta(days=1)
        closed = close_session(book, replace(at, now=now + timedelta(hours=7)), Closing(session, following, day.closes))
        happened(closed)
        assert not [order for order in book.queued.values() if order.session <= session]
    return book, events


@settings(max_examples=120, deadline=None)
@given(rules=rules, history=st.lists(days, min_size=1, max_size=6))
def test_cash_and_positions_reconcile_whatever_happens(rules: Rules, history: list[Day]) -> None:
    book, events = lived(rules, history)
    assert cash_from(events) == book.cash
    assert fold(events) == book
    assert len({event.key for event in events}) == len(events)
    rows = [
        {"order_id": order_id, "status": status, "quantity": str(quantity)}
        for order_id, (status, quantity) in statuses_from(events).items()
    ]
    assert check_ledger(events, book, rows).violations == []


@settings(max_examples=20, deadline=None)
@given(rules=rules, history=st.lists(days, min_size=1, max_size=3))
def test_events_come_back_from_their_stored_text_as_they_were(rules: Rules, history: list[Day]) -> None:
    _, events = lived(rules, history)
    assert [decode(encode(event)) for event in events] == events


def test_the_check_names_what_is_wrong() -> None:
    signal = prediction()
    order = place(
        signal, "", fold([AccountOpened(BEFORE_OPEN, Decimal(100000), "USD")]), Circumstances(RULES, (), BEFORE_OPEN)
    )
    events: list[LedgerEvent] = [AccountOpened(BEFORE_OPEN, Decimal(100000), "USD"), *order.events]
    book = fold(events)
    good = [{"order_id": str(order.order_id), "status": "queued", "quantity": "19"}]
    assert check_ledger(events, book, good).violations == []
    assert check_ledger(events, book, []).violations == [
        f"order {order.order_id} is in the events but not in the table"
    ]
    wrong = [{**good[0], "status": "filled"}]
    assert check_ledger(events, book, wrong).violations == [
        f"order {order.order_id} is filled in the table, queued by its events"
    ]
    twice = [*events, replace_id(events[-1])]
    found = check_ledger(twice, fold(twice), good)
    assert found.duplicate_orders == 1
    assert f"decision {signal.prediction_id} has 2 orders" in found.violations
    poorer = book.copied()
    poorer.cash -= 1
    assert "cash is 99999, the events add up to 100000" in check_ledger(events, poorer, good).violations


def replace_id(event: LedgerEvent) -> LedgerEvent:
    return decode(encode(event).replace("bw-", "xx-"))
