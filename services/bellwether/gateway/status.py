"""The state of the whole system in one answer.

Everybody is asked at once and within a second, so the answer comes in time also when one is unreachable. What was not
said is null or unknown and never guessed; `problems` names who did not say it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from bellwether.gateway.delivery import Acks
from bellwether.gateway.peers import Peers
from bellwether.gateway.problems import Problem
from bellwether.messages.fields import from_fields
from bellwether.messages.market_data import Freshness
from bellwether.messages.models import ModelInfo, Models, TrainingState, expiry_words
from bellwether.messages.scheduling import FailingSession, ReplayState, SlotJobs
from bellwether.messages.trading import Account, Safety, SafetyRefusal
from bellwether.runtime.clock import monotonic
from bellwether.spec.models import TradingSystem, TradingSystemSpec

STATUS_BUDGET = 1.0
"""Seconds that all questions have together; the operator waits for two."""
REPLAY_BUDGET = 0.4
"""Of them, so many for the replay's instant, which the questions about an instant wait for."""
SESSION_STUCK, MODEL_EXPIRED = "SESSION_STUCK", "MODEL_EXPIRED"
"""Codes of the reasons not to trade that the scheduler and ml-model give, not the trader."""

T = TypeVar("T")


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


class DataState(msgspec.Struct, frozen=True):
    """Whether a declared symbol's newest bar is the one that can be expected; None: market-data did not say."""

    symbol: str
    fresh: bool | None
    last_session: date | None
    problem: str


class ModelState(ModelInfo, frozen=True):
    """A model in service, and the declared symbols that it answers for."""

    serves: list[str] = msgspec.field(default_factory=list)


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
    safety: Safety
    """What the trader said, and that a session is stuck. Its `safe` is None when neither was said."""
    data: list[DataState]
    models: list[ModelState] | None
    """None: ml-model did not say."""
    slots: SlotJobs | None
    """None: the scheduler did not say."""
    problems: list[str]
    """What could not be found out, one line each."""
    training: TrainingState | None = None
    """None: ml-training did not say."""
    restore: dict[str, Any] | None = None
    """The restore in place that was asked for and is not over; None: none, or `backup` did not say."""
    market: dict[str, Any] = {}
    """The declared exchange and its corrections, as in `spec.market`."""


def service_state(name: str, health: dict[str, Any] | Problem, acks: Acks) -> ServiceState:
    """Return a service's state from its answer to `health`, or from the lack of one."""
    if isinstance(health, Problem):
        said = acks.refusal(name) or health.message
        return ServiceState(name, False, "unreachable", acks.generation(name), last_error=said)
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


class _Dated(NamedTuple):
    """The answers that are about an instant."""

    replay: ReplayState | Problem | None
    account: Account | Problem
    safety: Safety | Problem
    freshness: Freshness | Problem


async def system_status(
    system: TradingSystem,
    generation: int,
    version: str,
    peers: Peers,
    *,
    acks: Acks,
    own_health: Callable[[], Awaitable[dict[str, Any]]],
    names: tuple[str, ...],
) -> SystemStatus:
    """Ask everybody at once and put the answers together; who does not answer is named, never left out."""
    others = [name for name in names if name != "gateway"]
    deadline = monotonic() + STATUS_BUDGET

    def ask(peer: str, method: str, params: Any, result: type[T]) -> Coroutine[Any, Any, T | Problem]:
        return peers.try_ask_at(None, peer, method, params, result, budget=STATUS_BUDGET)

    healths, mine, dated, models, slots, training = await asyncio.gather(
        asyncio.gather(*(ask(name, "health", None, dict[str, Any]) for name in others)),
        own_health(),
        _dated(peers, deadline, replaying=system.spec.clock.mode == "replay"),
        ask("ml-model", "list_models", None, Models),
        ask("scheduler", "list_slots", None, SlotJobs),
        ask("ml-training", "get_training", None, TrainingState),
    )
    states = {name: service_state(name, health, acks) for name, health in zip(others, healths, strict=True)}
    states["gateway"] = service_state("gateway", mine, acks)
    said = [answer.message for answer in (*dated, models, slots) if isinstance(answer, Problem)]
    trader = _known(dated.account)
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
        replay=_known(dated.replay),
        halted=trader.halted if trader else None,
        halts=trader.halts if trader else [],
        account=trader,
        safety=safety_state(_known(dated.safety), _known(slots), expired_models(system.spec, _known(models))),
        data=data_states(system.spec.symbols, dated.freshness),
        models=None if isinstance(models, Problem) else model_states(system.spec, models.models),
        slots=_known(slots),
        training=_known(training),
        restore=states["backup"].health.get("restore") if "backup" in states else None,
        market=system.spec.market.model_dump(mode="json", by_alias=True, exclude_none=True),
        problems=list(dict.fromkeys(said)),
    )


async def _dated(peers: Peers, deadline: float, *, replaying: bool) -> _Dated:
    """Ask what is about an instant; in a replay about its own, and without one only what needs none."""
    replay = await peers.try_replay(REPLAY_BUDGET) if replaying else None
    at = peers.known_replay if isinstance(replay, Problem) else replay

    def ask(peer: str, method: str, params: Any, result: type[T]) -> Coroutine[Any, Any, T | Problem]:
        return peers.try_ask_at(at, peer, method, params, result, budget=deadline - monotonic())

    if isinstance(replay, Problem) and at is None:
        return _Dated(replay, await ask("paper-trading", "get_account", None, Account), replay, replay)
    account, safety, freshness = await asyncio.gather(
        ask("paper-trading", "get_account", None, Account),
        ask("paper-trading", "get_safety", None, Safety),
        ask("market-data", "get_freshness", None, Freshness),
    )
    return _Dated(replay, account, safety, freshness)


def _known(answer: T | Problem | None) -> T | None:
    return None if isinstance(answer, Problem) else answer


def safety_state(trader: Safety | None, slots: SlotJobs | None, expired: Sequence[SafetyRefusal] = ()) -> Safety:
    """Return whether it is safe to trade: by the trader, by whether its sessions are opened and closed at all, and by
    whether models have expired.

    What is about every order comes before what is about single symbols, as with the trader.
    """
    known = trader or Safety(None, [])
    failing = None if slots is None else slots.failing
    more = [_stuck(failing)] if failing is not None and failing.lasting else []
    said = {(one.code, one.symbol) for one in known.refusals}
    more += [one for one in expired if (one.code, one.symbol) not in said]
    if not more:
        return known
    found = [*known.refusals, *more]
    every = [one for one in found if not one.symbol]
    single = [one for one in found if one.symbol]
    return Safety(False if any(not one.symbol for one in more) else known.safe, [*every, *single])


def expired_models(spec: TradingSystemSpec, models: Models | None) -> list[SafetyRefusal]:
    """Return what expired models forbid: every order, where no symbol has another one, else those of their symbols."""
    states = [] if models is None else model_states(spec, models.models)
    expired = [one for one in states if one.expired and one.serves]
    found = [(one, symbol) for one in expired for symbol in one.serves]
    if len(found) == len(spec.symbols):
        return [_expired(one) for one in expired]
    return [_expired(one, symbol) for one, symbol in found]


def _expired(model: ModelState, symbol: str = "") -> SafetyRefusal:
    return SafetyRefusal(
        code=MODEL_EXPIRED,
        value=f"{model.expires_on}",
        limit="a model that has not expired",
        message=expiry_words(model),
        symbol=symbol,
    )


def _stuck(failing: FailingSession) -> SafetyRefusal:
    # Not the exact number: it is another one at each look, and whoever passes the sentence on would never rest.
    at_least = 1 << (failing.tries.bit_length() - 1)
    return SafetyRefusal(
        code=SESSION_STUCK,
        value=failing.code,
        limit="no error",
        message=(
            f"the {failing.step} of session {failing.session} has failed since "
            f"{failing.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}, {at_least} times or more: "
            f"{failing.code}: {failing.message}"
        ),
    )


def data_states(symbols: Sequence[str], known: Freshness | Problem) -> list[DataState]:
    """Return the newest bar of each declared symbol, in the declared order; unknown where it was not said."""
    if isinstance(known, Problem):
        return [DataState(symbol, None, None, known.message) for symbol in symbols]
    rows = {row.symbol: row for row in known.symbols}
    return [
        DataState(symbol, row.fresh, row.last_session, row.problem)
        if (row := rows.get(symbol)) is not None
        else DataState(symbol, None, None, "market-data does not know yet that the symbol is declared")
        for symbol in symbols
    ]


def model_states(spec: TradingSystemSpec, models: Sequence[ModelInfo]) -> list[ModelState]:
    """Return the models in service, each with the declared symbols that it answers for.

    A symbol's own model of the declared recipe goes before that recipe's general one.
    """
    declared = {model.symbol: model for model in models if model.model_name == spec.predictions.model}
    serving = {symbol: declared.get(symbol) or declared.get(None) for symbol in spec.symbols}
    return [
        from_fields(ModelState, model, serves=[symbol for symbol, chosen in serving.items() if chosen is model])
        for model in models
    ]
