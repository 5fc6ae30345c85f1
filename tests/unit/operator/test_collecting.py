from __future__ import annotations

import gc
import weakref

from bellwether_operator import collecting
from bellwether_operator.collecting import collect_all, give_back
from harness.until import until


class Knot:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_died_while_it_was_set_aside_is_freed_the_next_time() -> None:
    async with collecting.collecting(3600):
        knot = Knot()
        collect_all()
        assert gc.get_freeze_count() > 0
        seen = weakref.ref(knot)
        del knot
        gc.collect()
        assert seen() is not None
        collect_all()
        assert seen() is None


async def test_everything_is_looked_at_once_in_a_period_and_never_unasked() -> None:
    before = gc.get_threshold()
    knot = Knot()
    seen = weakref.ref(knot)
    async with collecting.collecting(0.01):
        assert gc.get_threshold() == (collecting.YOUNG, collecting.MIDDLE, collecting.NEVER)
        del knot
        await until(lambda: seen() is None and gc.get_freeze_count() > 0)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_what_was_freed_between_what_is_in_use_is_given_back() -> None:
    blocks = [bytearray(4096) for _ in range(20_000)]
    in_use = blocks[::50]
    del blocks
    assert give_back()
    assert len(in_use) == 400
