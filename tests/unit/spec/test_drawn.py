"""Whatever the schema takes, the program can do, or it is refused beforehand with the field's name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from bellwether.change.plan import plan
from bellwether.change.world import Installation
from bellwether.market.declared import calendar_of, fit, slots_of
from bellwether.market_data.loaded import LoadedBars
from bellwether.market_data.service import horizon_of
from bellwether.runtime.declaration import encode_declaration, parse_declaration
from bellwether.scheduling import time_settings
from bellwether.scheduling.timeline import timeline
from bellwether.spec.models import API_VERSION, KIND, TradingSystem
from bellwether.spec.schema import resource_schema
from bellwether.spec.validate import validate
from bellwether.trading.rules import rules_of
from harness.drawn import values_of

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
PARTS = resource_schema()["properties"]["spec"]["properties"]


def declared(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "demo"}, "spec": spec}


def do_everything(system: TradingSystem) -> None:
    """Do what services and operator do with a declaration when they start."""
    spec = system.spec
    assert parse_declaration(encode_declaration(system)).spec == spec
    said = time_settings.read(system)
    rules = rules_of(spec)
    assert rules.initial_cash > 0
    LoadedBars(calendar_of(spec.market), spec.symbols, spec.predictions.margin, horizon_of(spec.predictions.model))
    slots_of(spec, NOW, NOW + timedelta(days=10))
    if said.replays and said.first is not None:
        last = min(said.last or said.first, said.first + timedelta(days=40))
        timeline(said.tasks, said.calendar, said.first, max(last, said.first))
    made = plan(None, system, NOW, Installation("bellwether/services:test"))
    assert made.refusals == ()
    assert made.steps


PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)


@settings(max_examples=60, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(PARTS)).flatmap(
        lambda name: st.tuples(st.just(name), values_of(PARTS[name]), st.sampled_from(["live", "replay"]))
    )
)
def test_a_declaration_with_a_part_drawn_from_the_schema_runs_or_is_refused_by_its_field(
    drawn: tuple[str, Any, str],
) -> None:
    name, value, mode = drawn
    spec: dict[str, Any] = {"data": {"provider": "csv", "csv": {"directory": "bars"}}}
    if mode == "replay":
        spec["clock"] = {"mode": "replay", "from": "2009-01-02"}
    document = declared({**spec, name: value})
    problems = validate(document)
    event(f"{name}: {'refused' if problems else 'taken'}")
    if problems:
        assert all(problem.path.startswith("spec") and problem.message for problem in problems)
        return
    system = TradingSystem.model_validate(document)
    unfit = fit(system.spec)
    if unfit:
        assert all(problem.path.startswith("spec.") for problem in unfit)
        return
    do_everything(system)
