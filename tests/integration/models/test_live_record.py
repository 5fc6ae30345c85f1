"""A candidate in shadow beside the model that serves, and a model that its live outcomes take out of service."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bellwether.market.sessions import load_calendar
from bellwether.messages.models import Predict, Probability
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.prediction import RecordedOutcomes, RecordOutcomes, ReplayDecision, ReplayedDecision
from bellwether.messages.registry import (
    GetLiveRecords,
    ListRegistry,
    LiveDay,
    LiveRecord,
    LiveRecords,
    RegisteredModel,
    RegisteredModels,
    ShadowCandidate,
    ShowModel,
    ShownModel,
)
from bellwether.models.registry import Choice
from bellwether.models.training import create as ml_training
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from bellwether.training.artifact import CARD, EVIDENCE, ONNX, SKOPS, read_artifact, write_artifact
from bellwether.training.ledger import ModelLedger, read_ledger, write_ledger
from harness.replayed import BUILDS, MODEL, declared, model_serves, until
from harness.system import running
from integration.prediction.test_slice import RUN, batch, publish_close

pytestmark = pytest.mark.integration

CALENDAR = load_calendar("XNYS")


def with_twin(data: Path) -> tuple[str, str]:
    """Put a candidate into the registry that is the serving model by another name; return both versions."""
    root = data / "ml-model" / "registry"
    book = read_ledger(root)
    serving = next(one for one in book.entries if one.stage == "serving")
    manifest = msgspec.structs.replace(read_artifact(root / serving.version), name="twin", horizon_sessions=5)
    files = {name: (root / serving.version / name).read_bytes() for name in (ONNX, SKOPS, CARD, EVIDENCE)}
    twin = write_artifact(root, manifest, files).name
    candidate = msgspec.structs.replace(serving, version=twin, name="twin", stage="candidate", before=None)
    write_ledger(root, ModelLedger([*book.entries, candidate], book.trials))
    return serving.version, twin


async def test_a_shadow_is_asked_beside_and_its_record_stands_beside_the_base_rate(
    tmp_path: Path, trained: Path
) -> None:
    shutil.copytree(trained, tmp_path / "ml-model")
    serving, twin = with_twin(tmp_path)
    parts = {**BUILDS, "ml-training": ml_training}
    async with running(parts, data_dir=tmp_path, declaration=declared()) as system:
        await model_serves(system)
        first = CALENDAR.session_on(date(2009, 1, 5))
        assert first is not None
        early = first.open - timedelta(minutes=15)
        plain = (await batch(system, as_of=early, slot="before-the-shadow")).predictions["IBM"]
        shadow = ShadowCandidate(twin[:12], "to see it")
        reported = await system.call("ml-training", "shadow_model", shadow, RegisteredModel)
        assert (reported.stage, reported.reason) == ("shadow", "to see it")

        session, made = first, []
        for _ in range(7):
            slot = f"prediction_generation-{session.day:%Y%m%d}"
            made.append(await batch(system, as_of=session.open - timedelta(minutes=15), slot=slot))
            await publish_close(system, session.day, session.close)
            last, session = session, CALENDAR.after(session.day, 1)
        # What the shadow says changes no decision, and is no part of its record.
        beside = made[0].predictions["IBM"]
        assert (beside.action, beside.probability, beside.model_version) == (
            plain.action,
            plain.probability,
            plain.model_version,
        )
        again = await system.call(
            "prediction", "replay_decision", ReplayDecision(beside.prediction_id), ReplayedDecision, run=RUN
        )
        assert again.outcome == "equal"
        versions = GetLiveRecords([serving, twin])
        nothing = await system.call("prediction", "get_live_records", versions, LiveRecords, run=RUN)
        assert nothing.records == [], "no outcome is known yet"

        evening = last.close + timedelta(hours=1)
        await system.call(
            "prediction", "record_outcomes", RecordOutcomes(last.day), RecordedOutcomes, as_of=evening, run=RUN
        )
        found = await system.call("prediction", "get_live_records", versions, LiveRecords, run=RUN)
        records = {one.role: one for one in found.records}
        assert (records["serving"].version, records["shadow"].version) == (serving, twin)
        ours, theirs = records["serving"].days, records["shadow"].days
        assert [day.rows for day in ours] == [4] * len(ours)
        assert ours == theirs, "the twin says the same"
        shown = await system.call("ml-training", "show_model", ShowModel(twin), ShownModel, run=RUN)
        (live,) = shown.live
        assert (live.role, live.sessions, live.decisions) == ("shadow", len(theirs), 4 * len(theirs))
        assert live.verdict == f"{len(theirs)} of 110 sessions with outcomes: too few to say anything"
        assert 0.0 < live.brier < 1.0


async def test_live_outcomes_that_are_worse_demote_a_model_and_its_predictions_are_refused(
    tmp_path: Path, trained: Path
) -> None:
    shutil.copytree(trained, tmp_path / "ml-model")
    root = tmp_path / "ml-model" / "registry"
    path = root / f"serving-{MODEL}.json"
    choice = msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=Choice), cut=None)
    path.write_bytes(msgspec.json.encode(choice))
    book = read_ledger(root)
    since = datetime(2008, 1, 2, tzinfo=UTC)
    write_ledger(root, ModelLedger([msgspec.structs.replace(one, since=since) for one in book.entries], book.trials))
    version = choice.versions[0]
    days = [LiveDay(since.date() + timedelta(n), 4, 3.2, 2.8 + 0.01 * (n % 3), 1.2, 1.0) for n in range(120)]

    def prediction(context: ServiceContext) -> Service:
        service = Service("prediction", context)

        async def get_live_records(request: GetLiveRecords, call: Call) -> LiveRecords:
            return LiveRecords([LiveRecord(one, MODEL, "serving", 5, days) for one in request.versions])

        service.rpc("get_live_records")(get_live_records)
        return service

    rows = {**SERVICES, "prediction": ServiceRow("prediction", "a stand-in", serves=("get_live_records",))}
    parts = {"ml-model": BUILDS["ml-model"], "prediction": prediction, "ml-training": ml_training}
    declaration = declared(clock={"mode": "live"}, training={"demotion": {"mode": "demote"}})
    async with running(parts, data_dir=tmp_path, declaration=declaration, rows=rows) as system:

        async def demoted() -> RegisteredModel | None:
            reported = await system.call("ml-training", "list_registry", ListRegistry(MODEL), RegisteredModels)
            return next((one for one in reported.models if one.version == version and one.demoted), None)

        found: RegisteredModel = await until(demoted)
        assert (found.stage, found.demoted[:13]) == ("serving", "live log loss")
        model = await model_serves(system)
        assert model.demoted == found.demoted
        with pytest.raises(RpcError) as refused:
            await system.call("ml-model", "predict", Predict(MODEL, dict.fromkeys(model.features, 0.01)), Probability)
        assert refused.value.code == "MODEL_DEMOTED"

        async def alarms() -> list[AlarmReading]:
            health = await system.call("ml-training", "health")
            return msgspec.convert(health["alarms"], list[AlarmReading])

        (only,) = await until(alarms)
        assert (only.type, only.severity) == ("model_worse_live", "critical")
