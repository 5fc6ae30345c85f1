"""What is read from a gateway's status: old gateways say less, new ones more, and neither is a fault."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from bellwether.gateway.status import DataState, ModelState, ServiceState, SystemStatus
from bellwether.messages.backup import RestoreRequest
from bellwether.messages.envelope import encode
from bellwether.messages.scheduling import ReplayState, SlotJobs
from bellwether.messages.scheduling import SlotJob as SaidJob
from bellwether.messages.trading import Safety as SaidSafety
from bellwether.messages.trading import SafetyRefusal
from bellwether_operator.gateway_view import (
    Bars,
    GatewayError,
    GatewayView,
    Refusal,
    RestoreAsked,
    Safety,
    ServedModel,
    SlotJob,
    Slots,
    read_status,
)

SERVICES = [{"name": "prediction", "ready": True, "generation": 3, "uptime": 1.0}]


def read(**more: Any) -> GatewayView:
    return read_status({"generation": 3, "services": SERVICES, "halted": False, "halts": [], **more}, 1.0)


def test_what_an_older_gateway_does_not_say_is_unknown() -> None:
    found = read_status({"generation": 3, "services": SERVICES, "halts": ["x"]}, 1.0)
    assert found == GatewayView(1.0, 3, {"prediction": 3}, {"prediction": True}, ("x",))
    assert (found.safety, found.data, found.models, found.slots, found.replay) == (None,) * 5


def test_a_service_that_acknowledged_nothing_has_generation_zero() -> None:
    silent = {"services": [{"name": "prediction", "ready": False, "generation": -1}]}
    assert read_status(silent, 1.0) == GatewayView(1.0, 0, {"prediction": 0}, {"prediction": False}, None)


def test_no_halts_are_something_else_than_no_word_of_halts() -> None:
    assert read().halts == ()
    assert read(halted=None).halts is None
    assert read(halted=True, halts=["latch"]).halts == ("latch",)


def test_everything_that_a_gateway_says_is_read() -> None:
    found = read(
        safety={"safe": False, "refusals": [{"code": "HALTED", "value": "latch", "limit": "no halt", "message": "m"}]},
        data=[
            {"symbol": "CBA.AX", "fresh": True, "last_session": "2026-11-20", "problem": ""},
            {"symbol": "BHP.AX", "fresh": None, "last_session": None, "problem": "no answer"},
        ],
        models=[{"model_name": "direction-lr", "symbol": None, "gated": False, "version": "sha", "metrics": {}}],
        slots={
            "since": "2026-11-01T00:00:00Z",
            "jobs": [
                {
                    "name": "morning_analysis-20261123",
                    "task": "morning_analysis",
                    "session": "2026-11-23",
                    "due": "2026-11-23T09:30:00+11:00",
                    "status": "missed",
                }
            ],
        },
        replay={"state": "running", "step": 7},
    )
    assert found.safety == Safety(safe=False, refusals=(Refusal("HALTED", "latch", "no halt", "m"),))
    assert found.data == (
        Bars("CBA.AX", fresh=True, last_session=date(2026, 11, 20)),
        Bars("BHP.AX", fresh=None, problem="no answer"),
    )
    assert found.models == (ServedModel("direction-lr", None, gated=False),)
    due = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
    job = SlotJob("morning_analysis-20261123", "morning_analysis", date(2026, 11, 23), due, "missed")
    assert found.slots == Slots(datetime(2026, 11, 1, tzinfo=UTC), (job,))
    assert found.replay == "running"


def test_the_gateways_own_words_are_read_in_full() -> None:
    now, session = datetime(2026, 11, 23, 1, tzinfo=UTC), date(2026, 11, 20)
    said = SystemStatus(
        system="demo",
        namespace="trading",
        profile="compact",
        mode="live",
        version="v1",
        generation=3,
        ready=True,
        now=now,
        symbols=["CBA.AX"],
        trading="simulated",
        services=[ServiceState("prediction", ready=True, status="healthy", generation=3)],
        replay=ReplayState("complete", "r", 9, session, now, session, session, 1, 1),
        halted=True,
        halts=["latch"],
        account=None,
        safety=SaidSafety(safe=False, refusals=[SafetyRefusal("DATA_STALE", "old", "new", "too old", "CBA.AX")]),
        data=[DataState("CBA.AX", fresh=True, last_session=session, problem="")],
        models=[
            ModelState("direction-lr", "sha", None, [], 5, session, session, 0.5, {}, gated=True, serves=["CBA.AX"])
        ],
        slots=SlotJobs(
            now,
            [SaidJob("evening_analysis-20261120", "evening_analysis", session, now, "missed")],
            {"evening_analysis": now},
            {session: now},
        ),
        problems=[],
    )
    assert read_status(json.loads(encode(said)), 1.0) == GatewayView(
        at=1.0,
        generation=3,
        acknowledged={"prediction": 3},
        ready={"prediction": True},
        halts=("latch",),
        safety=Safety(safe=False, refusals=(Refusal("DATA_STALE", "old", "new", "too old", "CBA.AX"),)),
        data=(Bars("CBA.AX", fresh=True, last_session=session),),
        models=(ServedModel("direction-lr", None, gated=True),),
        slots=Slots(
            now,
            (SlotJob("evening_analysis-20261120", "evening_analysis", session, now, "missed"),),
            (("evening_analysis", now),),
            ((session, now),),
        ),
        replay="complete",
    )


def test_a_live_system_that_never_started_has_no_slots_yet() -> None:
    assert read(slots={"since": None, "jobs": []}).slots == Slots(None)
    assert read(slots=None).slots is None


@pytest.mark.parametrize(
    ("part", "nonsense"),
    [
        ("safety", "yes"),
        ("safety", {"safe": False, "refusals": [{"value": "no code"}]}),
        ("data", [{"fresh": True}]),
        ("data", [{"symbol": "CBA.AX", "last_session": "yesterday"}]),
        ("models", [7]),
        ("slots", {"jobs": [{"name": "x", "task": "x", "session": "2026-11-23", "due": "2026-11-23T09:30:00"}]}),
        ("replay", []),
    ],
)
def test_a_part_that_cannot_be_read_is_unknown_and_the_rest_counts(part: str, nonsense: Any) -> None:
    found = read(**{part: nonsense})
    assert getattr(found, part) is None
    assert found.generation == 3


def test_what_is_no_truth_is_taken_for_unknown() -> None:
    assert read(safety={"safe": "yes"}).safety == Safety(None)


def test_the_cursor_of_a_replay_is_no_news() -> None:
    assert read(replay={"state": "running", "step": 7}) == read(replay={"state": "running", "step": 8})


def test_nonsense_is_refused() -> None:
    with pytest.raises(GatewayError, match="cannot be read"):
        read_status({"services": [{"ready": True}]}, 1.0)


def test_a_restore_in_place_that_was_asked_for_is_read() -> None:
    asked = RestoreRequest("20261120T213000Z", "far", datetime(2026, 11, 23, 1, tzinfo=UTC), "u-1")
    said = json.loads(encode(asked)) | {"id": asked.id}
    found = read(restore=said).restore
    assert found == RestoreAsked("20261123T010000Z", "20261120T213000Z", "far", asked.at, "u-1")
    assert read(restore=None).restore is None
    assert read(restore={"id": "x"}).restore is None
