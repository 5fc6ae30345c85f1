"""The calls to the API server, against a server that answers what is put here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from kubernetes.aio import client as kubernetes_client

from bellwether_operator.apply.client import Client
from bellwether_operator.observe.kinds import BY_NAME

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(answer: Handler) -> AsyncIterator[Client]:
    application = web.Application()
    application.router.add_get("/api/v1/configmaps", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = kubernetes_client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    client = Client(kubernetes_client.ApiClient(configuration=configuration))
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def test_events_of_any_size_that_the_server_stores_are_read() -> None:
    # Such as a ConfigMap of 1 MiB that somebody gave our labels: each of its bytes may take six in JSON.
    events = [{"type": "ADDED", "object": {"data": {"x": "y" * size}}} for size in (1, 9_000_000, 10)]

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for each in events:
            await response.write(json.dumps(each).encode() + b"\n")
        return response

    async with served(answer) as client:
        found = [event async for event in client.watch(BY_NAME["ConfigMap"], None, "a=b", 7)]
    assert found == events
