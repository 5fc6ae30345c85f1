"""A call within a replay's process: the same answers and errors as over the bus, without a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bellwether.runtime.call import Call
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.runtime.process import Process
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from harness.replayed import declared
from harness.until import until


class Word(msgspec.Struct, frozen=True):
    text: str


class Length(msgspec.Struct, frozen=True):
    text: str
    letters: int = 0


ROWS = {
    "worker": ServiceRow("worker", "answers", serves=("count", "fail", "crash", "sleep", "through", "twice")),
    "asker": ServiceRow("asker", "asks", calls={"worker": ("count", "fail", "crash", "sleep", "through", "twice")}),
}


class Worker:
    """What the handlers saw."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.ended = asyncio.Event()

    def create(self, context: ServiceContext) -> Service:
        service = Service("worker", context, concurrency=2)

        @service.rpc("count")
        async def count(request: Word, call: Call) -> Length:
            self.words.append(request)
            return Length(request.text, len(request.text))

        @service.rpc("fail")
        async def fail(request: Word, call: Call) -> Length:
            raise RpcError("NO_SUCH_WORD", f"there is no {request.text}", word=request.text)

        @service.rpc("crash")
        async def crash(request: Word, call: Call) -> Length:
            raise ValueError("a secret")

        @service.rpc("sleep")
        async def sleep(request: Word, call: Call) -> Length:
            self.words.append(request)
            await self.ended.wait()
            return Length(request.text)

        @service.rpc("through")
        async def through(request: Word, call: Call) -> Length:
            return await call.request("worker", "sleep", request, Length)

        @service.rpc("twice")
        async def twice(request: Word, call: Call) -> dict[str, int]:
            return {"letters": 2 * len(request.text)}

        return service


@asynccontextmanager
async def asking(worker: Worker, folder: Path, *, replay: bool) -> AsyncIterator[Call]:
    broker = MemoryBroker()
    await ensure(broker.connect("bootstrap"), bus_plan(ROWS))
    config = replace(ProcessConfig(), data_dir=folder)
    factories = {"worker": worker.create, "asker": lambda context: Service("asker", context)}
    system = declared() if replay else None
    process = Process(config, factories, connect=broker.connect, declaration=system, rows=ROWS, health=False)
    await process.start()
    try:
        yield process.services["asker"].call()
    finally:
        worker.ended.set()
        await process.stop()


@pytest.mark.parametrize("replay", [True, False])
async def test_answers_and_errors_are_those_of_the_bus(tmp_path: Path, replay: bool) -> None:
    worker = Worker()
    async with asking(worker, tmp_path, replay=replay) as call:
        word = Word("bellwether")
        assert await call.request("worker", "count", word, Length) == Length("bellwether", 10)
        assert (worker.words[0] is word) == replay
        # A caller may read another type than the handler returns.
        assert await call.request("worker", "count", word, dict[str, object]) == {"text": "bellwether", "letters": 10}
        assert await call.request("worker", "twice", word, dict[str, int]) == {"letters": 20}
        with pytest.raises(RpcError, match="there is no bellwether") as refused:
            await call.request("worker", "fail", word, Length)
        assert (refused.value.code, refused.value.detail) == ("NO_SUCH_WORD", {"word": "bellwether"})
        with pytest.raises(RpcError, match="its log has the reason") as crashed:
            await call.request("worker", "crash", word, Length)
        assert crashed.value.code == "INTERNAL"
        assert "secret" not in str(crashed.value)
        with pytest.raises(RpcError) as unknown:
            await call.request("worker", "nothing", word, Length)
        assert unknown.value.code == "UNKNOWN_METHOD"


@pytest.mark.parametrize("replay", [True, False])
@pytest.mark.parametrize("method", ["sleep", "through"])
async def test_a_call_ends_with_its_time_and_with_that_of_the_call_around_it(
    tmp_path: Path, replay: bool, method: str
) -> None:
    async with asking(Worker(), tmp_path, replay=replay) as call:
        with pytest.raises(RpcError) as late:
            await call.request("worker", method, Word("long"), Length, budget=0.1)
        assert late.value.code == "DEADLINE_EXCEEDED"
        # The task that was cut short goes on: nothing of the cancellation is left in it.
        await asyncio.sleep(0)
        assert await call.request("worker", "count", Word("on"), Length) == Length("on", 2)


async def test_calls_beyond_the_bound_wait_their_turn(tmp_path: Path) -> None:
    worker = Worker()
    async with asking(worker, tmp_path, replay=True) as call:
        names = ("a", "b", "c", "d")
        calls = [asyncio.ensure_future(call.request("worker", "sleep", Word(name), Length)) for name in names]
        await until(lambda: len(worker.words) == 2)
        worker.ended.set()
        assert [found.text for found in await asyncio.gather(*calls)] == list(names)
        assert {word.text for word in worker.words} == set(names)
