"""The connection to NATS where there is no server to show it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bellwether.runtime import nats_bus
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.nats_client import Client
from harness.nats import free_port
from harness.until import until


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"Nats-Msg-Id: a.live.7\r\ntraceparent:00-1:2\r\n\r\n", {"Nats-Msg-Id": "a.live.7", "traceparent": "00-1:2"}),
        (b"Description:\tfaltou\xff\r\nno header\r\n", {"Description": "faltou\ufffd"}),
        (b"\r\n", {}),
    ],
)
def test_headers_are_what_nats_py_reads_in_them(raw: bytes, found: dict[str, str]) -> None:
    (theirs,) = Client.__bases__
    assert Client._parse_header_lines(raw) == found == theirs._parse_header_lines(raw)  # type: ignore[attr-defined]


class Unexpected(Exception):
    """What no list of expected failures has."""


async def test_a_damaged_seed_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    bus = NatsBus(f"nats://127.0.0.1:{free_port()}", "shop", "SUDAMAGED")
    await bus.start()
    await until(lambda: bus.last_error is not None)
    assert not bus.connected
    assert any("shop cannot reach NATS" in line for line in caplog.messages)
    assert "SUDAMAGED" not in caplog.text
    await bus.close()


async def test_a_failure_that_it_does_not_know_is_kept_said_with_its_place_and_does_not_end_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[NatsBus] = []

    async def connect(bus: NatsBus) -> None:
        attempts.append(bus)
        if len(attempts) == 1:
            # It fails after the connection was there: nobody may believe in it any longer.
            bus._up.set()
            raise Unexpected("a leap second")
        await connects(bus)

    connects: Any = NatsBus._connect
    monkeypatch.setattr(NatsBus, "_connect", connect)
    monkeypatch.setattr(nats_bus, "RECONNECT_SECONDS", 0.01)
    bus = NatsBus(f"nats://127.0.0.1:{free_port()}", "shop")
    await bus.start()
    await until(lambda: bus.last_error is not None)
    assert bus.last_error == "Unexpected: a leap second"
    assert not bus.connected
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Unexpected)
    await until(lambda: len(attempts) > 1)
    await bus.close()
