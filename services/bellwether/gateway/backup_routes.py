"""Routes of backups that the service `backup` makes: one made when asked, and which there are."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from bellwether.gateway.access import needs
from bellwether.gateway.answers import answer, gateway_of, read_body
from bellwether.gateway.auth import Scope
from bellwether.gateway.problems import Problem
from bellwether.messages.backup import BackupMade, Backups, CreateBackup, ListBackups
from bellwether.spec.backup import LOCATION_NAME_PATTERN

_BODY = 1024
_LIST_SECONDS = 60.0

router = APIRouter()


class Wanted(BaseModel):
    """A backup to be made."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["full", "incremental", "auto"] = "auto"
    location: Annotated[str | None, Field(max_length=30, pattern=LOCATION_NAME_PATTERN)] = None


Wait = Annotated[float, Query(gt=0, le=600, description="Seconds to wait for its end at most; it goes on without you.")]


@router.post("/v1/backups", dependencies=[Depends(needs(Scope.OPERATE))])
async def create(request: Request, wait: Wait = 300.0) -> Response:
    """Make a backup in every location of kind folder or s3, and answer when it is complete; who asks again joins it."""
    try:
        wanted = Wanted.model_validate_json(await read_body(request, _BODY) or b"{}")
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
        raise Problem(422, "INVALID_PARAMS", "; ".join(said)) from error
    asked = CreateBackup(wanted.type, wanted.location)
    return answer(await gateway_of(request).peers.ask("backup", "create_backup", asked, BackupMade, budget=wait))


@router.get("/v1/backups", dependencies=[Depends(needs(Scope.READ))])
async def backups(request: Request) -> Response:
    """Return the backups that the locations hold, newest first."""
    found = await gateway_of(request).peers.ask("backup", "list_backups", ListBackups(), Backups, budget=_LIST_SECONDS)
    return answer(found)
