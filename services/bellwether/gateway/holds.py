"""Routes by which the operator has the whole system write nothing while its volumes are cut."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from bellwether.gateway.access import needs
from bellwether.gateway.answers import answer, gateway_of, read_body
from bellwether.gateway.auth import Scope
from bellwether.gateway.gateway import Gateway
from bellwether.gateway.problems import Problem
from bellwether.runtime.builtins import Held, Hold, LetGo
from bellwether.runtime.clock import monotonic
from bellwether.storage.holding import LONGEST_SECONDS

BUDGET = 3.0
"""Seconds that a service has to stop writing, and to say that it did."""
_BODY = 1024
Id = Annotated[str, Path(min_length=1, max_length=64, description="The hold, as it was begun.")]

router = APIRouter()
_OPERATE = [Depends(needs(Scope.OPERATE))]


class Wanted(BaseModel):
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


@router.put("/v1/hold", dependencies=_OPERATE)
async def hold(request: Request) -> Response:
    """Have no service write from now on; it ends by itself after so many seconds, and a halt breaks it."""
    try:
        wanted = Wanted.model_validate_json(await read_body(request, _BODY))
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
        raise Problem(422, "INVALID_PARAMS", "; ".join(said)) from error
    gateway = gateway_of(request)
    gateway.held_since = monotonic()
    refusals = await _each(gateway, "hold", Hold(wanted.id, wanted.seconds))
    await gateway.context.hold(wanted.id, wanted.seconds)
    if refusals:
        await _let_go(gateway, wanted.id)
        raise Problem(503, "NOT_HELD", "; ".join(f"{name}: {why}" for name, why in sorted(refusals.items())))
    return answer({"held": True})


@router.delete("/v1/hold/{hold}", dependencies=_OPERATE)
async def let_go(request: Request, hold: Id) -> Response:
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
    asked = [gateway.peers.try_ask_now(name, method, params, Held, budget=BUDGET) for name in names]
    found = zip(names, await asyncio.gather(*asked), strict=True)
    return {
        name: said.message if isinstance(said, Problem) else "it wrote"
        for name, said in found
        if rows[name].needs_volume and (isinstance(said, Problem) or not said.held)
    }
