from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether.render.kubernetes import RenderContext, render
from bellwether.render.kubernetes.context import period_of
from bellwether.spec.models import TradingSystem

from .conftest import build

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC) - timedelta(hours=11)  # in Sydney
LIVE: dict[str, Any] = {"data": {"provider": "yahoo"}, "clock": {"mode": "live"}, "market": {"calendar": "XASX"}}


def at(system: TradingSystem, context: RenderContext, now: datetime) -> RenderContext:
    return replace(context, period=period_of(system.spec, now))


def budgets(system: TradingSystem, context: RenderContext) -> dict[str, Any]:
    found = (each for each in render(system, context) if each["kind"] == "PodDisruptionBudget")
    return {each["metadata"]["name"]: each for each in found}


def allowed(system: TradingSystem, context: RenderContext, now: datetime) -> set[int]:
    found = budgets(system, at(system, context, now))
    return {each["spec"]["maxUnavailable"] for each in found.values()}


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_each_workload_has_a_budget_of_its_name_that_picks_its_pods(context: RenderContext, profile: str) -> None:
    system = build(profile=profile)
    workloads = {
        each["metadata"]["name"]: each["spec"]["selector"]
        for each in render(system, context)
        if each["kind"] in {"StatefulSet", "Deployment"}
    }
    assert {name: each["spec"]["selector"] for name, each in budgets(system, context).items()} == workloads


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_no_pod_is_evicted_while_a_session_is_open(context: RenderContext, profile: str) -> None:
    system = build(profile=profile, **LIVE)
    assert allowed(system, context, MONDAY_NOON) == {0}
    assert allowed(system, context, MONDAY_NOON + timedelta(hours=6)) == {1}
    assert allowed(system, context, MONDAY_NOON - timedelta(days=1)) == {1}


def test_a_declared_holiday_protects_nothing(context: RenderContext) -> None:
    market = {"calendar": "XASX", "overrides": [{"date": "2026-11-23", "closed": True}]}
    assert allowed(build(**{**LIVE, "market": market}), context, MONDAY_NOON) == {1}


def test_protection_can_be_switched_off(context: RenderContext) -> None:
    assert allowed(build(**LIVE, rollout={"protectSession": False}), context, MONDAY_NOON) == {1}


def test_a_replay_has_no_session_to_protect(context: RenderContext) -> None:
    live = at(build(**LIVE), context, MONDAY_NOON)
    assert live.period.session is not None
    replayed = budgets(build(), live)
    assert {each["spec"]["maxUnavailable"] for each in replayed.values()} == {1}


def test_a_broken_pod_may_go_even_then(context: RenderContext) -> None:
    system = build(profile="standard", **LIVE)
    found = budgets(system, at(system, context, MONDAY_NOON))
    assert {each["spec"]["unhealthyPodEvictionPolicy"] for each in found.values()} == {"AlwaysAllow"}
