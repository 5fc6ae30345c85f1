"""Computing the decisions of a restored system's last session again, by its own bars and models, asking nobody."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bellwether.backups.errors import BackupError
from bellwether.local.registry import registry
from bellwether.messages.prediction import ReplayDecision, ReplayedDecision
from bellwether.render.kubernetes.containers import DECIDING
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.errors import RpcError
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.runtime.process import Process
from bellwether.spec.models import TradingSystem
from bellwether.spec.sentiment import Sentiment

DATABASE = "decisions.db"
NOWHERE = "http://127.0.0.1:9"
"""The proxy of a drill, on which nothing listens: it asks nobody outside for anything."""
BUDGET = 60.0
OTHER_RELEASE = "of another release"
_SHOWN = 5


class DecidedOtherwise(BackupError):
    """Decisions that do not come out as they were stored; the message names the first ones."""

    def __init__(self, problems: list[str]) -> None:
        more = " …" if len(problems) > _SHOWN else ""
        super().__init__(f"the decisions cannot be trusted: {'; '.join(problems[:_SHOWN])}{more}")
        self.problems = problems


class Decided(NamedTuple):
    """A stored decision."""

    id: str
    run: str
    as_of: datetime


async def decided_again(declaration: TradingSystem, data: Path, *, was: str, release: str) -> Counter[str]:
    """Compute the decisions of the newest session again, by the restored bars and models; return the outcomes.

    A decision of another release is counted as that; it need not come out with the same bytes.

    Args:
        declaration: the system of then.
        data: its databases and models, which may be written.
        was: the release that decided.
        release: the present one.

    Raises:
        DecidedOtherwise: if one of this release comes out otherwise, or one cannot be computed.
    """
    decisions = newest_decisions(data / DATABASE)
    if not decisions:
        return Counter()
    broker = MemoryBroker()
    await ensure(broker.connect("bootstrap"), bus_plan())
    system = silent(declaration)
    config = replace(
        ProcessConfig(),
        system=system.metadata.name,
        data_dir=data,
        version=release,
        proxy=NOWHERE,
        sampling=0.0,
    )
    process = Process(config, registry(DECIDING), connect=broker.connect, declaration=system, health=False)
    outcomes: Counter[str] = Counter()
    problems: list[str] = []
    other = was != release
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.CRITICAL)
    try:
        await process.start()
        for one in decisions:
            call = process.services["prediction"].call(budget=BUDGET).at(one.as_of, run=one.run)
            try:
                found = await call.request("prediction", "replay_decision", ReplayDecision(one.id), ReplayedDecision)
            except RpcError as error:
                problems.append(f"decision {one.id} cannot be computed: {error.message}")
                continue
            outcomes[OTHER_RELEASE if other and found.outcome != "equal" else found.outcome] += 1
            if found.outcome == "different" and not other:
                problems.append(f"decision {one.id} comes out otherwise: {', '.join(found.differences)}")
    finally:
        await process.stop()
        root.setLevel(level)
    if problems:
        raise DecidedOtherwise(problems)
    return outcomes


def told(outcomes: Counter[str]) -> str:
    """Return the outcomes in words."""
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "there are none"


def silent(system: TradingSystem) -> TradingSystem:
    """Return the declaration of a drill: it reads no news and sends no order."""
    spec = system.spec
    trading = spec.trading.model_copy(update={"halted": True})
    return system.model_copy(update={"spec": spec.model_copy(update={"sentiment": Sentiment(), "trading": trading})})


def newest_decisions(path: Path) -> list[Decided]:
    """Return the stored decisions for the newest session that there are any for."""
    query = (
        "SELECT id, run, as_of FROM decisions WHERE (run, target_session) = "
        "(SELECT run, target_session FROM decisions ORDER BY sequence DESC LIMIT 1) ORDER BY sequence"
    )
    with closing(sqlite3.connect(path)) as connection:
        return [Decided(row[0], row[1], datetime.fromisoformat(row[2])) for row in connection.execute(query)]
