"""Every decision of a replay, computed again from what was stored, has equal bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import select

from bellwether.local.replay import ServiceCaller, running
from bellwether.messages.prediction import DecisionRecord, GetDecision, ReplayDecision, ReplayedDecision
from bellwether.messages.scheduling import ReplayState
from bellwether.prediction.tables import decisions
from bellwether.storage.store import Transaction
from harness.replayed import until
from soak.replays import days


async def to_its_end(services: ServiceCaller) -> None:
    async def ended() -> bool:
        state = await services.ask("scheduler", "get_replay", None, ReplayState)
        assert state.state != "failed", state.error
        return bool(state.state == "complete")

    await until(ended, 600.0)


async def test_a_thousand_decisions_computed_again_have_equal_bytes(tmp_path: Path, trained: Path) -> None:
    shutil.copytree(trained, tmp_path / "ml-model")
    async with running(days("2009-01-02", "2009-07-10"), tmp_path, 0.0) as services:
        await to_its_end(services)

        def ids(tx: Transaction) -> list[str]:
            return list(tx.execute(select(decisions.c.id).order_by(decisions.c.sequence)).scalars())

        made = await services.store("prediction").transact(ids)
        assert len(made) >= 1000
        unequal = []
        for identifier in made:
            again = await services.ask("prediction", "replay_decision", ReplayDecision(identifier), ReplayedDecision)
            if again.outcome != "equal":
                unequal.append(again)
        assert unequal == []
        record = await services.ask("prediction", "get_decision", GetDecision(made[0]), DecisionRecord)
        assert record.outcome is not None
        assert record.outcome.session.isoformat() == "2009-01-08"
