"""IG's demo account behind the broker port.

Orders are market orders, filled whole or not at all unless declared otherwise, with our own reference. An order whose
answer is missing is never sent again: it is looked up by its reference. A sale is an opposite order with
`forceOpen=false` and takes no more than is held, since more would be a short position.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bellwether.broker.ig import lookup
from bellwether.broker.ig.client import IgClient, IgError
from bellwether.broker.ig.facts import MarketFacts, NotUnderstood, exact, refusal_of, ticket_of
from bellwether.broker.ig.records import LOOK_BACK, QUOTES_LAST, Quotes, Records, epic_of, signed
from bellwether.broker.ig.settings import Settings
from bellwether.broker.ig.words import reason_words, status_words
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

CONFIRM_AFTER = (0.3, 0.7, 1.5, 3.0, 6.0)
"""Seconds between looks for an order's confirm; the last one again and again until the lookup window is over."""
YOUNG = 300.0
"""Seconds in which an order of an earlier process may still be confirmed, and stand nowhere else."""
OURS = "bw-"
"""How references of our orders begin."""
_log = logging.getLogger(__name__)


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
        self._records = Records(client)
        self._quotes = Quotes(client, self._records, settings, quotes_last)
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
        return await self._quotes.check(symbol)

    async def market(self, symbol: str) -> MarketState:
        """Return whether the symbol's market takes a market order now, and the middle of bid and offer."""
        facts = await self._quotes.of(symbol)
        if facts is None:
            return MarketState(tradeable=False, reason="IG says nothing of its market")
        _, lot = self._settings().instruments[symbol]
        price = facts.middle / lot
        if facts.status != "TRADEABLE":
            return MarketState(False, price, f"the market is {status_words(facts.status)} at IG")
        if not facts.takes_market_orders:
            return MarketState(False, price, "the market takes no market orders", final=True)
        return MarketState(True, price)

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
            facts = await self._quotes.known(order.symbol)
            held = await self._records.net(epic) if order.side == "SELL" else ZERO
        except NoBroker as error:
            raise NotSent(error.code, error.message) from None
        if facts is None:
            raise NotSent("NO_INSTRUMENT", f"IG says nothing of epic {epic}")
        refusal = refusal_of(order, lot, held)
        if refusal:
            self._report(Rejected(order.reference, self._now(), refusal, reason_words(refusal)))
            return
        if self._now() >= order.deadline:
            self._report(Ended(order.reference, self._now(), "expired", "its time was over before it was sent"))
            return
        known = self._known = self._known if self._known is not None else set()
        known.add(order.reference)
        try:
            await self._client.order("POST", "/positions/otc", 2, ticket_of(order, facts, lot, settings), last_look)
        except IgError as error:
            self._report(Rejected(order.reference, self._now(), error.code, error.words))
            return
        except NotSent:
            known.discard(order.reference)
            raise
        except Unclear:
            self._follow(order)
            raise
        self._report(Accepted(order.reference, self._now()))
        self._follow(order)

    async def _is_known(self, reference: str) -> bool:
        """Whether IG knows a reference: from what this process sent, and once at its first order from IG's records.

        Orders of an earlier process are looked up by the caller; this holds if that is forgotten.
        """
        if self._known is None:
            rows = await self._records.activity(self._now() - LOOK_BACK)
            self._known = set(lookup.references_of(rows, await self._records.positions()))
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
                self._report(*found)
                return
        _log.error("order %s: IG reported nothing of it in the lookup window", order.reference)

    async def cancel(self, reference: str) -> None:
        """Take back a resting order. A market order has nothing left to take back."""
        for deal_id in await self._records.resting():
            if deal_id and await self._records.opened_by(deal_id, self._now()) == reference:
                await self._take_back(deal_id, f"the order {reference}")
                self._report(Ended(reference, self._now(), "cancelled", "taken back at IG"))

    async def cancel_resting(self) -> int:
        """Take back every order that rests on the account, whoever made it; return how many."""
        resting = await self._records.resting()
        for deal_id in resting:
            await self._take_back(deal_id, f"the resting order {deal_id}")
        return len(resting)

    async def _take_back(self, deal_id: str, name: str) -> None:
        try:
            await self._client.order("DELETE", f"/workingorders/otc/{deal_id}", 2, {})
        except (IgError, NotSent, Unclear) as error:
            raise NoBroker("IG_ERROR", f"{name} was not taken back: {error}") from None

    # Looking up

    async def query(self, reference: str, since: datetime) -> Lookup:
        """Return what confirms, activity and positions say; that they say nothing proves nothing."""
        found = await self._outcome(reference, since)
        return Lookup(found, conclusive=False)

    async def _outcome(self, reference: str, since: datetime, *, confirm_only: bool = False) -> tuple[BrokerEvent, ...]:
        order = self._orders.get(reference)
        asked = None if order is None else order.quantity
        lot = 1 if order is None else self._settings().instrument(order.symbol)[1]
        found = await self._confirm(reference, lot, asked)
        if found or confirm_only:
            return found
        rows = await self._records.activity(since)
        lot = self._lot_in(rows, reference, lot)
        found = lookup.from_activity(rows, reference, lot, asked, self._now())
        if found:
            return found
        positions = await self._records.positions()
        return lookup.from_positions(positions, reference, self._lot_at(positions, reference, lot), asked, self._now())

    async def _confirm(self, reference: str, lot: int, asked: Decimal | None) -> tuple[BrokerEvent, ...]:
        try:
            answer = await self._client.get(f"/confirms/{reference}", 1)
        except (IgError, NoBroker) as error:
            # 404, 405 and 500 alike: an order may be filled all the same.
            if isinstance(error, NoBroker) and error.code != "IG_DOWN":
                raise
            return ()
        try:
            return lookup.from_confirm(
                answer, reference, self._settings().lot_of(str(answer.get("epic")), lot), asked, self._now()
            )
        except NotUnderstood as error:
            raise NoBroker("IG_ERROR", f"the confirm of {reference}: {error}") from None

    def _lot_in(self, rows: Sequence[Mapping[str, Any]], reference: str, default: int) -> int:
        epic = next(
            (str(row.get("epic")) for row in rows if (row.get("details") or {}).get("dealReference") == reference), ""
        )
        return self._settings().lot_of(epic, default)

    def _lot_at(self, rows: Sequence[Mapping[str, Any]], reference: str, default: int) -> int:
        found = [row for row in rows if (row.get("position") or {}).get("dealReference") == reference]
        return self._settings().lot_of(epic_of(found[0]) if found else "", default)

    # What is held

    async def positions(self) -> Sequence[BrokerPosition]:
        """Return the net shares by symbol; what is held in an epic that is not declared has the epic as its name."""
        names = {epic: (symbol, lot) for symbol, (epic, lot) in self._settings().instruments.items()}
        sizes: dict[str, Decimal] = {}
        values: dict[str, Decimal] = {}
        try:
            for row in await self._records.positions():
                epic, size = epic_of(row), signed(row)
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
        current = (await self._records.ask("/session", 1)).get("accountId")
        for row in (await self._records.ask("/accounts", 1)).get("accounts") or ():
            if row.get("accountId") == current:
                balance = row.get("balance") or {}
                try:
                    return BrokerAccount(
                        currency=str(row.get("currency") or ""),
                        cash=exact(balance.get("balance"), "balance"),
                        available=exact(balance.get("available"), "available"),
                        margin=exact(balance.get("deposit"), "deposit"),
                    )
                except NotUnderstood as error:
                    raise NoBroker("IG_ERROR", f"IG's account: {error}") from None
        raise NoBroker("IG_ACCOUNT", "IG does not tell of the session's account")

    async def adjustments(self, since: datetime) -> Sequence[Adjustment]:
        """Return what moved money since an instant: funding, dividends, commission, realised profit, transfers."""
        rows = await self._records.transactions(since)
        names = {
            facts.name: symbol
            for symbol, (epic, _) in self._settings().instruments.items()
            if (facts := self._quotes.facts.get(epic)) is not None
        }
        try:
            found = lookup.adjustments_of(rows, names, self._now())
        except NotUnderstood as error:
            raise NoBroker("IG_ERROR", f"IG's transactions: {error}") from None
        return [one for one in found if one.at >= since]

    async def traded_price(self, symbol: str, since: datetime) -> Decimal | None:
        """Return the average closing level, per share, of a symbol's trades since an instant."""
        _, lot = self._settings().instrument(symbol)
        facts = await self._quotes.known(symbol)
        if facts is None:
            return None
        rows = [
            row
            for row in await self._records.transactions(since)
            if lookup.instant_of(row.get("dateUtc"), since) >= since
        ]
        return lookup.closing_price(rows, facts.name, lot)

    async def stopped(self, since: datetime) -> Sequence[Stopped]:
        """Return what stops that rest at IG have closed, from its activity."""
        symbols = {epic: (symbol, lot) for symbol, (epic, lot) in self._settings().instruments.items()}
        try:
            return lookup.stops_from(
                await self._records.activity(since), symbols, lambda reference: reference.startswith(OURS)
            )
        except NotUnderstood as error:
            raise NoBroker("IG_ERROR", f"IG's activity: {error}") from None

    # Events

    def _report(self, *events: BrokerEvent) -> None:
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
