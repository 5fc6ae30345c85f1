"""A model past its day: decisions are HOLD, name the model and the day, and are computed again to equal bytes."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from bellwether.market.sessions import load_calendar
from bellwether.messages.prediction import ReplayDecision, ReplayedDecision
from bellwether.models.registry import Choice
from bellwether.training.artifact import CARD, ONNX, SKOPS, read_artifact, write_artifact
from harness.replayed import MODEL, replayed
from integration.prediction.test_slice import RUN, batch, records

pytestmark = pytest.mark.integration

EXPIRES = date(2009, 1, 6)


def with_expiry(data: Path, day: date) -> str:
    """Let every model of a registry that serves expire on a day; return the version of the general one."""
    root = data / "ml-model" / "registry"
    path = root / f"serving-{MODEL}.json"
    choice = msgspec.json.decode(path.read_bytes(), type=Choice)
    versions = []
    for version in choice.versions:
        manifest = msgspec.structs.replace(read_artifact(root / version), expires_on=day)
        files = {name: (root / version / name).read_bytes() for name in (ONNX, SKOPS, CARD)}
        versions.append(write_artifact(root, manifest, files).name)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(choice, versions=versions)))
    return versions[0]


async def test_decisions_say_when_the_model_expires_and_hold_from_that_day_on(tmp_path: Path, trained: Path) -> None:
    shutil.copytree(trained, tmp_path / "ml-model")
    version = with_expiry(tmp_path, EXPIRES)
    calendar = load_calendar("XNYS")
    async with replayed(tmp_path, trained) as system:
        made = []
        for day in (date(2009, 1, 5), EXPIRES):
            session = calendar.session_on(day)
            assert session is not None
            made.append(await batch(system, as_of=session.open - timedelta(minutes=15), slot=f"slot-{day:%Y%m%d}"))
        before, after = (each.predictions["IBM"] for each in made)
        assert (before.model_available, before.model_version, before.model_expires_on) == (True, version, EXPIRES)
        assert (after.model_available, after.model_version, after.model_expires_on) == (False, version, EXPIRES)
        assert (after.action, after.may_trade) == ("HOLD", False)
        kept = await records(system)
        assert kept[after.prediction_id].canonical["inputs"]["missing"]["model"] == "MODEL_EXPIRED"
        for one in (before, after):
            call = ReplayDecision(one.prediction_id)
            again = await system.call("prediction", "replay_decision", call, ReplayedDecision, run=RUN)
            assert (again.outcome, again.differences) == ("equal", [])
