"""What a service gets from its process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import MetaData

from bellwether.runtime import errors
from bellwether.runtime.bus import Bus
from bellwether.runtime.clock import Clock
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.runtime.telemetry import Telemetry
from bellwether.service_row import ServiceRow
from bellwether.spec.created_with import created_with
from bellwether.storage.holding import Holding
from bellwether.storage.notes import note_path, write_note
from bellwether.storage.store import Store, Upgrade
from bellwether.topology import SERVICES

if TYPE_CHECKING:
    from bellwether.runtime.call import Call


class Peer(Protocol):
    """The server of a service in this process."""

    def takes(self, method: str, params: Any) -> bool:
        """Whether a call can be handed over now; else it goes over the bus, where it waits or is refused."""

    async def hand_over(self, call: Call, method: str, params: Any, deadline: float) -> Any:
        """Answer a call with what its handler returns.

        Raises:
            RpcError: as over the bus.
        """


@dataclass
class ServiceContext:
    """What a service gets from its process."""

    row: ServiceRow
    bus: Bus
    clock: Clock
    telemetry: Telemetry
    declaration: DeclarationHolder
    config: ProcessConfig
    rows: Mapping[str, ServiceRow] = field(default_factory=lambda: SERVICES)
    store: Store | None = None
    holding: Holding = field(default_factory=Holding)
    """The gate that every write of this service waits at."""
    peers: dict[str, Peer] | None = None
    """The services of this process, where calls are handed over within it; None: all go over the bus."""
    inline: bool = False
    """Whether transactions run on the loop's thread, as in a replay."""

    def open_store(
        self,
        metadata: MetaData,
        *,
        version: int = 1,
        upgrades: Mapping[int, Upgrade] | None = None,
        durable: bool = False,
    ) -> Store:
        """Open the store that the topology names for this service; durable: no loss at a power cut, but in a replay.

        Raises:
            StartRefused: if its topology row has no store.
            StoreError: if the file cannot be used, or was started with something else than is declared.
        """
        if self.row.store is None:
            raise errors.StartRefused(f"{self.row.name} opens a store, but its topology row has none")
        self.store = Store.open(
            self.config.data_dir / self.row.store,
            metadata,
            version=version,
            upgrades=upgrades,
            synchronous="FULL" if durable and not self.inline else "NORMAL",
            inline=self.inline,
            group_commit=self.config.group_commit,
            created_with=created_with(self.declaration.current) if self.declaration.known else None,
        )
        self.store.holding = self.holding
        return self.store

    def __post_init__(self) -> None:
        """Forget a hold that a killed process left: from here on its files change."""
        if self.row.needs_volume:
            self.holding.note = note_path(self.config.data_dir, self.row.name)
            self.holding.end()

    async def hold(self, hold: str, seconds: float) -> None:
        """Have this service write nothing for so many seconds at most.

        When this returns its database is one file, and what its files are is noted beside them.
        """
        self.holding.begin(hold, seconds)
        if self.store is not None:
            await self.store.checkpoint()
        if self.holding.note is not None:
            store = self.row.store
            names = [self.row.name] if store is None else [self.row.name, store, f"{store}-wal"]
            await asyncio.to_thread(write_note, self.config.data_dir, self.row.name, names)
            if not self.holding.active:
                self.holding.end()

    @property
    def files(self) -> Path:
        """The folder for files of its own."""
        return self.config.data_dir / self.row.name
