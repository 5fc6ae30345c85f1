"""When a system has another pass, and why it has none. Pure.

A pass is made when something was seen of the system or of its children, when the time itself asks for one (`next_in`),
after a back-off where something did not work, and else every `resync`. It is not made for a watch that shows nothing
but what our own writes made of an object (`is_echo`).

Nor does a pass render and compare everything each time. Most come after one that left nothing to do: for a gateway's
word, for the time, for our own write of a status. Over the same basis and children (`Rest`) there is nothing to write.
And a status waits briefly for the delivery of an edit (`delivery_in`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from bellwether.render.kubernetes.context import Period
from bellwether_operator.apply.actions import Desired
from bellwether_operator.apply.applier import Findings
from bellwether_operator.layout import Layout
from bellwether_operator.observe.kinds import BY_NAME, Observed, Version
from bellwether_operator.observe.layouts import Expected, expected

DELIVERY_SECONDS = 1.0
"""So long a status waits for the services' word on an edit, which comes within milliseconds where all is well: so it is
written once, and warns of nothing that is over before anybody reads it. Until then it speaks of the former generation.
"""
_LATEST = datetime.max.replace(tzinfo=UTC)


class Basis(NamedTuple):
    """What the objects of a system are rendered from; the operator's settings besides."""

    generation: int
    period: Period
    layout: Layout


@dataclass(frozen=True)
class Rest:
    """All children of a system as they are to be, until something of this is another."""

    basis: Basis
    seen: int
    """Stands for the children and their resource versions."""
    workloads: tuple[Expected, ...]
    until: float
    """When it is to be looked at again all the same (monotonic seconds)."""

    def holds(self, basis: Basis, children: Iterable[Observed], now: float) -> bool:
        """Whether a pass over this has nothing to do; `now` in monotonic seconds."""
        return now < self.until and self.basis == basis and self.seen == versions(children)


def versions(children: Iterable[Observed]) -> int:
    """Return a number that stands for which children there are, in which state, as long as this process lives."""
    return hash(frozenset((child.key, child.resource_version) for child in children))


def rest(
    basis: Basis, desired: Collection[Desired], children: Collection[Observed], found: Findings, until: float
) -> Rest | None:
    """Return that there is nothing more to do after a pass, or None where something waits, failed, or is not known.

    Args:
        basis: what they were rendered from.
        desired: the objects that are to be there.
        children: those that are there after the pass.
        found: what the pass found.
        until: when to look again all the same (monotonic seconds).
    """
    if found.troubled or found.contested or found.pending or found.notes or found.due:
        return None
    agreed = {child.key: child.verified for child in children if not child.deleting}
    if any(agreed.get(each.key) != each.digest for each in desired if BY_NAME[each.key.kind].observed):
        return None
    return Rest(basis, versions(children), expected(desired), until)


def is_echo(causes: Collection[Version | None], written: Collection[Version]) -> bool:
    """Whether all that was seen during a pass is what its own writes made: a watch may be faster than their replies.

    Among the causes None stands for something else than an object as it was seen.
    """
    return bool(causes) and all(each in written for each in causes)


def delivery_in(accepted_at: float, now: float) -> float | None:
    """Return for how many more seconds a status waits for the delivery of an edit; both times are monotonic."""
    left = accepted_at + DELIVERY_SECONDS - now
    return left if left > 0 else None


def next_in(at: Iterable[datetime], within: Iterable[float], now: datetime) -> float | None:
    """Return after how many seconds the time itself asks for another pass; instants are aware."""
    waits = [(due - now).total_seconds() for due in at if due < _LATEST]
    return min((max(0.0, wait) for wait in (*waits, *within)), default=None)
