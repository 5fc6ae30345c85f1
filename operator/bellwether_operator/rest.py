"""What a pass found all as it is to be; over the very same, the next one need not render and compare it again. Pure.

Most passes come after one that left nothing to do: for a gateway's word, for the time, for our own write of a status.
To render and compare two dozen objects each time was most of what an edit took.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bellwether.render.kubernetes.moment import Moment
from bellwether_operator.apply.applier import Findings
from bellwether_operator.apply.decide import Desired
from bellwether_operator.layout import Layout
from bellwether_operator.observe.cache import Observed
from bellwether_operator.observe.kinds import BY_NAME
from bellwether_operator.observe.workloads import Expected, expected


class Basis(NamedTuple):
    """What the objects of a system are rendered from; the operator's settings besides."""

    generation: int
    moment: Moment
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
    basis: Basis,
    desired: Collection[Desired],
    children: Collection[Observed],
    found: Findings,
    until: float,
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
