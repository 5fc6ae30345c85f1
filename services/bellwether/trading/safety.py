"""Whether it is safe to trade: would an order be allowed if the session were open. Pure.

A closed session is state, not unsafety, so nothing here asks for the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from bellwether.messages.trading import Safety, SafetyRefusal
from bellwether.trading.book import Book
from bellwether.trading.codes import Code
from bellwether.trading.guards import Objection, objections
from bellwether.trading.placing import OrderIntent, Origin, situation_of
from bellwether.trading.pricing import ZERO
from bellwether.trading.situation import Circumstances, Quality, Situation


class Newest(NamedTuple):
    """A symbol's newest closing price, its session, the quality of its bars; zero and None where there is no bar."""

    price: Decimal = ZERO
    session: date | None = None
    quality: Quality = Quality()
    judged: bool = True
    """False where data-quality was asked and did not answer in time: then the quality is not known to be missing."""


def safety_of(book: Book, circumstances: Circumstances, newest: Mapping[str, Newest] | None) -> Safety:
    """Return what stands against every order, then what stands against opening a position in single symbols.

    It is safe while nothing stands against every order and a position could be opened in some declared symbol. Where
    the newest prices are not known (None: nobody reported them), or their quality is not, neither is whether it is
    safe, unless something stands against every order already.
    """
    anything = _opening("", Newest(), book, circumstances)
    found = [_refusal(code, objection) for code, objection in objections("system", anything)]
    if newest is None:
        return Safety(safe=False if found else None, refusals=found)
    symbols = sorted(circumstances.rules.symbols)
    against_all, unknown = bool(found), set()
    for symbol in symbols:
        last = newest.get(symbol, Newest())
        against = list(objections("symbol", _opening(symbol, last, book, circumstances)))
        if not last.judged and against and all(code is Code.QUALITY_UNKNOWN for code, _ in against):
            unknown.add(symbol)
            continue
        found += [_refusal(code, objection, symbol) for code, objection in against]
    refused = {one.symbol for one in found}
    if not against_all and any(symbol not in refused | unknown for symbol in symbols):
        return Safety(safe=True, refusals=found)
    return Safety(safe=None if unknown and not against_all else False, refusals=found)


def _opening(symbol: str, newest: Newest, book: Book, circumstances: Circumstances) -> Situation:
    """Return the situation of somebody who would open a position in a symbol."""
    intent = OrderIntent(
        order_id="",
        reason="signal",
        symbol=symbol,
        side="BUY",
        session=circumstances.now.date(),
        price=newest.price,
        quantity=None,
        may_trade=True,
        origin=Origin(),
        bar_session=newest.session,
        quality=newest.quality,
    )
    return situation_of(intent, book, circumstances)


def _refusal(code: Code, objection: Objection, symbol: str = "") -> SafetyRefusal:
    of = f"{symbol}: " if symbol else ""
    return SafetyRefusal(
        code=code.name,
        value=objection.value,
        limit=objection.limit,
        message=f"{of}{code.value} (found {objection.value}; limit: {objection.limit})",
        symbol=symbol,
    )
