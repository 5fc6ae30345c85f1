from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.memory_bus import MemoryBus
from bellwether.runtime.process import Process, notify, serve
from harness.until import DEADLINE


class Manager:
    """A service manager's socket, and what it was sent."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    async def reported(self) -> str:
        return (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, 100), DEADLINE)).decode()

    def silent(self) -> bool:
        try:
            self._socket.recv(100)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.close()


async def test_an_abstract_socket_is_reported(tmp_path: Path) -> None:
    name = f"bellwether-{os.getpid()}-{tmp_path.name}"
    manager = Manager("\0" + name)
    assert notify("READY=1", f"@{name}")
    assert await manager.reported() == "READY=1"
    manager.close()


def test_without_a_manager_nothing_is_sent_and_one_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    assert not notify("READY=1", "")
    assert not notify("READY=1", str(tmp_path / "gone"))


def test_the_socket_is_taken_from_the_environment() -> None:
    assert ProcessConfig.from_environment({"NOTIFY_SOCKET": "/run/x"}).notify_socket == "/run/x"


async def test_a_process_says_when_it_is_ready_and_when_it_stops(manager: Manager, tmp_path: Path) -> None:
    config = ProcessConfig(health_host="127.0.0.1", health_port=0, notify_socket=str(tmp_path / "notify"))
    serving = asyncio.create_task(serve(config, {}, connect=MemoryBus))  # type: ignore[arg-type]
    assert await manager.reported() == "READY=1"
    os.kill(os.getpid(), signal.SIGTERM)
    assert await manager.reported() == "STOPPING=1"
    await serving
    assert manager.silent()


async def test_a_process_that_is_not_up_yet_is_not_said_to_be_ready(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()

    async def wait_for_the_bus(process: Process) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Process, "start", wait_for_the_bus)
    config = ProcessConfig(health_port=0, health_host="127.0.0.1", notify_socket=str(tmp_path / "notify"))
    serving = asyncio.create_task(serve(config, {}, connect=MemoryBus))  # type: ignore[arg-type]
    await waiting.wait()
    assert manager.silent()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await manager.reported() == "STOPPING=1"
    await serving
