"""Delivery of an edited declaration: checked, written for all services to see, and acknowledged by each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from bellwether.gateway.problems import Problem
from bellwether.runtime.clock import monotonic
from bellwether.runtime.declaration import Ack, encode_declaration, generation_of
from bellwether.spec.models import PROFILE_STAYS, TradingSystem, TradingSystemSpec

WAIT_SECONDS = 5.0

_FIXED: tuple[tuple[str, Callable[[TradingSystemSpec], object]], ...] = (
    ("spec.clock", lambda spec: spec.clock),
    ("spec.data.provider", lambda spec: spec.data.provider),
    ("spec.market.calendar", lambda spec: spec.market.calendar),
    ("spec.trading.initialCash", lambda spec: spec.trading.initial_cash),
    ("spec.trading.currency", lambda spec: spec.trading.currency),
)


class Delivered(msgspec.Struct, frozen=True):
    """Who acknowledged a generation, with the generation each is at, and who has not."""

    generation: int
    acknowledged: dict[str, int]
    missing: list[str]
    errors: dict[str, str] = {}
    """Services that took it and could not apply it, and why."""


@dataclass
class Acks:
    """What the services acknowledged last."""

    newest: dict[str, Ack] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    uid: str = ""
    """Of the system; what an earlier one of the same name left on a retained volume does not count."""

    def take(self, key: str, value: bytes) -> None:
        """Take a service's acknowledgement off the bus; what is not one is left aside."""
        try:
            ack = msgspec.json.decode(value, type=Ack)
        except msgspec.DecodeError:
            return
        known = self.newest.get(key)
        # Around a connection the bus may give an older value after a newer one.
        if known is None or known.uid != ack.uid or known.generation <= ack.generation:
            self.newest[key] = ack
            self.changed.set()

    def of(self, service: str) -> Ack | None:
        """Return what a service acknowledged last of this system's declaration, none before it did."""
        ack = self.newest.get(service)
        return None if ack is None or ack.uid != self.uid else ack

    def generation(self, service: str) -> int:
        """Return the generation a service is at; -1 before it acknowledged any."""
        ack = self.of(service)
        return -1 if ack is None else ack.generation

    def refusal(self, service: str) -> str | None:
        """Return why a service could not apply the generation it acknowledged; None when it could."""
        ack = self.of(service)
        if ack is None or ack.applied:
            return None
        return f"generation {ack.generation} was not applied: {ack.error or 'no reason given'}"


def next_declaration(current: TradingSystem, generation: int, spec: Mapping[str, Any]) -> TradingSystem:
    """Return the declaration that an edit makes of the present one.

    Raises:
        Problem: 409 if it is older than the present one or another one of the same generation; 422 if it is not valid
            or changes what cannot be changed.
    """
    try:
        wanted = TradingSystemSpec.model_validate(dict(spec))
    except ValidationError as error:
        raise Problem(422, "INVALID_DECLARATION", "; ".join(_in_words(error))) from error
    if wanted.profile != current.spec.profile:
        raise Problem(422, "INVALID_DECLARATION", f"spec.profile: {PROFILE_STAYS}")
    changed = [name for name, part in _FIXED if part(wanted) != part(current.spec)]
    if changed:
        raise Problem(422, "INVALID_DECLARATION", f"{', '.join(changed)} cannot be changed: make a new system")
    present = generation_of(current)
    if generation < present:
        raise Problem(
            409,
            "STALE_GENERATION",
            f"generation {generation} is older than {present}, which is in force",
            current=present,
        )
    if generation == present and wanted != current.spec:
        raise Problem(
            409, "STALE_GENERATION", f"generation {present} is in force with another spec: count up", current=present
        )
    return current.with_metadata(generation=generation).model_copy(update={"spec": wanted})


def _in_words(error: ValidationError) -> list[str]:
    return [
        f"spec.{'.'.join(str(part) for part in one['loc'])}: {one['msg']} (given: {str(one['input'])[:80]!r})"
        for one in error.errors()
    ]


async def deliver(
    system: TradingSystem,
    services: tuple[str, ...],
    acks: Acks,
    put: Callable[[bytes], Awaitable[object]],
    *,
    wait: float = WAIT_SECONDS,
) -> Delivered:
    """Write a declaration and wait until all services acknowledged it, or the time is over."""
    generation = generation_of(system)
    await put(encode_declaration(system))
    deadline = monotonic() + wait
    while True:
        acks.changed.clear()
        missing = [name for name in services if acks.generation(name) < generation]
        left = deadline - monotonic()
        if not missing or left <= 0:
            break
        try:
            await asyncio.wait_for(acks.changed.wait(), left)
        except TimeoutError:
            continue
    found = {name: ack for name in services if (ack := acks.of(name)) is not None and ack.generation >= generation}
    return Delivered(
        generation=generation,
        acknowledged={name: ack.generation for name, ack in found.items()},
        missing=missing,
        errors={name: ack.error or "not applied" for name, ack in found.items() if not ack.applied},
    )
