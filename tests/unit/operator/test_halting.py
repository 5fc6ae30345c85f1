from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether_operator.halting import PATIENCE_SECONDS, Halting, HaltStep, trader_component, with_replicas

IDLE = HaltStep(stop=False)


def declared(halting: Halting, generation: int = 7, at: float = 100.0) -> HaltStep:
    """Return what is to be done when a halt is first seen, while the trader runs and has the generation before."""
    return halting.step(True, generation, generation - 1, False, at)


def test_a_halt_is_given_five_seconds_and_the_time_to_look_again_is_said() -> None:
    halting = Halting()
    assert declared(halting) == HaltStep(stop=False, due_at=105.0)
    assert halting.step(True, 7, 6, False, 104.9) == HaltStep(stop=False, due_at=105.0)


def test_an_acknowledged_halt_stops_nothing_ever() -> None:
    halting = Halting()
    declared(halting)
    assert halting.step(True, 7, 7, False, 101.0) == IDLE
    assert halting.step(True, 7, None, False, 200.0) == IDLE, "nobody knows any more, but it was acknowledged"
    assert halting.step(True, 9, 7, False, 300.0) == IDLE, "another field was edited while halted"


def test_an_unanswered_halt_stops_the_trader_until_its_pods_are_gone() -> None:
    halting = Halting()
    declared(halting)
    stopping = halting.step(True, 7, 6, False, 105.0)
    words = "paper-trading did not acknowledge the halt of generation 7 in 5 s: its pod is being stopped"
    assert stopping == HaltStep(stop=True, words=words)
    assert halting.step(True, 7, None, False, 130.0) == stopping
    gone = halting.step(True, 7, None, True, 140.0)
    assert gone == HaltStep(stop=False, words=words.replace("is being stopped", "was stopped and starts again halted"))
    assert halting.step(True, 7, None, False, 141.0) == gone
    assert halting.step(True, 7, 7, False, 150.0) == IDLE


def test_nobody_knowing_is_not_an_acknowledgement() -> None:
    halting = Halting()
    halting.step(True, 7, None, False, 100.0)
    assert halting.step(True, 7, None, False, 106.0).stop


def test_a_forced_halt_is_not_forced_again_by_editing_another_field() -> None:
    halting = Halting()
    declared(halting)
    assert halting.step(True, 7, 6, False, 105.0).stop
    halting.step(True, 7, None, True, 106.0)
    assert not any(halting.step(True, generation, 6, False, 110.0 + generation).stop for generation in range(7, 60))


def test_editing_another_field_does_not_lengthen_the_wait_nor_does_it_need_its_own_acknowledgement() -> None:
    late = Halting()
    declared(late)
    late.step(True, 8, 6, False, 104.0)
    assert late.step(True, 8, 6, False, 105.0).stop
    quick = Halting()
    declared(quick)
    assert quick.step(True, 8, 7, False, 104.0) == IDLE


def test_a_late_acknowledgement_ends_the_stop() -> None:
    halting = Halting()
    declared(halting)
    assert halting.step(True, 7, 6, False, 105.0).stop
    assert halting.step(True, 7, 7, False, 105.5) == IDLE


def test_withdrawing_the_halt_ends_the_stop_and_the_next_halt_is_a_new_one() -> None:
    halting = Halting()
    declared(halting)
    assert halting.step(True, 7, 6, False, 105.0).stop
    assert halting.step(False, 8, 6, False, 106.0) == IDLE
    assert declared(halting, 9, 107.0) == HaltStep(stop=False, due_at=112.0)
    assert halting.step(True, 9, 8, False, 112.0).stop


def test_a_trader_without_pods_has_nothing_to_stop_and_begins_halted() -> None:
    halting = Halting()
    declared(halting)
    halting.step(True, 7, 6, True, 101.0)
    assert halting.step(True, 7, 6, False, 120.0) == IDLE


def test_pods_that_are_gone_when_the_halt_is_first_seen_may_come_back_with_what_was_declared_before() -> None:
    halting = Halting()
    halting.step(True, 7, 6, True, 100.0)
    assert halting.step(True, 7, 6, False, 105.0).stop


def test_a_system_that_was_made_halted_is_not_stopped_while_it_starts() -> None:
    halting = Halting()
    assert not any(halting.step(True, 1 + (at > 50), None, False, at).stop for at in range(100))


def test_a_new_system_of_the_same_name_begins_again() -> None:
    halting = Halting()
    declared(halting)
    halting.step(True, 7, 7, False, 101.0)
    assert halting.step(True, 3, 2, False, 102.0).due_at == 107.0


@dataclass(frozen=True)
class Step:
    seconds: float
    halted: bool
    edited: bool
    acknowledged: int | None
    """How many generations the trader lags behind; None when nobody knows."""
    gone: bool


STEPS = st.builds(
    Step,
    seconds=st.sampled_from([0.0, 0.1, 1.0, 4.9, 5.0, 60.0]),
    halted=st.sampled_from([True, True, True, False]),
    edited=st.booleans(),
    acknowledged=st.sampled_from([None, 0, 1, 2, 3, 9]),
    gone=st.sampled_from([False, False, False, True]),
)


@given(st.lists(STEPS, max_size=60), st.integers(1, 5))
def test_whatever_happens_a_halt_is_forced_at_most_once_and_never_after_it_was_acknowledged(
    steps: list[Step], generation: int
) -> None:
    halting = Halting()
    now, halted_before = 0.0, False
    since, halt, acknowledged, starts_halted, stops, stopping = 0.0, 0, False, False, 0, False
    for step in steps:
        now += step.seconds
        generation += step.edited or step.halted != halted_before
        known = None if step.acknowledged is None else generation - step.acknowledged
        if step.halted and not halted_before:
            since, halt, acknowledged, stops, stopping = now, generation, False, 0, False
            starts_halted = generation == 1
        elif step.gone:
            starts_halted = True
        acknowledged = acknowledged or (known is not None and known >= halt)
        halted_before = step.halted
        found = halting.step(step.halted, generation, known, step.gone, now)
        stops += found.stop and not stopping
        stopping = found.stop
        assert found.stop == (
            step.halted and not acknowledged and not starts_halted and now >= since + PATIENCE_SECONDS
        )
        assert stops <= 1
        assert found.due_at is None or found.due_at > now
        assert not found.stop or found.words


@pytest.mark.parametrize(("profile", "component"), [("compact", "system"), ("standard", "paper-trading")])
def test_the_trader_is_the_whole_pod_or_its_own(profile: str, component: str) -> None:
    assert trader_component(profile) == component


def test_only_the_number_of_pods_is_another() -> None:
    manifest = {"kind": "StatefulSet", "metadata": {"name": "demo"}, "spec": {"replicas": 1, "template": {}}}
    assert with_replicas(manifest, 0) == {**manifest, "spec": {"replicas": 0, "template": {}}}
    assert manifest["spec"] == {"replicas": 1, "template": {}}
