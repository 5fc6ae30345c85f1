"""Halts: who stops orders, and who lets them flow again."""

from __future__ import annotations

from collections.abc import Sequence

from bellwether.messages.trading import Halt, HaltChanged, HaltState, Resume
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading.answers import newest_number
from bellwether.trading.desk import DECLARED_HALT, Desk
from bellwether.trading.ledger import Latch


class Halting:
    """Opens and closes latches."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def halt(self, request: Halt, call: Call) -> HaltState:
        """Stop every order until somebody resumes; the same halt again adds nothing."""
        reason, source = request.reason.strip(), request.source.strip() or "unknown"
        if not reason:
            raise RpcError("INVALID_PARAMS", "reason: say in a few words why orders are to stop")

        def work(tx: Transaction) -> HaltState:
            if not any((one.source, one.reason) == (source, reason) for one in self._desk.ledger.latches(tx)):
                number = self._desk.ledger.latch(tx, "halt", Latch(source, reason, self._desk.now_of(call)))
                self._tell_halt(tx, f"halt-{number}", reason, call)
            return self._halt_state(tx)

        return await self._desk.store.transact(work)

    async def resume(self, request: Resume, call: Call) -> HaltState:
        """Open every latch; a halt that the declaration states stays.

        Raises:
            RpcError: NEWER_HALT when one came after the newest that the caller has seen, HALT_NOT_STATED when the
                caller names none and there are several; INVALID_PARAMS without a reason.

        """
        reason, source = request.reason.strip(), request.source.strip() or "unknown"
        if not reason:
            raise RpcError("INVALID_PARAMS", "reason: say in a few words why orders may flow again")

        def work(tx: Transaction) -> HaltState:
            latches = self._desk.ledger.latches(tx)
            _refuse_unseen(latches, request.seen)
            if latches:
                number = self._desk.ledger.latch(tx, "resume", Latch(source, reason, self._desk.now_of(call)))
                self._tell_halt(tx, f"halt-{number}", reason, call)
            return self._halt_state(tx)

        return await self._desk.store.transact(work)

    async def declared_halt_changed(self, generation: int, call: Call) -> None:
        """Tell that the declaration halts, or no longer does."""
        reason = DECLARED_HALT if self._desk.rules.halted else "declaration: spec.trading.halted is false"
        await self._desk.store.transact(lambda tx: self._tell_halt(tx, f"halt-generation-{generation}", reason, call))

    def _halt_state(self, tx: Transaction) -> HaltState:
        halts = self._desk.halts(tx)
        return HaltState(
            halted=bool(halts), halts=list(halts), newest_halt=newest_number(self._desk.ledger.latches(tx))
        )

    def _tell_halt(self, tx: Transaction, event_id: str, reason: str, call: Call) -> None:
        tx.outbox(call.event("halt_changed", HaltChanged(self._halt_state(tx), reason), event_id=event_id))


def _refuse_unseen(latches: Sequence[Latch], seen: int | None) -> None:
    """Refuse to open a latch that nobody has looked at."""
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
