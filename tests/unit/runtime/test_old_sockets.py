"""The sockets of the old system, talked to as old clients do: by hand, not with our own client."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bellwether.runtime.old_sockets import OldSocket, as_old, parse, socket_path
from harness.parts import ROWS, Switches, ledger, shop
from harness.system import System, running

COMPATIBILITY = Path(__file__).parents[3] / "compatibility"


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    switches = Switches()
    builds = {"shop": partial(shop, switches=switches), "ledger": partial(ledger, switches=switches)}
    async with running(builds, data_dir=tmp_path, rows=ROWS) as found:
        yield found


@pytest.fixture
async def folder(system: System, tmp_path: Path) -> AsyncIterator[Path]:
    directory = tmp_path / "sockets"
    old = OldSocket(system.services["ledger"].server, "ledger")
    await old.listen(directory, None)
    yield directory
    await old.close()
    assert not socket_path(directory, "ledger").exists()


class OldClient:
    """Sends one object without a newline, reads once, and expects the end."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trading_ledger.sock"

    async def ask(self, request: dict[str, Any], pieces: int = 1, size: int = 32_768) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self._path)
        data = json.dumps(request).encode()
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)
        first = await reader.read(size)
        assert await reader.read() == b""
        writer.close()
        found: dict[str, Any] = json.loads(first)
        return found


async def test_a_request_gets_the_reply_of_the_old_shape_and_the_connection_ends(folder: Path) -> None:
    client = OldClient(folder)
    first = await client.ask({"method": "price", "params": {"name": "tea", "quantity": 2}, "timestamp": 1.5})
    assert first["status"] == "success"
    assert first["request_id"] == 1
    assert isinstance(first["execution_time"], float)
    second = await client.ask({"method": "price", "params": {"name": 5}})
    assert (second["status"], second["request_id"]) == ("error", 2)
    assert "name" in second["error"]
    unknown = await client.ask({"method": "prise", "params": {}})
    assert "'prise'" in unknown["error"]
    assert "execution_time" not in unknown
    health = await client.ask({"method": "health", "params": {}}, size=8192)
    assert health["result"]["service"] == "ledger"


async def test_a_hundred_callers_at_once_with_requests_in_pieces_all_get_theirs(folder: Path) -> None:
    client = OldClient(folder)
    asked = [
        client.ask({"method": "price", "params": {"name": "tée", "quantity": number}}, pieces=1 + number % 9)
        for number in range(100)
    ]
    found = await asyncio.gather(*asked)
    assert {one["status"] for one in found} == {"success"}
    assert len({one["request_id"] for one in found}) == 100


async def test_who_ends_requests_with_a_newline_may_send_several(folder: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(folder / "trading_ledger.sock")
    request = json.dumps({"method": "price", "params": {"name": "tea", "quantity": 1}}).encode() + b"\n"
    numbers = []
    for _ in range(3):
        writer.write(request)
        await writer.drain()
        text = b""
        while True:
            text += await reader.read(32_768)
            try:
                numbers.append(json.loads(text)["request_id"])
                break
            except ValueError:
                continue
    assert numbers == [1, 2, 3]
    writer.close()


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"hello", "is an object"),
        (b'{"method": }', "is an object"),
        (b'{"params": {}}', "`method`"),
        (b'{"method": "price", "params": [1]}', "`params`"),
        (b"\xff\xfe", "is an object"),
        (b'{"method": "price", "params": ' + b'{"a": ' * 20_000 + b"1" + b"}" * 20_001, "is an object"),
        (b'{"method": "price", "params": {"symbol": "\\ud800"}}', "half of a character"),
    ],
)
async def test_what_is_no_request_is_refused_in_words(folder: Path, sent: bytes, why: str) -> None:
    reader, writer = await asyncio.open_unix_connection(folder / "trading_ledger.sock")
    writer.write(sent)
    writer.write_eof()
    reply = json.loads(await reader.read())
    assert reply["status"] == "error"
    assert why in reply["error"]
    writer.close()


def test_the_socket_is_for_its_owner_and_group(folder: Path) -> None:
    assert stat.S_IMODE(os.stat(folder / "trading_ledger.sock").st_mode) == 0o660


async def test_an_unknown_group_is_refused_by_the_name_of_the_field(system: System, tmp_path: Path) -> None:
    old = OldSocket(system.services["ledger"].server, "ledger")
    with pytest.raises(ValueError, match=r"spec\.compatibility\.socketGroup: there is no group 'nobody-at-all'"):
        await old.listen(tmp_path / "other", "nobody-at-all")
    await old.close()


async def test_the_old_client_works_unchanged_whether_or_not_it_awaits(folder: Path) -> None:
    code = (
        "import asyncio\n"
        "from services.base_service import BaseService, ServiceError\n"
        "service = BaseService('test')\n"
        "print(service.call_service('ledger', 'price', name='tea', quantity=2))\n"
        "async def main():\n"
        "    print(await service.call_service('ledger', 'price', name='tea', quantity=2))\n"
        "asyncio.run(main())\n"
        "try:\n"
        "    service.call_service('ledger', 'prise')\n"
        "except ServiceError as error:\n"
        "    print(error)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env={"PYTHONPATH": str(COMPATIBILITY), "TRADING_SOCKET_DIR": str(folder)},
        stdout=subprocess.PIPE,
    )
    reported, _ = await process.communicate()
    lines = reported.decode().splitlines()
    assert lines[0] == lines[1]
    assert "ledger.prise: ledger has no method 'prise'" in lines[2]


def test_a_request_is_complete_when_its_json_is() -> None:
    whole = json.dumps({"method": "price", "params": {"name": 'a "quoted" } é'}}, ensure_ascii=False).encode()
    for cut in range(len(whole)):
        assert parse(whole[:cut])[0] is None, whole[:cut]
    assert parse(whole + b"\n{")[0]["method"] == "price"
    assert parse(whole + b"\n{")[1] == b"\n{"


def test_no_time_is_reported_for_a_method_that_is_unknown() -> None:
    error = {"code": "UNKNOWN_METHOD", "message": "no"}
    assert "execution_time" not in as_old({"status": "error", "error": error, "execution_time": 0.1}, 3)
