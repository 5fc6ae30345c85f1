"""A live system of an exchange, and an operator whose clock a test moves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bellwether_operator.main import Operator
from bellwether_operator.observe.kinds import SystemKey
from bellwether_operator.settings import Settings

from .conftest import Kube, eventually, system
from .conftest import running as operator_running
from .test_reconcile import more_passes

# Thursday 2027-06-10 is an ordinary day in Sydney (UTC+10): open 10:00, close 16:00 at the exchange.
MORNING = datetime(2027, 6, 9, 21, 0, tzinfo=UTC)
OPEN = datetime(2027, 6, 10, 0, 0, tzinfo=UTC)
NOON = datetime(2027, 6, 10, 2, 0, tzinfo=UTC)
CLOSE = datetime(2027, 6, 10, 6, 0, tzinfo=UTC)
EVENING = datetime(2027, 6, 10, 8, 0, tzinfo=UTC)


@dataclass
class Clock:
    """The operator's time, which stands still until it is set; setting it has every system looked at."""

    kube: Kube
    now: datetime
    operator: Operator | None = None

    def __call__(self) -> datetime:
        return self.now

    async def set(self, now: datetime) -> None:
        """Set the time; return when each system had a pass that began after it."""
        self.now = now
        if self.operator is None:
            return
        for name in await self.kube.names("tsys"):
            worker = self.operator.workers.worker(SystemKey(self.kube.namespace, name))
            if worker is not None:
                await more_passes(self.operator, worker)


@contextlib.asynccontextmanager
async def running(settings: Settings, now: Callable[[], datetime]) -> AsyncIterator[Operator]:
    """Run an operator by this time."""
    async with operator_running(settings, now) as operator:
        if isinstance(now, Clock):
            now.operator = operator
        yield operator


def live(kube: Kube, **spec: Any) -> dict[str, Any]:
    """Return a system that lives in the present, with bars from files."""
    return system(
        kube,
        **{
            "market": {"calendar": "XASX"},
            "data": {"provider": "csv", "csv": {"directory": "bars"}},
            "clock": {"mode": "live"},
            **spec,
        },
    )


async def version_of(kube: Kube) -> str:
    found = await kube.get("statefulset", "demo")
    assert found is not None
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]


async def settled(kube: Kube) -> None:
    await eventually("the workload", lambda: kube.get("statefulset", "demo"))
    await kube.make_ready("demo")
    await kube.until_condition("demo", "Ready", "True")


async def replicas(kube: Kube) -> int:
    return int((await kube.get("statefulset", "demo") or {})["spec"]["replicas"])
