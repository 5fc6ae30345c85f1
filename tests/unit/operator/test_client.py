"""The calls to the API server, against a server that answers what is put here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio import client as kubernetes_client

from bellwether_operator.apply.client import PAGE_BYTES, Client
from bellwether_operator.observe.kinds import BY_NAME

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(answer: Handler) -> AsyncIterator[Client]:
    application = web.Application()
    application.router.add_get("/api/v1/{kind}", answer)
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


async def test_a_page_of_large_objects_has_few_of_them() -> None:
    there = [{"data": {"x": "y" * 900_000}} for _ in range(20)]
    asked: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        first, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        asked.append(limit)
        more = str(first + limit) if first + limit < len(there) else ""
        metadata = {"resourceVersion": "7", "continue": more}
        return web.json_response({"metadata": metadata, "items": there[first : first + limit]})

    found: list[Any] = []
    async with served(answer) as client:
        following, limit = "", 200
        while True:
            page = await client.page(BY_NAME["ConfigMap"], None, "a=b", limit, following)
            assert sum(len(each["data"]["x"]) for each in page.items) <= PAGE_BYTES
            found += page.items
            following, limit = page.following, min(200, 2 * page.limit)
            if not following:
                break
    assert found == there
    assert asked[:3] == [200, 25, 3]


async def test_an_object_beyond_the_size_of_a_page_is_read_all_the_same() -> None:
    there = {"data": {"x": "y" * (PAGE_BYTES + 1)}}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": [there]})

    async with served(answer) as client:
        page = await client.page(BY_NAME["ConfigMap"], None, "a=b", 200)
    assert (page.items, page.limit) == ([there], 1)


async def test_of_what_only_has_content_the_metadata_is_watched() -> None:
    asked: dict[str, str] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        asked[request.path] = request.headers["Accept"]
        return web.Response()

    async with served(answer) as client:
        for kind in ("ConfigMap", "PersistentVolumeClaim"):
            assert [event async for event in client.watch(BY_NAME[kind], None, "a=b", 7)] == []
    assert asked == {
        "/api/v1/configmaps": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "/api/v1/persistentvolumeclaims": "application/json",
    }
