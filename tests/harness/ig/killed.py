"""A trader on an account, at the stand-in for IG or the simulator, that is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.forked import Forked, fork
from harness.ig.standin import StandIn
from harness.ig.trader import STARTED
from soak.victim import STRIKE

TRIES = 60


class Killed(Exception):
    """The process ended before it answered; the message says at which point."""


@dataclass
class Trader:
    """The process, started again whenever it was killed; `instant` is where its clock begins then.

    Without a stand-in its broker is the simulator. `aims` are where it is to end: see `steps`.
    """

    ig: StandIn | None
    folder: Path
    credentials: Path | None = None
    aims: list[str] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    instant: datetime = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
    strikes: list[str] = field(default_factory=list)
    log: Path | None = None
    patience: float = 90.0
    """Seconds in which it has to start, and to answer."""
    _child: Forked | None = None

    async def start(self) -> None:
        """Start the process, again and again while it is killed at its start."""
        for _ in range(TRIES):
            with contextlib.suppress(Killed):
                await self._start()
                return
        raise AssertionError("the trader does not start")

    async def _start(self) -> None:
        environment = {**os.environ, "HARNESS_INSTANT": self.instant.isoformat()}
        if self.ig is None:
            environment["HARNESS_BROKER"] = "simulated"
        else:
            environment["BELLWETHER_PROXY"] = self.ig.url
            environment["BELLWETHER_CA_BUNDLE"] = str(self.ig.authority)
            environment["BELLWETHER_IG_CREDENTIALS"] = str(self.credentials)
            environment["HARNESS_IG"] = json.dumps(dict(self.settings))
        arguments = [str(self.folder / "data"), self._next_aim()]
        self.log = self.folder / "trader.log"
        self._child = await fork("harness.ig.trader", *arguments, environment=environment, log=self.log)
        await self._line(STARTED)

    async def _line(self, wanted: str = "") -> str:
        assert self._child is not None
        while True:
            async with asyncio.timeout(self.patience):
                line = await self._read(self._child)
            if line.startswith(STRIKE):
                self.strikes.append(line.removeprefix(STRIKE))
            elif not line:
                code = await self._child.wait()
                raise Killed(self.strikes[-1] if self.strikes else f"exit {code}, see {self.log}")
            elif line == wanted or (not wanted and line.startswith("{") and '"level"' not in line):
                return line

    @staticmethod
    async def _read(child: Forked) -> str:
        """Return one line, empty at the end of the process: also where a kill left bytes that it never read."""
        try:
            return (await child.reader.readline()).decode().strip()
        except ConnectionError:
            return ""

    async def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Ask once.

        Raises:
            Killed: the process ended before it answered.
        """
        assert self._child is not None
        await self._child.write(json.dumps(dict(asked)).encode() + b"\n")
        found: dict[str, Any] = json.loads(await self._line())
        return found

    async def do(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Ask until there is an answer: a process that was killed is started again and asked the same."""
        for _ in range(TRIES):
            try:
                return await self.ask(asked)
            except Killed:
                self.instant += timedelta(seconds=2)
                await self.start()
        raise AssertionError(f"no answer to {asked}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of paper-trading, through kills."""
        return await self.do({"method": method, "params": params or None})

    def _next_aim(self) -> str:
        return self.aims.pop(0) if self.aims else ""

    async def aim(self, *aims: str) -> None:
        """Set where the process is to end from now on: at the first aim, once started again at the next one."""
        self.aims = list(aims)
        await self.do({"aim": self._next_aim()})

    async def at(self, instant: datetime) -> None:
        """Set the clock."""
        self.instant = instant
        await self.do({"at": instant.isoformat()})

    async def orders(self) -> dict[str, dict[str, Any]]:
        """Return the orders by id."""
        return {one["order_id"]: one for one in (await self.call("list_orders", limit=1000))["orders"]}

    def kill(self) -> None:
        """End the process as if the power went."""
        assert self._child is not None
        self._child.kill()

    async def stop(self) -> None:
        """End the process, if it still runs."""
        if self._child is not None:
            self._child.kill()
            await self._child.wait()
