"""The process that is killed: `bellwether` whose steps are counted, so that a seed can choose where it ends.

    python -m soak.victim end|stand GAPS serve --services A,B
    python -m soak.victim end|stand GAPS replay FILE --data DIR

A point is an instant around which a kill could lose or repeat something: before a commit, between a commit and the
events that follow from it, before and after an event is published, a call is made, an event is acknowledged. At the
points that the GAPS (numbers with commas, or nothing) count to, the process says which one it is on standard output;
then it kills itself (end), or stands still until it is asked to go on (stand: whoever reads kills something else
meanwhile).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bellwether.local.commands import run_command
from bellwether.runtime.memory_bus import MemoryBus
from bellwether.runtime.memory_stream import MemoryDelivery
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.nats_subscription import NatsDelivery
from bellwether.runtime.rpc import RpcServer
from bellwether.storage.store import OutboxRow, Store, Transaction

T = TypeVar("T")

STRIKE = "strike: "
READ, WRITE = 0, 1


class Strikes:
    """Counts points of all threads, and strikes at those that the gaps lead to."""

    def __init__(self, gaps: Sequence[int], strike: Callable[[str], None]) -> None:
        self._gaps = list(gaps)
        self._strike = strike
        # Held during a strike, so that the other threads stand still at their next point too.
        self._lock = threading.Lock()

    def reach(self, where: str) -> None:
        """Count one point; strike if it is the one."""
        with self._lock:
            if not self._gaps:
                return
            self._gaps[0] -= 1
            if self._gaps[0] <= 0:
                self._gaps.pop(0)
                self._strike(where)


def end_process(where: str) -> None:
    """Say where, and end as if the power went."""
    os.write(WRITE, f"{STRIKE}{where}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def stand_still(where: str) -> None:
    """Say where, and wait for a byte (or for the end of whoever should send it)."""
    os.write(WRITE, f"{STRIKE}{where}\n".encode())
    os.read(READ, 1)


def count_stores(strikes: Strikes) -> None:
    """Count the commits of every store that change something."""
    transact, on_outgoing, flush = Store.transact, Store.on_outgoing, Store.flush

    async def counted(self: Store, work: Callable[[Transaction], T], *, urgent: bool = False) -> T:
        changed = False

        def until_the_commit(tx: Transaction) -> T:
            nonlocal changed
            before = tx.driver.total_changes
            result = work(tx)
            changed = tx.driver.total_changes != before
            if changed:
                strikes.reach("before a commit")
            return result

        result: T = await transact(self, until_the_commit, urgent=urgent)
        if changed:
            strikes.reach("after a commit")
        return result

    def reported(self: Store, listener: Callable[[list[OutboxRow]], None]) -> None:
        def later(rows: list[OutboxRow]) -> None:
            strikes.reach("between a commit and its events")
            listener(rows)

        on_outgoing(self, later)

    async def flushing(self: Store) -> None:
        strikes.reach("before a flush")
        await flush(self)
        strikes.reach("after a flush")

    Store.flush = flushing  # type: ignore[method-assign]
    Store.transact = counted  # type: ignore[method-assign]
    Store.on_outgoing = reported  # type: ignore[method-assign]


def count_bus(strikes: Strikes, bus: Any, delivery: Any) -> None:
    """Count what goes over a kind of bus."""
    publish_event, request, ack = bus.publish_event, bus.request, delivery.ack

    async def publishing(self: Any, *arguments: Any, **options: Any) -> bool:
        strikes.reach("before an event is published")
        stored: bool = await publish_event(self, *arguments, **options)
        strikes.reach("after an event was published")
        return stored

    async def requesting(self: Any, *arguments: Any, **options: Any) -> bytes:
        strikes.reach("before a call")
        reply: bytes = await request(self, *arguments, **options)
        strikes.reach("after a call")
        return reply

    async def acknowledging(self: Any, *, confirmed: bool = False) -> None:
        strikes.reach("before an acknowledgement")
        await ack(self, confirmed=confirmed)
        strikes.reach("after an acknowledgement")

    bus.publish_event = publishing
    bus.request = requesting
    delivery.ack = acknowledging


def count_calls(strikes: Strikes, server: Any) -> None:
    """Count the calls that are handed over within the process."""
    hand_over = server.hand_over

    async def handing(self: Any, *arguments: Any) -> Any:
        strikes.reach("before a call")
        answer = await hand_over(self, *arguments)
        strikes.reach("after a call")
        return answer

    server.hand_over = handing


def main(arguments: Sequence[str]) -> int:
    """Run the command until the strike, or until it ends."""
    how, gaps, *command = arguments
    strikes = Strikes([int(gap) for gap in gaps.split(",") if gap], end_process if how == "end" else stand_still)
    count_stores(strikes)
    count_calls(strikes, RpcServer)
    count_bus(strikes, NatsBus, NatsDelivery)
    count_bus(strikes, MemoryBus, MemoryDelivery)
    return run_command(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
