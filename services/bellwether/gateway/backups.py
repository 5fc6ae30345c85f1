"""Routes of backups: those that the service `backup` makes, lists and restores, and holds while volumes are cut."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from bellwether.gateway.gateway import Gateway
from bellwether.gateway.problems import Problem
from bellwether.gateway.routing import OPERATE, READ, answer, gateway_of, read_model, relay
from bellwether.messages.backup import CreateBackup, EndRestore, KeepBackup, ListBackups, RestoreBackup
from bellwether.runtime.builtins import Held, Hold, LetGo
from bellwether.runtime.clock import monotonic
from bellwether.spec.backup import LOCATION_NAME_PATTERN
from bellwether.storage.holding import LONGEST_SECONDS

_LIST_SECONDS = 60.0
RESTORE_SECONDS = 60.0
_HOLD_SECONDS = 3.0
"""How long a service may take to stop writing, and to say that it did."""

router = APIRouter()


class BackupAsked(BaseModel):
    """A backup to be made."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["full", "incremental", "auto"] = "auto"
    location: Annotated[str | None, Field(max_length=30, pattern=LOCATION_NAME_PATTERN)] = None


class Kept(BaseModel):
    """The backup that a TradingBackup asks for."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["full", "incremental"]
    location: Annotated[str, Field(max_length=30, pattern=LOCATION_NAME_PATTERN)]
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    known: bool = False


class RestoreAsked(BaseModel):
    """The backup that is to take the place of what the system holds."""

    model_config = ConfigDict(extra="forbid")
    backup_id: Annotated[str, Field(max_length=16, pattern="^[0-9]{8}T[0-9]{6}Z$")]
    location: Annotated[str | None, Field(max_length=30, pattern=LOCATION_NAME_PATTERN)] = None


class HoldAsked(BaseModel):
    """A hold."""

    model_config = ConfigDict(extra="forbid")
    id: Annotated[str, Field(min_length=1, max_length=64)]
    seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]


class WasHeld(msgspec.Struct, frozen=True):
    """Whether nothing was written during a hold, and how long that was."""

    held: bool
    broken: list[str]
    """Services that wrote."""
    seconds: float


Id = Annotated[str, Path(max_length=36, pattern="^[-0-9a-f]+$", description="The uid of the TradingBackup.")]
RestoreId = Annotated[str, Path(pattern="^[0-9]{8}T[0-9]{6}Z$", description="The restore: when it was asked for.")]
HoldId = Annotated[str, Path(min_length=1, max_length=64, description="The hold, as it was started.")]
Wait = Annotated[float, Query(gt=0, le=600, description="Seconds to wait for its end at most; it goes on without you.")]


@router.post("/v1/backups", dependencies=OPERATE)
async def create(request: Request, wait: Wait = 300.0) -> Response:
    """Make a backup in every location of kind folder or s3, and answer when it is complete; who asks again joins it."""
    wanted = await read_model(request, BackupAsked)
    return await relay(request, "backup", "create_backup", CreateBackup(wanted.type, wanted.location), budget=wait)


@router.put("/v1/backups/{backup}", dependencies=OPERATE)
async def keep(request: Request, backup: Id) -> Response:
    """Make the backup of a TradingBackup and say how far it is, at once: asked again, it is not made again."""
    wanted = await read_model(request, Kept)
    asked = KeepBackup(backup, wanted.location, wanted.attempt, wanted.type, wanted.known)
    return await relay(request, "backup", "keep_backup", asked)


@router.get("/v1/backups", dependencies=READ)
async def backups(request: Request) -> Response:
    """Return the backups that the locations hold, newest first."""
    return await relay(request, "backup", "list_backups", ListBackups(), budget=_LIST_SECONDS)


@router.post("/v1/restores", dependencies=OPERATE)
async def restore(request: Request) -> Response:
    """Have a system of a cluster restored in place, halted; the TradingSystem's `status.restore` says how far it is."""
    wanted = await read_model(request, RestoreAsked)
    asked = RestoreBackup(wanted.backup_id, wanted.location)
    return await relay(request, "backup", "restore_backup", asked, budget=RESTORE_SECONDS)


@router.delete("/v1/restores/{restore}", dependencies=OPERATE)
async def end_restore(request: Request, restore: RestoreId) -> Response:
    """Take note that a restore in place is over; the operator says so."""
    return await relay(request, "backup", "end_restore", EndRestore(restore))


@router.put("/v1/hold", dependencies=OPERATE)
async def hold(request: Request) -> Response:
    """Have no service write from now on; it ends by itself after so many seconds, and a halt breaks it."""
    wanted = await read_model(request, HoldAsked)
    gateway = gateway_of(request)
    gateway.held_since = monotonic()
    refusals = await _each(gateway, "hold", Hold(wanted.id, wanted.seconds))
    await gateway.context.hold(wanted.id, wanted.seconds)
    if refusals:
        await _let_go(gateway, wanted.id)
        raise Problem(503, "NOT_HELD", "; ".join(f"{name}: {why}" for name, why in sorted(refusals.items())))
    return answer({"held": True})


@router.delete("/v1/hold/{hold}", dependencies=OPERATE)
async def let_go(request: Request, hold: HoldId) -> Response:
    """Have all services write again, and say whether none did since the hold began."""
    gateway = gateway_of(request)
    broken = await _let_go(gateway, hold)
    return answer(WasHeld(not broken, sorted(broken), round(monotonic() - gateway.held_since, 3)))


async def _let_go(gateway: Gateway, hold: str) -> dict[str, str]:
    broken = await _each(gateway, "let_go", LetGo(hold))
    if not gateway.context.holding.let_go(hold):
        broken[gateway.context.row.name] = "it wrote"
    return broken


async def _each(gateway: Gateway, method: str, params: Any) -> dict[str, str]:
    """Ask every service at once; return why each that keeps something on a volume did not, or wrote meanwhile.

    What keeps nothing only publishes: it may be switched off or starting.
    """
    rows = gateway.context.rows
    names = [name for name in gateway.services if name != gateway.context.row.name]
    asked = [gateway.peers.try_ask_now(name, method, params, Held, budget=_HOLD_SECONDS) for name in names]
    found = zip(names, await asyncio.gather(*asked), strict=True)
    return {
        name: said.message if isinstance(said, Problem) else "it wrote"
        for name, said in found
        if rows[name].needs_volume and (isinstance(said, Problem) or not said.held)
    }
