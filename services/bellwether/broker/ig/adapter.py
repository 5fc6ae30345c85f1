"""IG's demo account behind the broker port.

Orders are market orders, filled whole or not at all unless declared otherwise, with our own reference. An order whose
answer is missing is never sent again: it is looked up by its reference. A sale is an opposite order with
`forceOpen=false` and takes no more than is held, since more would be a short position.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bellwether.broker.ig.cash import adjustments_of, closing_price
from bellwether.broker.ig.client import IgClient, IgError
from bellwether.broker.ig.facts import MarketFacts, NotUnderstood, exact, facts_of, problems
from bellwether.broker.ig.lookup import (
    from_activity,
    from_confirm,
    from_positions,
    instant_of,
    references_of,
    stops_from,
)
from bellwether.broker.ig.words import EQUITY, EQUITY_WORDS, reason_words, status_words
from bellwether.broker.port import BrokerError, LastLook, NoBroker, NotSent, Unclear, nothing_halts
from bellwether.broker.values import (
    ZERO,
    Accepted,
    Adjustment,
    BrokerAccount,
    BrokerEvent,
    BrokerPosition,
    Ended,
    Lookup,
    MarketState,
    NewOrder,
    Rejected,
    Stopped,
)
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystemSpec

QUOTES_LAST = 2.0
"""Seconds for which one answer about all markets serves."""
CONFIRM_AFTER = (0.3, 0.7, 1.5, 3.0, 6.0)
"""Seconds between looks for an order's confirm; the last one again and again until the lookup window is over."""
MARGIN_OF_TIME = timedelta(hours=36)
"""How much earlier than an order its activity is asked for: dates there are in the account's own time zone."""
YOUNG = 300.0
"""Seconds in which an order of an earlier process may still be confirmed, and stand nowhere else."""
LOOK_BACK = timedelta(days=7)
OURS = "bw-"
"""How references of our orders begin."""
ALL_ROWS = 500
MOST_PAGES = 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the declaration says of the account; `instruments` gives epic and shares per contract by symbol."""

    currency: str
    instruments: Mapping[str, tuple[str, int]]
    time_in_force: str = "FILL_OR_KILL"
    lookup_window: timedelta = timedelta(minutes=2)


def settings_of(spec: TradingSystemSpec) -> Settings:
    """Return what a declaration says of the account."""
    trading = spec.trading
    return Settings(
        currency=trading.currency,
        instruments={symbol: (one.epic, one.lot_size) for symbol, one in trading.instruments.items()},
        time_in_force=trading.ig.time_in_force,
        lookup_window=parse_duration(trading.ig.lookup_window),
    )


class IgBroker:
    """One demo account; it keeps nothing on disk."""

    name = "ig-demo"

    def __init__(
        self,
        client: IgClient,
        settings: Callable[[], Settings],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        confirm_after: Sequence[float] = CONFIRM_AFTER,
        quotes_last: float = QUOTES_LAST,
    ) -> None:
        self._client = client
        self._settings = settings
        self._now = now
        self._confirm_after = confirm_after
        self._quotes_last = quotes_last
        self._facts: dict[str, MarketFacts] = {}
        self._quoted = 0.0
        self._made = time.monotonic()
        self._events: list[BrokerEvent] = []
        self._wake: Callable[[], None] = lambda: None
        self._known: set[str] | None = None
        self._orders: dict[str, NewOrder] = {}
        self._following: dict[str, asyncio.Task[None]] = {}

    # Session and markets

    async def connect(self) -> Sequence[str]:
        """Log in and check every declared symbol; return those that can be traded.

        Raises:
            NoBroker: with the code of what is missing, in words.

        """
        tradeable, wrong = [], {}
        for symbol in sorted(self._settings().instruments):
            found = await self.check(symbol)
            if isinstance(found, MarketFacts):
                tradeable.append(symbol)
            else:
                wrong[symbol] = found
        for symbol, lines in wrong.items():
            _log.error("%s cannot be traded at IG: %s", symbol, "; ".join(lines))
        if not tradeable:
            said = "; ".join(f"{symbol}: {', '.join(lines)}" for symbol, lines in wrong.items())
            raise NoBroker("NO_INSTRUMENT", said or "trading.instruments names no market")
        return tradeable

    async def check(self, symbol: str) -> MarketFacts | list[str]:
        """Return what IG says of a symbol's market, or what speaks against trading it.

        Raises:
            NoBroker: IG does not answer, or gives this account no share data at all.

        """
        settings = self._settings()
        epic, _ = settings.instruments[symbol]
        try:
            facts = facts_of(await self._client.get(f"/markets/{epic}", 3))
        except IgError as error:
            if error.code == EQUITY:
                raise NoBroker("NO_SHARE_DATA", f"{EQUITY_WORDS} ({EQUITY})") from None
            return [f"epic {epic}: {error.words}"]
        except NotUnderstood as error:
            return [f"epic {epic}: {error}"]
        found = problems(facts, settings.currency)
        if not found:
            self._facts[epic] = facts
        return [f"epic {epic} ({facts.name}): {line}" for line in found] or facts

    async def market(self, symbol: str) -> MarketState:
        """Return whether the symbol's market takes a market order now, and the middle of bid and offer."""
        facts = await self._quote(symbol)
        if facts is None:
            return MarketState(tradeable=False, reason="IG says nothing of its market")
        _, lot = self._settings().instruments[symbol]
        price = facts.middle / lot
        if facts.status != "TRADEABLE":
            return MarketState(False, price, f"the market is {status_words(facts.status)} at IG")
        if not facts.takes_market_orders:
            return MarketState(False, price, "the market takes no market orders", final=True)
        return MarketState(True, price)

    async def _quote(self, symbol: str) -> MarketFacts | None:
        settings = self._settings()
        if symbol not in settings.instruments:
            raise NoBroker("NO_INSTRUMENT", f"trading.instruments names no epic of {symbol}")
        if time.monotonic() - self._quoted > self._quotes_last or settings.instruments[symbol][0] not in self._facts:
            epics = ",".join(sorted(epic for epic, _ in settings.instruments.values()))
            answer = await self._ask("/markets", 2, {"epics": epics, "filter": "ALL"})
            for row in answer.get("marketDetails") or ():
                with contextlib.suppress(NotUnderstood):
                    facts = facts_of(row)
                    self._facts[facts.epic] = facts
            self._quoted = time.monotonic()
        return self._facts.get(settings.instruments[symbol][0])

    async def _ask(self, path: str, version: int, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        try:
            return await self._client.get(path, version, params)
        except IgError as error:
            code = "NO_SHARE_DATA" if error.code == EQUITY else "IG_ERROR"
            raise NoBroker(code, error.words) from None

    # Orders

    async def submit(self, order: NewOrder, last_look: LastLook = nothing_halts) -> None:
        """Send an order once; what became of it is followed until the lookup window is over."""
        settings = self._settings()
        if order.symbol not in settings.instruments:
            raise NotSent("NO_INSTRUMENT", f"trading.instruments names no epic of {order.symbol}")
        epic, lot = settings.instruments[order.symbol]
        try:
            if await self._is_known(order.reference):
                self._follow(order)
                return
            facts = self._facts.get(epic) or await self._quote(order.symbol)
            held = await self._net(epic) if order.side == "SELL" else ZERO
        except NoBroker as error:
            raise NotSent(error.code, error.message) from None
        if facts is None:
            raise NotSent("NO_INSTRUMENT", f"IG says nothing of epic {epic}")
        refusal = _refusal(order, lot, held)
        if refusal:
            self._tell(Rejected(order.reference, self._now(), refusal, reason_words(refusal)))
            return
        if self._now() >= order.deadline:
            self._tell(Ended(order.reference, self._now(), "expired", "its time was over before it was sent"))
            return
        known = self._known = self._known if self._known is not None else set()
        known.add(order.reference)
        try:
            await self._client.order("POST", "/positions/otc", 2, _ticket(order, facts, lot, settings), last_look)
        except IgError as error:
            self._tell(Rejected(order.reference, self._now(), error.code, error.words))
            return
        except NotSent:
            known.discard(order.reference)
            raise
        except Unclear:
            self._follow(order)
            raise
        self._tell(Accepted(order.reference, self._now()))
        self._follow(order)

    async def _is_known(self, reference: str) -> bool:
        """Whether IG knows a reference: from what this process sent, and once at its first order from IG's records.

        Orders of an earlier process are looked up by the caller; this holds if that is forgotten.
        """
        if self._known is None:
            rows = await self._activity(self._now() - LOOK_BACK)
            self._known = set(references_of(rows, await self._positions()))
        if reference in self._known:
            return True
        if time.monotonic() - self._made > YOUNG:
            return False
        found = bool(await self._confirm(reference, 1, None))
        if found:
            self._known.add(reference)
        return found

    def _follow(self, order: NewOrder) -> None:
        """Look for an order's outcome until it is known or the window is over."""
        self._orders[order.reference] = order
        if order.reference not in self._following:
            task = asyncio.get_running_loop().create_task(self._look(order))
            self._following[order.reference] = task
            task.add_done_callback(lambda _: self._following.pop(order.reference, None))

    async def _look(self, order: NewOrder) -> None:
        started, since, looks = time.monotonic(), self._now(), 0
        while time.monotonic() - started < self._settings().lookup_window.total_seconds():
            await asyncio.sleep(self._confirm_after[min(looks, len(self._confirm_after) - 1)])
            looks += 1
            try:
                found = await self._outcome(order.reference, since, confirm_only=looks <= 2)
            except BrokerError as error:
                _log.warning("order %s cannot be looked up at IG now: %s", order.reference, error)
                continue
            if found:
                self._tell(*found)
                return
        _log.error("order %s: IG told nothing of it in the lookup window", order.reference)

    async def cancel(self, reference: str) -> None:
        """Take back a resting order. A market order has nothing left to take back."""
        for deal_id in await self._resting():
            if deal_id and await self._opened_by(deal_id) == reference:
                await self._take_back(deal_id, f"the order {reference}")
                self._tell(Ended(reference, self._now(), "cancelled", "taken back at IG"))

    async def cancel_resting(self) -> int:
        """Take back every order that rests on the account, whoever made it; return how many."""
        resting = await self._resting()
        for deal_id in resting:
            await self._take_back(deal_id, f"the resting order {deal_id}")
        return len(resting)

    async def _resting(self) -> list[str]:
        """Return the deal ids of the orders that rest on the account."""
        rows = (await self._ask("/workingorders", 2)).get("workingOrders") or ()
        return [str((row.get("workingOrderData") or {}).get("dealId") or "") for row in rows]

    async def _take_back(self, deal_id: str, name: str) -> None:
        try:
            await self._client.order("DELETE", f"/workingorders/otc/{deal_id}", 2, {})
        except (IgError, NotSent, Unclear) as error:
            raise NoBroker("IG_ERROR", f"{name} was not taken back: {error}") from None

    async def _opened_by(self, deal_id: str) -> str:
        rows = await self._activity(self._now() - LOOK_BACK, deal_id)
        return next((str((row.get("details") or {}).get("dealReference") or "") for row in rows), "")

    # Looking up

    async def query(self, reference: str, since: datetime) -> Lookup:
        """Return what confirms, activity and positions say; that they say nothing proves nothing."""
        found = await self._outcome(reference, since)
        return Lookup(found, conclusive=False)

    async def _outcome(self, reference: str, since: datetime, *, confirm_only: bool = False) -> tuple[BrokerEvent, ...]:
        order = self._orders.get(reference)
        asked = None if order is None else order.quantity
        lot = 1 if order is None else self._settings().instruments.get(order.symbol, ("", 1))[1]
        found = await self._confirm(reference, lot, asked)
        if found or confirm_only:
            return found
        rows = await self._activity(since)
        lot = self._lot_in(rows, reference, lot)
        found = from_activity(rows, reference, lot, asked, self._now())
        if found:
            return found
        positions = await self._positions()
        return from_positions(positions, reference, self._lot_at(positions, reference, lot), asked, self._now())

    async def _confirm(self, reference: str, lot: int, asked: Decimal | None) -> tuple[BrokerEvent, ...]:
        try:
            answer = await self._client.get(f"/confirms/{reference}", 1)
        except (IgError, NoBroker) as error:
            # 404, 405 and 500 alike: an order may be filled all the same.
            if isinstance(error, NoBroker) and error.code != "IG_DOWN":
                raise
            return ()
        try:
            return from_confirm(answer, reference, self._lot_of(str(answer.get("epic")), lot), asked, self._now())
        except NotUnderstood as error:
            raise NoBroker("IG_ERROR", f"the confirm of {reference}: {error}") from None

    async def _activity(self, since: datetime, deal_id: str = "") -> list[dict[str, Any]]:
        params = {
            "from": f"{since - MARGIN_OF_TIME:%Y-%m-%dT%H:%M:%S}",
            "detailed": "true",
            "pageSize": str(ALL_ROWS),
        }
        if deal_id:
            params["dealId"] = deal_id
        rows: list[dict[str, Any]] = []
        for _ in range(MOST_PAGES):
            answer = await self._ask("/history/activity", 3, params)
            rows += answer.get("activities") or ()
            following = ((answer.get("metadata") or {}).get("paging") or {}).get("next")
            if not following:
                break
            params = _query_of(str(following), params)
        return rows

    async def _positions(self) -> list[dict[str, Any]]:
        return list((await self._ask("/positions", 2)).get("positions") or ())

    def _lot_of(self, epic: str, default: int) -> int:
        return next((lot for one, lot in self._settings().instruments.values() if one == epic), default)

    def _lot_in(self, rows: Sequence[Mapping[str, Any]], reference: str, default: int) -> int:
        epic = next(
            (str(row.get("epic")) for row in rows if (row.get("details") or {}).get("dealReference") == reference), ""
        )
        return self._lot_of(epic, default)

    def _lot_at(self, rows: Sequence[Mapping[str, Any]], reference: str, default: int) -> int:
        found = [row for row in rows if (row.get("position") or {}).get("dealReference") == reference]
        return self._lot_of(str((found[0].get("market") or {}).get("epic")) if found else "", default)

    # What is held

    async def _net(self, epic: str) -> Decimal:
        """Return the net size in an epic, in contracts."""
        return sum((_signed(row) for row in await self._positions() if _epic(row) == epic), ZERO)

    async def positions(self) -> Sequence[BrokerPosition]:
        """Return the net shares by symbol; what is held in an epic that is not declared has the epic as its name."""
        names = {epic: (symbol, lot) for symbol, (epic, lot) in self._settings().instruments.items()}
        sizes: dict[str, Decimal] = {}
        values: dict[str, Decimal] = {}
        try:
            for row in await self._positions():
                epic, size = _epic(row), _signed(row)
                sizes[epic] = sizes.get(epic, ZERO) + size
                values[epic] = values.get(epic, ZERO) + size * exact(row["position"].get("level"), "level")
        except (NotUnderstood, KeyError) as error:
            raise NoBroker("IG_ERROR", f"IG's positions: {error}") from None
        found = []
        for epic, size in sorted(sizes.items()):
            symbol, lot = names.get(epic, (epic, 1))
            average = values[epic] / size / lot if size else ZERO
            found.append(BrokerPosition(symbol, size * lot, average, declared=epic in names))
        return found

    async def account(self) -> BrokerAccount:
        """Return balance, available money and margin of the session's account."""
        current = (await self._ask("/session", 1)).get("accountId")
        for row in (await self._ask("/accounts", 1)).get("accounts") or ():
            if row.get("accountId") == current:
                balance = row.get("balance") or {}
                return BrokerAccount(
                    currency=str(row.get("currency") or ""),
                    cash=exact(balance.get("balance"), "balance"),
                    available=exact(balance.get("available"), "available"),
                    margin=exact(balance.get("deposit"), "deposit"),
                )
        raise NoBroker("IG_ACCOUNT", "IG does not tell of the session's account")

    async def adjustments(self, since: datetime) -> Sequence[Adjustment]:
        """Return what moved money since an instant: funding, dividends, commission, realised profit, transfers."""
        rows = await self._transactions(since)
        names = {
            facts.name: symbol
            for symbol, (epic, _) in self._settings().instruments.items()
            if (facts := self._facts.get(epic)) is not None
        }
        try:
            found = adjustments_of(rows, names, self._now())
        except NotUnderstood as error:
            raise NoBroker("IG_ERROR", f"IG's transactions: {error}") from None
        return [one for one in found if one.at >= since]

    async def traded_price(self, symbol: str, since: datetime) -> Decimal | None:
        """Return the average closing level, per share, of a symbol's trades since an instant."""
        epic, lot = self._settings().instruments.get(symbol, ("", 1))
        facts = self._facts.get(epic) or await self._quote(symbol)
        if facts is None:
            return None
        rows = [row for row in await self._transactions(since) if instant_of(row.get("dateUtc"), since) >= since]
        return closing_price(rows, facts.name, lot)

    async def stopped(self, since: datetime) -> Sequence[Stopped]:
        """Return what stops that rest at IG have closed, from its activity."""
        symbols = {epic: (symbol, lot) for symbol, (epic, lot) in self._settings().instruments.items()}
        try:
            return stops_from(await self._activity(since), symbols, lambda reference: reference.startswith(OURS))
        except NotUnderstood as error:
            raise NoBroker("IG_ERROR", f"IG's activity: {error}") from None

    async def _transactions(self, since: datetime) -> list[dict[str, Any]]:
        params = {"type": "ALL", "from": f"{since - MARGIN_OF_TIME:%Y-%m-%dT%H:%M:%S}", "pageSize": "0"}
        return list((await self._ask("/history/transactions", 2, params)).get("transactions") or ())

    # Events

    def _tell(self, *events: BrokerEvent) -> None:
        self._events += events
        self._wake()

    async def drain(self) -> Sequence[BrokerEvent]:
        """Return the events since the last time."""
        found, self._events = self._events, []
        return found

    def on_events(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when there are events."""
        self._wake = wake

    async def close(self) -> None:
        """Follow no order any more, and log out."""
        tasks = list(self._following.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()


def _refusal(order: NewOrder, lot: int, held: Decimal) -> str:
    """Return why an order must not be sent; empty: it may."""
    if order.quantity % lot:
        return "SIZE_INCREMENT"
    if order.side == "SELL" and order.quantity / lot > held:
        # It would net what is held and open a short position with the rest.
        return "EXCEEDS_HOLDING"
    return ""


def _ticket(order: NewOrder, facts: MarketFacts, lot: int, settings: Settings) -> dict[str, Any]:
    """Return the body of POST /positions/otc, version 2."""
    stop = None if order.stop_distance is None or order.side == "SELL" else float(order.stop_distance * lot)
    return {
        "currencyCode": settings.currency,
        "dealReference": order.reference,
        "direction": order.side,
        "epic": facts.epic,
        "expiry": facts.expiry,
        # IG takes a stop only together with a position of its own.
        "forceOpen": stop is not None,
        "guaranteedStop": False,
        "orderType": "MARKET",
        "size": float(order.quantity / lot),
        "stopDistance": stop,
        "timeInForce": "EXECUTE_AND_ELIMINATE"
        if order.partial or settings.time_in_force == "EXECUTE_AND_ELIMINATE"
        else "FILL_OR_KILL",
    }


def _epic(row: Mapping[str, Any]) -> str:
    return str((row.get("market") or {}).get("epic") or "")


def _signed(row: Mapping[str, Any]) -> Decimal:
    position = row.get("position") or {}
    size = exact(position.get("size"), "size")
    return size if position.get("direction") == "BUY" else -size


def _query_of(following: str, before: Mapping[str, str]) -> dict[str, str]:
    """Return the query of the next page, as the answer names it."""
    return {**before, **{name: value for name, value in parse_qsl(urlsplit(following).query) if name != "version"}}
