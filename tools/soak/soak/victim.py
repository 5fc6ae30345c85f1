"""The process that is killed: `bellwether serve` whose steps are counted, so that a seed can choose where it ends.

    python -m soak.victim SERVICES process|nats GAP...

A point is a moment around which a kill could lose or repeat something: before a commit, between a commit and the
events that follow from it, before and after an event is published, a call is made, an event is acknowledged. At the
point that a GAP counts to, the process says which one it is on standard output; then it kills itself (process), or
stands still until it is told to go on (nats: whoever reads has killed the server meanwhile).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from bellwether.local.serving import serve_named
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.nats_pull import NatsDelivery
from bellwether.storage.store import OutboxRow, Store, Transaction

T = TypeVar("T")
Kind = Literal["process", "nats"]

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
    os.write(WRITE, f"{where}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def stand_still(where: str) -> None:
    """Say where, and wait for a byte (or for the end of whoever should send it)."""
    os.write(WRITE, f"{where}\n".encode())
    os.read(READ, 1)


def count_stores(strikes: Strikes) -> None:
    """Count the commits of every store that change something."""
    transact, on_outgoing = Store.transact, Store.on_outgoing

    async def counted(self: Store, work: Callable[[Transaction], T]) -> T:
        changed = False

        def until_the_commit(tx: Transaction) -> T:
            nonlocal changed
            before = tx.driver.total_changes
            result = work(tx)
            changed = tx.driver.total_changes != before
            if changed:
                strikes.reach("before a commit")
            return result

        result: T = await transact(self, until_the_commit)
        if changed:
            strikes.reach("after a commit")
        return result

    def told(self: Store, listener: Callable[[list[OutboxRow]], None]) -> None:
        def later(rows: list[OutboxRow]) -> None:
            strikes.reach("between a commit and its events")
            listener(rows)

        on_outgoing(self, later)

    Store.transact = counted  # type: ignore[method-assign]
    Store.on_outgoing = told  # type: ignore[method-assign]


def count_bus(strikes: Strikes) -> None:
    """Count what goes over the bus."""
    publish_event, request, ack = NatsBus.publish_event, NatsBus.request, NatsDelivery.ack

    async def publishing(self: NatsBus, *arguments: Any, **options: Any) -> bool:
        strikes.reach("before an event is published")
        stored = await publish_event(self, *arguments, **options)
        strikes.reach("after an event was published")
        return stored

    async def requesting(self: NatsBus, *arguments: Any, **options: Any) -> bytes:
        strikes.reach("before a call")
        reply = await request(self, *arguments, **options)
        strikes.reach("after a call")
        return reply

    async def acknowledging(self: NatsDelivery, *, confirmed: bool = False) -> None:
        strikes.reach("before an acknowledgement")
        await ack(self, confirmed=confirmed)
        strikes.reach("after an acknowledgement")

    NatsBus.publish_event = publishing  # type: ignore[method-assign]
    NatsBus.request = requesting  # type: ignore[method-assign]
    NatsDelivery.ack = acknowledging  # type: ignore[method-assign]


def main(arguments: Sequence[str]) -> int:
    """Serve until the strike, or until asked to end."""
    services, kind, *gaps = arguments
    strikes = Strikes([int(gap) for gap in gaps], end_process if kind == "process" else stand_still)
    count_stores(strikes)
    count_bus(strikes)
    return serve_named(services, os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
