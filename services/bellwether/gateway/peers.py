"""The other services, as the gateway asks them: at the right instant of domain time, within a short time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from bellwether.gateway.problems import Problem, problem_from
from bellwether.messages.scheduling import ReplayState
from bellwether.runtime.call import Call
from bellwether.runtime.clock import Clock, monotonic
from bellwether.runtime.errors import RpcError

T = TypeVar("T")

BUDGET = 5.0
REPLAY_KEPT_SECONDS = 0.25


class Peers:
    """Asks other services. In a replay, questions are put at the conductor's instant and in its run."""

    def __init__(self, begin: Callable[[float], Call], clock: Clock) -> None:
        self._begin = begin
        self._clock = clock
        self._replay: ReplayState | None = None
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def ask(self, peer: str, method: str, params: Any, result: type[T], *, budget: float = BUDGET) -> T:
        """Call a method at the present instant of domain time.

        Raises:
            Problem: with the peer's error; 503 naming the peer when it is unreachable.
        """
        found = await self.try_ask(peer, method, params, result, budget=budget)
        if isinstance(found, Problem):
            raise found
        return found

    async def try_ask(
        self, peer: str, method: str, params: Any, result: type[T], *, budget: float = BUDGET
    ) -> T | Problem:
        """Call a method and return the problem, if there is one, instead of raising it."""
        state = None if self._clock.live else await self._last_known_replay()
        return await self.try_ask_at(state, peer, method, params, result, budget=budget)

    async def try_ask_now(self, peer: str, method: str, params: Any, result: type[T], *, budget: float) -> T | Problem:
        """Call a method that knows no domain time; return the problem, if there is one, instead of raising it."""
        return await self._try(self._begin(budget), peer, method, params, result)

    async def try_ask_then(
        self, instant: datetime, peer: str, method: str, params: Any, result: type[T]
    ) -> T | Problem:
        """Call a method as of an instant that is over; return the problem, if there is one, instead of raising it."""
        return await self._try(self._begin(BUDGET).at(instant), peer, method, params, result)

    async def try_ask_at(
        self, replay: ReplayState | None, peer: str, method: str, params: Any, result: type[T], *, budget: float
    ) -> T | Problem:
        """Call a method at once: in a replay at the instant of this state; return the problem, if there is one."""
        call = self._begin(budget)
        if not self._clock.live:
            call = call.at(self._instant(replay), run=replay.run if replay and replay.run else None, budget=budget)
        return await self._try(call, peer, method, params, result)

    async def try_replay(self, budget: float) -> ReplayState | Problem:
        """Return how far the replay is, or the problem after `budget` seconds, whoever else asks for it longer."""
        try:
            async with asyncio.timeout(budget):
                return await self.replay()
        except Problem as problem:
            return problem
        except TimeoutError:
            return Problem(503, "UNAVAILABLE", "scheduler does not answer: scheduler.get_replay gave no reply in time")

    @property
    def known_replay(self) -> ReplayState | None:
        """How far the replay was when that was last known."""
        return self._replay

    async def _last_known_replay(self) -> ReplayState | None:
        try:
            return await self.replay()
        except Problem:
            return self._replay

    async def replay(self) -> ReplayState:
        """Return how far the replay is, at most a quarter of a second old.

        Raises:
            Problem: when the scheduler is unreachable.
        """
        async with self._lock:
            if self._replay is None or monotonic() - self._asked > REPLAY_KEPT_SECONDS:
                found = await self._try(self._begin(2.0), "scheduler", "get_replay", None, ReplayState)
                if isinstance(found, Problem):
                    raise found
                self._replay, self._asked = found, monotonic()
                if found.as_of is not None:
                    self._clock.observe(found.as_of)
            return self._replay

    def now(self) -> datetime:
        """Return the present instant of domain time, UTC."""
        return self._instant(self._replay)

    def _instant(self, state: ReplayState | None) -> datetime:
        return state.as_of if state is not None and state.as_of is not None else self._clock.now()

    @staticmethod
    async def _try(call: Call, peer: str, method: str, params: Any, result: type[T]) -> T | Problem:
        try:
            return await call.request(peer, method, params, result)
        except RpcError as error:
            return problem_from(error, peer)
