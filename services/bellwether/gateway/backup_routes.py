"""Routes of backups that the service `backup` makes: one made when asked, and which there are."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from bellwether.gateway.access import needs
from bellwether.gateway.answers import answer, gateway_of, read_body
from bellwether.gateway.auth import Scope
from bellwether.gateway.problems import Problem
from bellwether.messages.backup import BackupMade, BackupProgress, Backups, CreateBackup, KeepBackup, ListBackups
from bellwether.spec.backup import LOCATION_NAME_PATTERN

T = TypeVar("T", bound=BaseModel)
_BODY = 1024
_LIST_SECONDS = 60.0

router = APIRouter()


class Wanted(BaseModel):
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


Id = Annotated[str, PathParameter(max_length=36, pattern="^[-0-9a-f]+$", description="The uid of the TradingBackup.")]
Wait = Annotated[float, Query(gt=0, le=600, description="Seconds to wait for its end at most; it goes on without you.")]


@router.post("/v1/backups", dependencies=[Depends(needs(Scope.OPERATE))])
async def create(request: Request, wait: Wait = 300.0) -> Response:
    """Make a backup in every location of kind folder or s3, and answer when it is complete; who asks again joins it."""
    wanted = await _body(request, Wanted)
    asked = CreateBackup(wanted.type, wanted.location)
    return answer(await gateway_of(request).peers.ask("backup", "create_backup", asked, BackupMade, budget=wait))


@router.put("/v1/backups/{backup}", dependencies=[Depends(needs(Scope.OPERATE))])
async def keep(request: Request, backup: Id) -> Response:
    """Make the backup of a TradingBackup and say how far it is, at once: asked again, it is not made again."""
    wanted = await _body(request, Kept)
    asked = KeepBackup(backup, wanted.location, wanted.attempt, wanted.type, wanted.known)
    return answer(await gateway_of(request).peers.ask("backup", "keep_backup", asked, BackupProgress))


@router.get("/v1/backups", dependencies=[Depends(needs(Scope.READ))])
async def backups(request: Request) -> Response:
    """Return the backups that the locations hold, newest first."""
    found = await gateway_of(request).peers.ask("backup", "list_backups", ListBackups(), Backups, budget=_LIST_SECONDS)
    return answer(found)


async def _body(request: Request, model: type[T]) -> T:
    try:
        return model.model_validate_json(await read_body(request, _BODY) or b"{}")
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
        raise Problem(422, "INVALID_PARAMS", "; ".join(said)) from error
