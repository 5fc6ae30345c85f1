"""The state of the whole system in one answer."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Literal

import msgspec

from bellwether.gateway.delivery import Acks
from bellwether.gateway.peers import Peers
from bellwether.gateway.problems import Problem
from bellwether.messages.models import ListModels, ModelInfo, Models
from bellwether.messages.scheduling import ReplayState
from bellwether.messages.trading import Account, Empty
from bellwether.spec.models import TradingSystem

HEALTH_BUDGET = 2.0


class ServiceState(msgspec.Struct, frozen=True):
    """One service: whether it answers and works, and the generation it acknowledged (-1: none).

    A service that could not apply the generation it acknowledged is not ready. Uptime is in seconds, memory that of
    its whole process; `last_error` falls back to what makes it degraded.
    """

    name: str
    ready: bool
    status: str
    generation: int
    uptime: float | None = None
    memory_mib: float | None = None
    last_error: str | None = None
    health: dict[str, Any] = {}


class SystemStatus(msgspec.Struct, frozen=True):
    """The whole system. `now` is domain time, UTC."""

    system: str
    namespace: str
    profile: str
    mode: Literal["live", "replay"]
    version: str
    generation: int
    ready: bool
    now: datetime
    symbols: list[str]
    trading: str
    services: list[ServiceState]
    replay: ReplayState | None
    halted: bool | None
    """None: the trader did not say."""
    halts: list[str]
    account: Account | None
    models: list[ModelInfo]
    problems: list[str]
    """What could not be found out, one line each."""


def service_state(name: str, health: dict[str, Any] | Problem, acks: Acks) -> ServiceState:
    """Return a service's state from its answer to `health`, or from the lack of one."""
    if isinstance(health, Problem):
        return ServiceState(name, False, "unreachable", acks.generation(name), last_error=health.message)
    status, refusal = str(health.get("status", "unknown")), acks.refusal(name)
    return ServiceState(
        name=name,
        ready=refusal is None and bool(health.get("ready", status in ("healthy", "degraded"))),
        status=status,
        generation=acks.generation(name),
        uptime=_number(health.get("uptime")),
        memory_mib=_number(health.get("memory_usage")),
        last_error=refusal or health.get("last_error") or health.get("warning"),
        health=health,
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


async def system_status(
    system: TradingSystem,
    generation: int,
    version: str,
    peers: Peers,
    *,
    acks: Acks,
    own_health: dict[str, Any],
    names: tuple[str, ...],
) -> SystemStatus:
    """Ask everybody at once and put the answers together; who does not answer is named, never left out."""
    others = [name for name in names if name != "gateway"]
    replaying = system.spec.clock.mode == "replay"
    replay = await _replay(peers) if replaying else None
    healths, account, models = await asyncio.gather(
        asyncio.gather(*(peers.try_ask(name, "health", None, dict[str, Any], budget=HEALTH_BUDGET) for name in others)),
        peers.try_ask("paper-trading", "get_account", Empty(), Account, budget=HEALTH_BUDGET),
        peers.try_ask("ml-model", "list_models", ListModels(), Models, budget=HEALTH_BUDGET),
    )
    states = {name: service_state(name, health, acks) for name, health in zip(others, healths, strict=True)}
    states["gateway"] = service_state("gateway", own_health, acks)
    problems = [answer.message for answer in (replay, account, models) if isinstance(answer, Problem)]
    trader = account if isinstance(account, Account) else None
    return SystemStatus(
        system=system.metadata.name,
        namespace=system.metadata.namespace,
        profile=system.spec.profile,
        mode=system.spec.clock.mode,
        version=version,
        generation=generation,
        ready=all(state.ready for state in states.values()),
        now=peers.now(),
        symbols=list(system.spec.symbols),
        trading=system.spec.trading.mode,
        services=[states[name] for name in names],
        replay=replay if isinstance(replay, ReplayState) else None,
        halted=trader.halted if trader else None,
        halts=trader.halts if trader else [],
        account=trader,
        models=models.models if isinstance(models, Models) else [],
        problems=problems,
    )


async def _replay(peers: Peers) -> ReplayState | Problem:
    try:
        return await peers.replay()
    except Problem as problem:
        return problem
