"""The stand-in in a thread of its own, for tests that have no event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from harness.authority import make_authority
from harness.ig.markets import Market
from harness.ig.standin import HOST, StandIn

T = TypeVar("T")


@dataclass(frozen=True)
class Beside:
    """A stand-in that is looked at and changed on its own loop alone, so that no answer falls in between."""

    ig: StandIn
    portal: BlockingPortal

    def do(self, work: Callable[[StandIn], T]) -> T:
        """Return what a function of the stand-in returns."""
        return self.portal.call(work, self.ig)


@contextmanager
def standing_in_beside(folder: Path, markets: Iterable[Market], host: str = "127.0.0.1") -> Iterator[Beside]:
    """Run a stand-in at an address of this machine."""
    authority, tls = make_authority(folder, (HOST,))
    ig = StandIn(markets, authority, tls)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(ig.serving(host)):
        yield Beside(ig, portal)
