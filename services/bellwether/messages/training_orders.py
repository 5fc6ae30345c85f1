"""Orders of models to be made elsewhere: what a training Job is told, and what it answers.

The owner is ml-model, which keeps the order, its bars as one snapshot by hash, and what became of each target.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class TrainingOrder(msgspec.Struct, frozen=True):
    """Models to be made of one recipe. `targets` is frozen: target n belongs to index n of the Job (None: all symbols).

    Nothing in it changes after it was placed, and its id is its hash.
    """

    recipe: str
    recipe_hash: str
    targets: list[str | None]
    snapshot: str
    """SHA-256 of the bars by symbol, as canonical JSON."""
    created: datetime
    deadline: datetime
    """After this instant (UTC) the gate judges what there is."""
    rival: str | None = None
    """The recipe that serves, where it is another one."""
    serving: list[str] = []
    """Versions of this recipe that serve."""
    reason: str = ""


class TargetResult(msgspec.Struct, frozen=True):
    """What became of a target: the version of its candidate, or None and why there is none."""

    version: str | None
    words: str


class OrderState(msgspec.Struct, frozen=True):
    """An order, and what became of its targets so far, by index."""

    id: str
    order: TrainingOrder
    results: dict[str, TargetResult] = {}
    closed: bool = False
    """Whether the gate has judged what there is: nobody works on it any more."""

    @property
    def complete(self) -> bool:
        """Whether every target has a result."""
        return len(self.results) == len(self.order.targets)


class PutSnapshot(msgspec.Struct, frozen=True):
    """Upload a part of a snapshot of bars; `id` is the SHA-256 of the whole."""

    id: str
    offset: int
    total: int
    content: bytes


class GetSnapshot(msgspec.Struct, frozen=True):
    """Ask for a part of a snapshot of bars, from `offset` on."""

    id: str
    offset: int = 0


class PlaceOrder(msgspec.Struct, frozen=True):
    """Place an order; its snapshot has to be there. The same order again changes nothing."""

    order: TrainingOrder


class ListOrders(msgspec.Struct, frozen=True):
    """Ask for the orders that are kept, the newest last."""


class TrainingOrders(msgspec.Struct, frozen=True):
    """Orders of models."""

    orders: list[OrderState]


class FinishTarget(msgspec.Struct, frozen=True):
    """Say what became of a target; a version has to be uploaded before. The first answer counts."""

    id: str
    index: int
    version: str | None
    words: str


class CloseOrder(msgspec.Struct, frozen=True):
    """Say that the gate has judged what there is."""

    id: str
