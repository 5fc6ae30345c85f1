"""Routes of the reports of replays that were run beside the system: their pages, their figures, and which are kept."""

from __future__ import annotations

import json
import zlib
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from bellwether.gateway.peers import Peers
from bellwether.gateway.problems import Problem
from bellwether.gateway.routing import OPERATE, READ, gateway_of, read_body, relay
from bellwether.messages.parts import FilePart
from bellwether.messages.scheduling import GetReplayReport, ReportFile, RetainReplayReports
from bellwether.runtime.parts import fetch_parts

router = APIRouter()
_LARGEST = 64 * 1024 * 1024
"""Bytes of one file of a report, unpacked."""
_BODY = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
# The page has its style inside and asks nobody for anything.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
Index = Annotated[int, Path(ge=0, le=99, description="Of the variant; 0 is the declaration as it was.")]


class Kept(BaseModel):
    """Which replays still exist."""

    model_config = ConfigDict(extra="forbid")
    uids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=1000)]


@router.get("/reports/replays/{name}", include_in_schema=False, dependencies=READ)
async def first_page(request: Request, name: str) -> Response:
    """Return the page of a replay of the declaration as it was."""
    return await _page(request, name, 0)


@router.get("/reports/replays/{name}/{index}", include_in_schema=False, dependencies=READ)
async def page(request: Request, name: str, index: Index) -> Response:
    """Return the page of a variant."""
    return await _page(request, name, index)


@router.get("/v1/replays", dependencies=READ)
async def replays(request: Request) -> Response:
    """Return the replays that have a report here, by name, and which variants of each."""
    return await relay(request, "scheduler", "list_replay_reports")


@router.get("/v1/replays/{name}/{index}", dependencies=READ)
async def figures(request: Request, name: str, index: Index) -> Response:
    """Return the whole report of a variant as JSON."""
    body = await _file(gateway_of(request).peers, name, index, "report.json")
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


@router.put("/v1/replays", dependencies=OPERATE)
async def retain(request: Request) -> Response:
    """Forget the reports of all replays but those whose uids are given; the operator says so when one is deleted."""
    try:
        kept = Kept.model_validate(json.loads(await read_body(request, _BODY)))
    except (ValueError, ValidationError) as error:
        words = 'the body is {"uids": [...]}, the uids of the replays that exist'
        raise Problem(422, "INVALID_PARAMS", words) from error
    return await relay(request, "scheduler", "retain_replay_reports", RetainReplayReports(kept.uids))


async def _page(request: Request, name: str, index: int) -> Response:
    body = await _file(gateway_of(request).peers, name, index, "index.html")
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return Response(body, media_type="text/html; charset=utf-8", headers=headers)


async def _file(peers: Peers, name: str, index: int, file: ReportFile) -> bytes:
    """Return a file of a report, unpacked.

    Raises:
        Problem: 404 where there is none, 502 where it cannot be unpacked.
    """
    packed = await fetch_parts(
        lambda offset: peers.ask("scheduler", "get_replay_report", GetReplayReport(name, index, file, offset), FilePart)
    )
    unpacking = zlib.decompressobj(_GZIP)
    try:
        found = unpacking.decompress(packed, _LARGEST)
    except zlib.error as error:
        raise Problem(502, "REPORT_DAMAGED", f"{file} of {name}: {error}") from error
    if not unpacking.eof:
        raise Problem(502, "REPORT_DAMAGED", f"{file} of {name} is not whole, or has more than {_LARGEST} bytes")
    return found
