"""Halts: who stops orders, and who lets them flow again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bellwether.messages.envelope import LIVE
from bellwether.messages.trading import Halt, HaltChanged, HaltState, Resume
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import executions
from bellwether.trading.answers import newest_number
from bellwether.trading.book import Book
from bellwether.trading.codes import Code
from bellwether.trading.desk import DECLARED_HALT, Desk
from bellwether.trading.events import RiskReset
from bellwether.trading.executor import Executor, Turn
from bellwether.trading.ledger import Latch
from bellwether.trading.pricing import text
from bellwether.trading.projection import refusal_text
from bellwether.trading.release import by_turn, cancelled
from bellwether.trading.rules import Rules

RISK = "risk"
"""The source of halts that a limit sets."""
BROKER_SECONDS = 0.5
"""How long the answer to a halt waits for the broker to cancel what works there; it goes on after that."""


class Halting:
    """Sets and clears latches, and ends the orders that wait when one is set."""

    def __init__(self, desk: Desk, executor: Executor) -> None:
        self._desk = desk
        self._executor = executor
        self._ending: set[asyncio.Task[None]] = set()

    async def halt(self, request: Halt, call: Call) -> HaltState:
        """Stop every order until somebody resumes; the same halt again adds nothing.

        Orders that wait here are cancelled with it. What works at the broker is cancelled there; the answer does not
        wait for the broker longer than `BROKER_SECONDS`.
        """
        reason, source = request.reason.strip(), request.source.strip() or "unknown"
        if not reason:
            raise RpcError("INVALID_PARAMS", "reason: say in a few words why orders are to stop")

        def work(tx: Transaction) -> HaltState:
            run = self._desk.run_of(tx, call)
            known = [(one.source, one.reason) for one in self._desk.ledger.latches(tx, run)]
            if (source, reason) not in known:
                number = self._desk.ledger.latch(tx, "halt", Latch(source, reason, self._desk.now_of(call)))
                self._publish_halt(tx, run, f"halt-{number}", reason, call)
            return self._halt_state(tx, run)

        state = await self._desk.store.transact(work, urgent=True)
        await self._end_orders(call)
        return state

    async def resume(self, request: Resume, call: Call) -> HaltState:
        """Clear every latch; a halt that the declaration states stays.

        After a halt by a limit the drawdown counts from now on.

        Raises:
            RpcError: NEWER_HALT when one came after the newest that the caller has seen, HALT_NOT_STATED when the
                caller names none and there are several; INVALID_PARAMS without a reason.
        """
        reason, source = request.reason.strip(), request.source.strip() or "unknown"
        if not reason:
            raise RpcError("INVALID_PARAMS", "reason: say in a few words why orders may flow again")

        def work(tx: Transaction, run: str) -> HaltState:
            latches = self._desk.ledger.latches(tx, run)
            _refuse_unseen(latches, request.seen)
            if latches:
                now = self._desk.now_of(call)
                number = self._desk.ledger.latch(tx, "resume", Latch(source, reason, now))
                if any(latch.source == RISK for latch in latches):
                    self._desk.ledger.append(tx, run, [RiskReset(now, number)])
                self._publish_halt(tx, run, f"halt-{number}", reason, call)
            return self._halt_state(tx, run)

        return await self._desk.look(call, work)

    async def declared_halt_changed(self, generation: int, call: Call) -> None:
        """Tell that the declaration halts, or no longer does."""
        halted = self._desk.rules.halted
        reason = DECLARED_HALT if halted else "declaration: spec.trading.halted is false"

        def work(tx: Transaction) -> None:
            self._publish_halt(tx, self._desk.run_of(tx, call), f"halt-generation-{generation}", reason, call)

        await self._desk.store.transact(work, urgent=True)
        if halted:
            await self._end_orders(call)

    def latch_limits(self, tx: Transaction, run: str, call: Call) -> None:
        """Halt a run whose newest close lost more than a limit that halts; one halt for each limit."""
        found = breaches(self._desk.ledger.book(tx, run), self._desk.rules)
        known = {latch.reason.partition(":")[0] for latch in self._desk.ledger.latches(tx, run)}
        only = None if run == LIVE else run
        for code, value, limit in found:
            if code not in known:
                reason = refusal_text(code, value, limit)
                number = self._desk.ledger.latch(tx, "halt", Latch(RISK, reason, self._desk.now_of(call), run=only))
                self._publish_halt(tx, run, f"halt-{number}", reason, call)

    async def _end_orders(self, call: Call) -> None:
        """Cancel what waits here at once, and what works at the broker as soon as it takes that."""
        now = self._desk.now_of(call)

        def work(tx: Transaction) -> tuple[str, list[str]]:
            run = self._desk.run_of(tx, call)
            book, halts = self._desk.ledger.book(tx, run), "; ".join(self._desk.halts(tx, run))
            sent = [one.progress.reference for one in executions.in_flight(tx, run)]
            waiting = [order for order in by_turn(book.queued.values()) if order.order_id not in sent]
            events = [cancelled(order, now, Code.HALTED, halts, "no halt") for order in waiting]
            self._desk.record(tx, run, events, call)
            return run, sent

        run, sent = await self._desk.store.transact(work, urgent=True)
        if sent:
            ending = asyncio.create_task(self._executor.cancel(Turn(run, now, call), sent))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.wait([ending], timeout=BROKER_SECONDS)

    def _halt_state(self, tx: Transaction, run: str) -> HaltState:
        halts = self._desk.halts(tx, run)
        newest = newest_number(self._desk.ledger.latches(tx, run))
        return HaltState(halted=bool(halts), halts=list(halts), newest_halt=newest)

    def _publish_halt(self, tx: Transaction, run: str, event_id: str, reason: str, call: Call) -> None:
        changed = HaltChanged(self._halt_state(tx, run), reason)
        tx.outbox(call.event("halt_changed", changed, event_id=event_id))


def breaches(book: Book, rules: Rules) -> list[tuple[str, str, str]]:
    """Return code, value and limit of each limit that the newest close broke and that halts."""
    found = []
    if rules.halt_on_loss and 0 < book.session_loss >= rules.max_daily_loss:
        found.append((Code.DAILY_LOSS_EXCEEDED.name, text(book.session_loss), text(rules.max_daily_loss)))
    fallen = book.drawdown_at(book.closing_equity)
    if rules.max_drawdown is not None and 0 < fallen >= rules.max_drawdown:
        found.append((Code.DRAWDOWN_EXCEEDED.name, text(fallen), text(rules.max_drawdown)))
    return found


def _refuse_unseen(latches: Sequence[Latch], seen: int | None) -> None:
    """Refuse to clear a latch that nobody has looked at."""
    newest = newest_number(latches)
    if seen is None:
        if len(latches) > 1:
            lines = "; ".join(latch.line() for latch in latches)
            raise RpcError(
                "HALT_NOT_STATED",
                f"{len(latches)} halts are in force: {lines}. State `seen`, the number of the newest you know of; the "
                f"newest is {newest}",
                newest_halt=newest,
            )
        return
    unseen = [f"{latch.number}: {latch.line()}" for latch in latches if latch.number > seen]
    if unseen:
        raise RpcError(
            "NEWER_HALT",
            f"nothing was resumed: after halt {seen}, the newest that was seen, came {'; '.join(unseen)}. Look at it, "
            f"and state {newest}",
            newest_halt=newest,
        )
