"""What a gateway may answer: it runs in its system's namespace, and is not trusted to answer well."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bellwether_operator.gateway import ANSWER_LIMIT, GatewayClient
from bellwether_operator.gateway_view import GatewayError
from bellwether_operator.observe.kinds import SystemKey

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(answer: Handler) -> AsyncIterator[GatewayClient]:
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = GatewayClient(f"http://127.0.0.1:{runner.addresses[0][1]}/{{namespace}}/{{name}}", lambda _: "token")
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def refused(answer: Handler) -> str:
    async with served(answer) as client:
        with pytest.raises(GatewayError) as found:
            await client.look(SystemKey("trading", "demo"), "uid")
    return str(found.value)


async def test_an_answer_without_end_is_given_up_at_the_limit() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    assert await refused(endless) == f"the gateway answered 200 with more than {ANSWER_LIMIT} bytes"


async def test_an_answer_up_to_the_limit_is_read() -> None:
    async def long(_: web.Request) -> web.StreamResponse:
        return web.Response(text='{"generation": 3, "services": []}'.ljust(ANSWER_LIMIT))

    async with served(long) as client:
        assert (await client.look(SystemKey("trading", "demo"), "uid")).generation == 3


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/somewhere/else")

    async with served(elsewhere) as client:
        with pytest.raises(GatewayError, match=r"^the gateway answered 307$"):
            await client.deliver(SystemKey("trading", "demo"), "uid", {"generation": 1})
    assert asked == ["/trading/demo/v1/declaration"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("<html>", 200, "the gateway answered something that is no JSON object"),
        ("[]", 200, "the gateway answered something that is no JSON object"),
        ("[" * 100_000, 200, "the gateway answered something that is no JSON object"),
        ("<html>bad gateway", 502, "the gateway answered 502"),
        ('{"error": "x"}', 500, "the gateway answered 500"),
        ('{"error": {"message": "no such task"}}', 404, "the gateway answered 404 no such task"),
    ],
    ids=["text", "list", "deep", "proxy", "odd error", "error"],
)
async def test_other_answers_are_named(body: str, status: int, words: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body, status=status)

    assert await refused(answer) == words


async def test_a_packed_answer_is_not_unpacked() -> None:
    encodings: list[str] = []
    body = gzip.compress(b" " * 100_000_000, 1)

    async def packed(request: web.Request) -> web.StreamResponse:
        encodings.append(request.headers["Accept-Encoding"])
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    assert "the gateway answered" in await refused(packed)
    assert encodings == ["identity"]
