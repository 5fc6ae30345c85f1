"""What is held, queued and known at the open of a session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from bellwether.messages.market_data import CorporateAction
from bellwether.trading.book import Book, fold
from bellwether.trading.events import OrderFilled
from bellwether.trading.placing import place
from bellwether.trading.release import Opening
from bellwether.trading.rules import Rules
from bellwether.trading.sessions import Closing
from unit.trading.making import BEFORE_OPEN, FOLLOWING, FREE, SESSION, circumstances, prediction

EARLIER = date(2009, 1, 2)


def bought(symbol: str, quantity: int, price: int = 50, session: date = EARLIER) -> OrderFilled:
    return OrderFilled(
        BEFORE_OPEN,
        f"bought-{symbol}",
        symbol,
        "BUY",
        Decimal(quantity),
        Decimal(price),
        Decimal(0),
        Decimal(0),
        session,
    )


def queued(book: Book, *signals: tuple[str, str], rules: Rules = FREE, session: date = SESSION) -> Book:
    for symbol, action in signals:
        signal = prediction(symbol=symbol, action=action, prediction_id=f"p-{symbol}", target_session=session)
        outcome = place(signal, "", book, circumstances(rules))
        assert outcome.outcome == "order", outcome.events
        book = fold(outcome.events, book)
    return book


def opening(actions: Sequence[CorporateAction] = (), *, final: bool = True, **prices: str) -> Opening:
    return Opening(SESSION, {symbol: Decimal(price) for symbol, price in prices.items()}, actions, final)


def closing(**prices: str) -> Closing:
    return Closing(SESSION, FOLLOWING, {symbol: Decimal(price) for symbol, price in prices.items()})
