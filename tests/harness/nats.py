"""A real nats-server from its wheel, with the keys and permissions that the topology gives.

    async with nats_server(tmp_path) as server:
        bus = server.connect("prediction")

It can be stopped, killed and started again on the same port, as a real one can.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bellwether.local.nats import nats_server_path
from bellwether.render.keys import derive_seed, public_key
from bellwether.render.nats import BOOTSTRAP, CLI, JOB, REPLAY_JOB, TRAINING_JOB, nats_conf
from bellwether.runtime.bootstrap import bootstrap
from bellwether.runtime.nats_bus import NatsBus
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from harness.until import DEADLINE

INSTALLATION_SEED = b"of tests only, never of a system"
UID = "test"


_PORTS = range(21_000, 30_000)
"""Below those that the kernel itself hands out, above those of the control planes (devcluster/addresses.py)."""
_next_port = itertools.count(os.getpid() * 5563)
"""Each process of a test run begins elsewhere: what one has taken is not given by another before it is bound."""


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody gets who asks for any port."""
    for _ in _PORTS:
        port = _PORTS[next(_next_port) % len(_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {_PORTS.start} to {_PORTS.stop - 1} is free")


class NatsServer:
    """One server process."""

    def __init__(self, directory: Path, rows: Mapping[str, ServiceRow], *, always_sync: bool, ack_wait: float) -> None:
        self.directory = directory
        self.rows = rows
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.seeds = {
            name: derive_seed(INSTALLATION_SEED, UID, name)
            for name in (*rows, BOOTSTRAP, CLI, JOB, REPLAY_JOB, TRAINING_JOB)
        }
        self._ack_wait = ack_wait
        self._process: asyncio.subprocess.Process | None = None
        self._config = directory / "nats.conf"
        directory.mkdir(parents=True, exist_ok=True)
        text = nats_conf(
            {name: public_key(seed) for name, seed in self.seeds.items()},
            store_directory=str(directory / "jetstream"),
            always_sync=always_sync,
            host="127.0.0.1",
            port=self.port,
            monitor_port=None,
            rows=rows,
        )
        self._config.write_text(text)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def connect(self, identity: str) -> NatsBus:
        """Return an unstarted connection of an identity, with its key."""
        return NatsBus(self.url, identity, self.seeds[identity])

    @contextlib.asynccontextmanager
    async def connected(self, identity: str) -> AsyncIterator[NatsBus]:
        """Give an open connection of an identity and close it, whatever happens."""
        bus = self.connect(identity)
        await bus.start()
        try:
            assert await bus.wait_connected(DEADLINE)
            yield bus
        finally:
            await bus.close()

    def write_keys(self, folder: Path) -> Path:
        """Write `<identity>.nk` files as a service's pod has them and return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, seed in self.seeds.items():
            (folder / f"{name}.nk").write_text(seed)
        return folder

    async def start(self) -> None:
        """Start it; returns once it takes connections."""
        log = (self.directory / "nats.log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            str(nats_server_path()), "-c", str(self._config), stdout=log, stderr=log
        )
        log.close()
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                if self._process.returncode is not None:
                    raise RuntimeError((self.directory / "nats.log").read_text())
                await asyncio.sleep(0.01)

    async def bootstrap(self) -> None:
        """Make streams, buckets and consumers."""
        await bootstrap(self.url, self.seeds[BOOTSTRAP], rows=self.rows, ack_wait=self._ack_wait)

    async def kill(self) -> None:
        """Kill it without warning."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end and wait."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            os.kill(process.pid, number)
            await process.wait()


@contextlib.asynccontextmanager
async def nats_server(
    directory: Path,
    rows: Mapping[str, ServiceRow] = SERVICES,
    *,
    always_sync: bool = False,
    ack_wait: float = 30.0,
    bootstrapped: bool = True,
) -> AsyncIterator[NatsServer]:
    """Run a server of its own on a free port and end it, whatever happens."""
    server = NatsServer(directory, rows, always_sync=always_sync, ack_wait=ack_wait)
    await server.start()
    try:
        if bootstrapped:
            await server.bootstrap()
        yield server
    finally:
        await server.kill()
