"""What a pinned release makes of a declaration that a newer operator sends."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bellwether.spec.models import Rollout, TradingSystemSpec
from bellwether.spec.wire import at_default, known_part, sent
from harness.bad_systems import GOOD

TASKS = [{"name": "noon", "anchor": "time", "time": "12:00"}]


def test_a_value_that_is_the_senders_default_is_sent_all_the_same() -> None:
    body = sent(TradingSystemSpec.model_validate(GOOD["spec"] | {"rollout": {"policy": "WhenClosed"}}))

    class Other(TradingSystemSpec):
        rollout: Rollout = Rollout(policy="Immediate")

    assert Other.model_validate(GOOD["spec"]).rollout.policy == "Immediate"
    assert Other.model_validate(body).rollout.policy == "WhenClosed"
    assert TradingSystemSpec.model_validate(body).tasks == TradingSystemSpec().tasks


def test_a_field_of_a_later_release_at_its_default_is_passed_over() -> None:
    body = sent(TradingSystemSpec.model_validate(GOOD["spec"] | {"tasks": TASKS}))
    body |= {"predictionsKept": "30d"}
    body["rollout"]["drainFirst"] = False
    body["tasks"][0]["retries"] = 0
    found = known_part(body, ["predictionsKept", "rollout.drainFirst", "tasks[].retries"])
    assert TradingSystemSpec.model_validate(found) == TradingSystemSpec.model_validate(GOOD["spec"] | {"tasks": TASKS})
    assert "predictionsKept" in body  # what was given is left as it is


def test_a_field_of_a_later_release_that_asks_for_something_is_refused() -> None:
    body = sent(TradingSystemSpec.model_validate(GOOD["spec"]))
    body["rollout"]["drainFirst"] = True
    with pytest.raises(ValidationError, match="drainFirst"):
        TradingSystemSpec.model_validate(known_part(body, ["predictionsKept"]))


def test_the_paths_at_a_default_are_named_down_to_the_field() -> None:
    found = at_default(
        TradingSystemSpec.model_validate(GOOD["spec"] | {"tasks": TASKS, "rollout": {"policy": "Immediate"}})
    )
    assert {"rollout.protectSession", "tasks[].usefulUntil", "trading"} <= set(found)
    assert not {"rollout", "rollout.policy", "tasks", "symbols", "clock.mode"} & set(found)
