"""Connections that break in the middle of a write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bellwether.runtime.bus import BusUnreachable
from harness.nats import nats_server
from harness.parts import ROWS
from harness.until import DEADLINE, until

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("error", [ConnectionResetError("Connection lost"), RuntimeError("the handler is closed")])
async def test_a_connection_that_breaks_with_bytes_left_is_made_again(tmp_path: Path, error: Exception) -> None:
    async def drain() -> None:
        raise error

    async with nats_server(tmp_path, ROWS) as server, server.connected("shop") as bus:
        client: Any = bus.client()
        client._transport.drain = drain
        client._pending.append(b"PING\r\n")
        client._pending_data_size += 6
        await server.kill()
        await until(lambda: not bus.connected)
        await server.start()
        assert await bus.wait_connected(DEADLINE)
        await bus.publish("bw.trace.shop", b"here")


async def test_a_reply_goes_only_by_the_connection_that_asked(tmp_path: Path) -> None:
    asked: list[Any] = []
    async with (
        nats_server(tmp_path, ROWS) as server,
        server.connected("shop") as bus,
        server.connected("cli") as caller,
    ):
        await bus.subscribe("bw.rpc.shop.buy", asked.append, queue="shop")
        caller.spawn(caller.request("bw.rpc.shop.buy", b"{}", timeout=DEADLINE))
        await until(lambda: asked)
        await server.kill()
        await until(lambda: not bus.connected)
        await server.start()
        assert await bus.wait_connected(DEADLINE)
        with pytest.raises(BusUnreachable, match="the connection that asked is gone"):
            await asked[0].respond(b"{}")
