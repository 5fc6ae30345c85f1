"""Deposits and withdrawals, and the ledger as tables for others: trades and tax lots."""

from __future__ import annotations

import re
from decimal import Decimal

from bellwether.messages.trading import Account, Export, Exported, Transfer
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading.answers import account_of, newest_number
from bellwether.trading.brokers import Brokers
from bellwether.trading.desk import Desk
from bellwether.trading.events import Transferred
from bellwether.trading.lots import LOT_COLUMNS, TRADE_COLUMNS, lot_rows, lots_of, trade_rows
from bellwether.trading.pricing import CENT, text

MOST_ROWS = 2000
LARGEST = Decimal(10) ** 12
_TRANSFER_ID = re.compile(r"[A-Za-z0-9_-]{1,60}")


class Money:
    """The account's money, and what is exported of it."""

    def __init__(self, desk: Desk, brokers: Brokers) -> None:
        self._desk = desk
        self._brokers = brokers

    async def transfer(self, request: Transfer, call: Call) -> Account:
        """Put cash into the simulated account or take it out, once for each `transfer_id`.

        Raises:
            RpcError: INVALID_PARAMS for an amount that is none; INSUFFICIENT_CASH for more than there is; NOT_SIMULATED
                where the money is at a real broker; TRANSFER_ID_TAKEN when the id was used for another amount.
        """
        amount = request.amount
        if not amount.is_finite() or amount == 0 or abs(amount) > LARGEST or amount != amount.quantize(CENT):
            raise RpcError("INVALID_PARAMS", f"amount: {amount} must be money to the cent, and not 0")
        if not _TRANSFER_ID.fullmatch(request.transfer_id):
            raise RpcError("INVALID_PARAMS", f"transfer_id: {request.transfer_id!r} must be 1 to 60 of A-Z a-z 0-9 _ -")
        if self._desk.rules.mode not in ("simulated", "off"):
            raise RpcError("NOT_SIMULATED", f"trading.mode is {self._desk.rules.mode}: move money at the broker")

        def work(tx: Transaction, run: str) -> tuple[str, Transferred]:
            now = self._desk.now_of(call)
            event = Transferred(now, request.transfer_id, amount, request.note[:200])
            known = self._desk.ledger.event(tx, run, event.key)
            if isinstance(known, Transferred):
                if known.amount != amount:
                    words = f"transfer_id {request.transfer_id} is a transfer of {text(known.amount)}"
                    raise RpcError("TRANSFER_ID_TAKEN", words)
                return run, known
            book = self._desk.opened(tx, run, now)
            if book.cash + amount < 0:
                raise RpcError("INSUFFICIENT_CASH", f"{text(-amount)} to withdraw, {text(book.cash)} are there")
            self._desk.ledger.append(tx, run, [event])
            return run, event

        await self._brokers.ready(await self._desk.look(call, lambda tx, run: run))
        run, event = await self._desk.look(call, work)
        await self._brokers.adjust(run, [event])
        return await self.account(call)

    async def account(self, call: Call) -> Account:
        """Return the account as it stands."""

        def look(tx: Transaction, run: str) -> Account:
            newest = newest_number(self._desk.ledger.latches(tx, run))
            return account_of(self._desk.ledger.book(tx, run), self._desk.rules, self._desk.halts(tx, run), newest)

        return await self._desk.look(call, look)

    async def export(self, request: Export, call: Call) -> Exported:
        """Return a part of the trades or of the tax lots as rows of text.

        Raises:
            RpcError: INVALID_PARAMS for a `skip` or `limit` that is none.
        """
        if request.skip < 0 or not 1 <= request.limit <= MOST_ROWS:
            words = f"skip: {request.skip} must be at least 0, limit: {request.limit} from 1 to {MOST_ROWS}"
            raise RpcError("INVALID_PARAMS", words)

        def look(tx: Transaction, run: str) -> tuple[tuple[str, ...], list[list[str]]]:
            events = self._desk.ledger.events(tx, run)
            if request.what == "trades":
                return TRADE_COLUMNS, trade_rows(events)
            return LOT_COLUMNS, lot_rows(lots_of(events), self._desk.now_of(call).date())

        columns, rows = await self._desk.look(call, look)
        return Exported(list(columns), rows[request.skip : request.skip + request.limit], len(rows))
