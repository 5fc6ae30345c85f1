"""The steps of an order's life, at any of which a trader can be killed: what is written down, and what goes to IG.

An aim is `COUNT STEP`. `2 after POST positions`: the process ends when it reaches that step for the second time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from bellwether.broker.ig.client import IgClient
from bellwether.broker.simulated_books import Books
from bellwether.storage.store import Store, Transaction
from bellwether.trading import executions
from bellwether.trading.events import LedgerEvent, OrderCancelled, OrderFilled, OrderQueued, OrderRejected
from bellwether.trading.ledger import Ledger

T = TypeVar("T")

_STATES = {"sending": "intent", "working": "acceptance", "unknown": "doubt"}
_EVENTS: dict[type[Any], str] = {
    OrderQueued: "order",
    OrderFilled: "fill",
    OrderCancelled: "end",
    OrderRejected: "end",
}
DEAL = "simulator's deal"
_WRITTEN = tuple(
    f"{when} the {what} is written" for what in ("order", "intent", "fill") for when in ("before", "after")
)
_ASKED = tuple(
    f"{when} {what}"
    for what in ("POST positions", "GET confirms", "GET history", "GET positions")
    for when in ("before", "after")
)
STEPS: dict[str, tuple[str, ...]] = {
    "ig-demo": (
        *_WRITTEN,
        "before the acceptance is written",
        "after the acceptance is written",
        "before the doubt is written",
        "after the doubt is written",
        *_ASKED,
    ),
    "simulated": (*_WRITTEN, f"before the {DEAL} is written", f"after the {DEAL} is written"),
}
"""The steps that trials aim at, by broker. `after POST positions`: IG has answered, and nothing is written yet."""


class Strikes(Protocol):
    """What counts steps."""

    def reach(self, where: str) -> None:
        """Count one step; strike if it is the one."""


class Aimed:
    """Strikes when a step is reached for so many times."""

    def __init__(self, aim: str, strike: Callable[[str], None]) -> None:
        self._strike = strike
        # Held during a strike, so that other threads stand still at their next step, too.
        self._lock = threading.Lock()
        self.aim(aim)

    def aim(self, aim: str) -> None:
        """Aim at `COUNT STEP`, and at nothing with an empty text."""
        count, _, self._step = aim.partition(" ")
        self._left = int(count or 0)

    def reach(self, where: str) -> None:
        """Count one step; strike if it is the one."""
        with self._lock:
            if where == self._step and self._left > 0:
                self._left -= 1
                if self._left == 0:
                    self._strike(where)


def count_requests(strikes: Strikes) -> None:
    """Count requests to IG: before each goes out, and after its answer came."""
    send = IgClient._send

    async def counted(self: IgClient, method: Any, path: str, *arguments: Any, **options: Any) -> Any:
        what = path.split("/")[1].partition("?")[0]
        strikes.reach(f"before {method} {what}")
        answer = await send(self, method, path, *arguments, **options)
        strikes.reach(f"after {method} {what}")
        return answer

    IgClient._send = counted  # type: ignore[method-assign]


def count_writes(strikes: Strikes) -> None:
    """Count what is written down of orders: before each commit of it, and after."""
    transact, save, append, take = Store.transact, executions.save, Ledger.append, Books.take
    noted = threading.local()

    def note(what: str) -> None:
        # Work runs on the store's own thread, or on the caller's.
        found: list[str] = getattr(noted, "found", [])
        if what and what not in found:
            found.append(what)

    async def counted(self: Store, work: Callable[[Transaction], T], *, urgent: bool = False) -> T:
        found: list[str] = []

        def until_the_commit(tx: Transaction) -> T:
            noted.found = found
            result = work(tx)
            for what in found:
                strikes.reach(f"before the {what} is written")
            return result

        result: T = await transact(self, until_the_commit, urgent=urgent)
        for what in found:
            strikes.reach(f"after the {what} is written")
        return result

    def saved(tx: Transaction, run: str, one: executions.Execution) -> None:
        note(_STATES.get(one.progress.state, ""))
        save(tx, run, one)

    def appended(self: Ledger, tx: Transaction, run: str, new: Sequence[LedgerEvent]) -> Any:
        for event in new:
            note(_EVENTS.get(type(event), ""))
        return append(self, tx, run, new)

    def taken(self: Books, *arguments: Any) -> None:
        note(DEAL)
        take(self, *arguments)

    Store.transact = counted  # type: ignore[method-assign]
    executions.save = saved
    Ledger.append = appended  # type: ignore[method-assign]
    Books.take = taken  # type: ignore[assignment, method-assign]
