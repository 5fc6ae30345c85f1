"""`bellwether run FILE`: a whole system on this machine, in one process beside a NATS server of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NamedTuple

from bellwether.gateway.delivery import next_declaration
from bellwether.gateway.problems import Problem
from bellwether.gateway.settings import GatewaySettings
from bellwether.local.detached import Start, remember
from bellwether.local.files import RunError, load_system
from bellwether.local.narrator import Narrator
from bellwether.local.nats import NatsChild
from bellwether.local.registry import named_services, registry, run_loop
from bellwether.local.state import Identity, RunDirectory, identity, opened, write_keys, write_private
from bellwether.naming import DECLARATION_BUCKET, DECLARATION_KEY
from bellwether.render.keys import scoped_token
from bellwether.runtime.bootstrap import bootstrap
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.declaration import encode_declaration, generation_of, parse_declaration
from bellwether.runtime.logs import JsonFormatter, configure_logs
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.process import Process
from bellwether.runtime.terminal import visible
from bellwether.spec.models import TradingSystem


class Chosen(NamedTuple):
    """The declaration to run, and a sentence for the person when it is not simply the file."""

    system: TradingSystem
    note: str | None = None


def choose(file: TradingSystem, last_file: TradingSystem | None, on_bus: TradingSystem | None) -> Chosen:
    """Return what to run: an edited file wins over the bus, the bus over a file that is as it was.

    Raises:
        RunError: if the state belongs to another system, or the edit changes what cannot be changed.
    """
    present = on_bus or last_file
    if present is None:
        return Chosen(file.with_metadata(generation=1))
    if present.metadata.name != file.metadata.name:
        raise RunError(
            f"the state is of the system {present.metadata.name}, the file declares {file.metadata.name}: "
            "choose another folder with --data"
        )
    if present.spec == file.spec:
        return Chosen(present)
    if last_file is not None and last_file.spec == file.spec:
        generation = generation_of(present)
        return Chosen(present, f"the declaration was edited while it ran: generation {generation} stays in force")
    try:
        plain = file.spec.model_dump(by_alias=True, exclude_none=True)
        edited = next_declaration(present, generation_of(present) + 1, plain)
    except Problem as problem:
        raise RunError(f"{problem.message}; or forget the earlier runs with --fresh") from problem
    return Chosen(edited, f"the file was edited since the last run: generation {generation_of(edited)}")


HOST = "127.0.0.1"
PORTS_TRIED = 50
GRACE_SECONDS = 12.0
_LOG_BYTES = 5 * 1024 * 1024
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_file(file: Path, *, port: int, data: Path | None, fresh: bool, verbose: bool) -> int:
    """Run the system that a file declares until Ctrl-C or SIGTERM; return 0 after a clean end.

    Raises:
        RunError, NatsMissing, StartRefused, StoreError, ValueError: why it cannot run, in words.
    """
    system = load_system(file)
    root = data or Path(".bellwether") / system.metadata.name
    edge = ProcessConfig.from_environment()
    with opened(root, fresh=fresh) as directory:
        _configure_logs(directory, verbose=verbose)
        run = LocalRun(directory, system, free_port(port), edge, Start(file, port))
        return run_loop(run.run())


def free_port(wanted: int) -> int:
    """Return the wanted port of the loopback, or the next free one.

    Raises:
        RunError: if none of the next 50 is free.
    """
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise RunError(f"--port {wanted}: neither it nor one of the next {PORTS_TRIED - 1} is free on {HOST}")


def _configure_logs(directory: RunDirectory, *, verbose: bool) -> None:
    configure_logs("run")
    if verbose:
        return
    handler = RotatingFileHandler(directory.log, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(JsonFormatter("run"))
    logging.getLogger().handlers[:] = [handler]


def say(line: str) -> None:
    """Write a line for the person at the terminal."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(visible(line) + "\n")
        sys.stdout.flush()


def hints(root: Path, symbol: str) -> list[str]:
    """Return what to type in a second terminal, wherever that one is: the run's folder has to be known there."""
    state = f"BELLWETHER_STATE={shlex.quote(str(root.resolve()))}"
    asked = ("status", f"decisions {symbol}", f"why {symbol}", "trace --last")
    return [
        f"  ask         export {state}   (in a second terminal, then)",
        *(f"              bellwether {words}" for words in asked),
    ]


class LocalRun:
    """One run of one system in one folder."""

    def __init__(
        self, directory: RunDirectory, file: TradingSystem, port: int, edge: ProcessConfig, start: Start
    ) -> None:
        self._directory = directory
        self._file = file
        self._port = port
        self._edge = edge
        self._start = start
        self._stopping = asyncio.Event()
        self._nats_lost = False

    async def run(self) -> int:
        """Come up, tell of it, and go down when asked to."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stopping.set)
        who = identity(self._directory)
        live = self._file.spec.clock.mode == "live"
        nats = NatsChild(self._directory, write_keys(self._directory, who), always_sync=live)
        watch: asyncio.Task[None] | None = None
        try:
            say(f"{self._file.metadata.name}: {_in_words(self._file)}")
            say(f"  state       {self._directory.root}")
            await nats.start()
            watch = asyncio.create_task(self._stop_with(nats))
            say(f"  NATS        {nats.url}")
            if self._file.spec.network.ca_bundle_ref is not None and self._edge.ca_bundle is None:
                say("  network     caBundleRef names a ConfigMap; on one machine set BELLWETHER_CA_BUNDLE to a file")
            return await self._with_nats(nats, who)
        finally:
            if watch is not None:
                watch.cancel()
            await nats.stop()
            self._directory.run_file.unlink(missing_ok=True)
            say(f"stopped; the state is kept in {self._directory.root}, run again to go on")

    async def _stop_with(self, nats: NatsChild) -> None:
        """Stop once NATS has ended by itself, also while services start: they would wait for it for good."""
        code = await nats.ended()
        self._nats_lost = True
        say(f"  nats-server ended with {code}; {self._directory.nats_log} says more")
        self._stopping.set()

    async def _with_nats(self, nats: NatsChild, who: Identity) -> int:
        await bootstrap(nats.url, self._directory.keys / "bootstrap.nk")
        system = await self._declare(nats.url)
        async with self._services(nats.url, system, who) as process:
            if process is None:
                return int(self._nats_lost)
            say(f"  services    {', '.join(process.services)}")
            narrator = Narrator(process.services["gateway"], say)
            await narrator.listen()
            url = f"http://{HOST}:{self._port}"
            stored = {"name": system.metadata.name, "url": url, "token": who.token, "pid": os.getpid()}
            write_private(self._directory.run_file, json.dumps(stored))
            remember(self._directory.root, self._start)
            # The address lets a browser in: to look and to halt, and no more.
            say(f"  dashboard   {url}/?key={scoped_token(who.token, 'halt')}")
            for line in hints(self._directory.root, system.spec.symbols[0]):
                say(line)
            say(f"  end         {'Ctrl-C' if sys.stdin.isatty() else 'bellwether stop'}")
            return await self._until_stopped(narrator)

    async def _until_stopped(self, narrator: Narrator) -> int:
        """Return 0 when asked to stop, 1 when NATS ended by itself, or the replay or a slot of it had failed."""
        narration = asyncio.ensure_future(narrator.narrate())
        try:
            await self._stopping.wait()
        finally:
            narration.cancel()
            await asyncio.gather(narration, return_exceptions=True)
        if not self._nats_lost:
            say("  stopping")
        return int(self._nats_lost or narrator.failed)

    async def _declare(self, url: str) -> TradingSystem:
        """Choose the declaration, and write it where the services look."""
        directory = self._directory
        last = parse_declaration(directory.declaration.read_bytes()) if directory.declaration.exists() else None
        bus = NatsBus(url, "gateway", directory.keys / "gateway.nk")
        await bus.start()
        try:
            await bus.wait_connected(10.0)
            found = await bus.kv_get(DECLARATION_BUCKET, DECLARATION_KEY)
            chosen = choose(self._file, last, parse_declaration(found[0]) if found else None)
            await bus.kv_put(DECLARATION_BUCKET, DECLARATION_KEY, encode_declaration(chosen.system))
        finally:
            await bus.close()
        directory.declaration.write_bytes(encode_declaration(self._file))
        if chosen.note:
            say(f"  declaration {chosen.note}")
        return chosen.system

    @contextlib.asynccontextmanager
    async def _services(self, url: str, system: TradingSystem, who: Identity) -> AsyncIterator[Process | None]:
        """Run all services; gives None when asked to stop before they were up."""
        config = replace(
            ProcessConfig(),
            system=system.metadata.name,
            uid=who.uid,
            data_dir=self._directory.data,
            nats_url=url,
            keys_dir=self._directory.keys,
            grace=GRACE_SECONDS,
            own_schedule=True,
            sockets_dir=_folder(system.spec.compatibility.socket_directory),
            sockets_group=system.spec.compatibility.socket_group,
            proxy=self._edge.proxy or system.spec.network.proxy,
            ca_bundle=self._edge.ca_bundle,
            notify_secrets=self._edge.notify_secrets,
            ig_credentials=self._edge.ig_credentials,
        )
        settings = GatewaySettings(host=HOST, port=self._port, token=who.token)
        process = Process(config, registry(named_services("all"), gateway=settings), declaration=system, health=False)
        starting = asyncio.ensure_future(process.start())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            yield process if starting.done() else None
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await process.stop()


def _folder(path: str | None) -> Path | None:
    return None if path is None else Path(path)


def _in_words(system: TradingSystem) -> str:
    spec = system.spec
    when = f"replayed from {spec.clock.from_}" if spec.clock.mode == "replay" else "live"
    return f"{' '.join(spec.symbols)} on {spec.market.calendar}, {when}, trading {spec.trading.mode}"
