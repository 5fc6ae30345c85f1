"""GET /v1/decisions/ID/capsule: a decision with all that it was made from, gathered from the services that own it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from bellwether.gateway.peers import Peers
from bellwether.gateway.problems import Problem
from bellwether.gateway.routing import READ, gateway_of
from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.capsule import DECLARED, FORMAT, MANIFEST, ONNX, Capsule, CapsuleBars, seal
from bellwether.messages.market_data import Bars, GetBars
from bellwether.messages.parts import FilePart
from bellwether.messages.prediction import DecisionRecord, GetDecision
from bellwether.messages.registry import GetArtifact
from bellwether.runtime.parts import fetch_parts
from bellwether.training.features import WINDOW

router = APIRouter(dependencies=READ)


@router.get("/v1/decisions/{decision_id}/capsule")
async def capsule(request: Request, decision_id: str) -> Response:
    """Return one file that replays a decision on another machine; no secret is in it."""
    gateway = gateway_of(request)
    peers = gateway.peers
    found = await peers.ask("prediction", "get_decision", GetDecision(decision_id), DecisionRecord)
    record = canonical_bytes(found.canonical)
    if hashlib.sha256(record).hexdigest() != found.sha256:
        raise Problem(409, "RECORD_CHANGED", f"the record of {decision_id} is not what its hash says: it was changed")
    inputs = found.canonical["inputs"]
    model = inputs["model"]
    spec = gateway.system.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    made = Capsule(
        format=FORMAT,
        release=gateway.context.config.version,
        decision_id=decision_id,
        record=record.decode(),
        record_sha256=found.sha256,
        declaration={name: spec[name] for name in DECLARED if name in spec},
        bars=await _bars(peers, inputs, found.prediction.timestamp),
        model_version=None if model is None else model["version"],
        model={} if model is None else {name: await _file(peers, model["version"], name) for name in (MANIFEST, ONNX)},
    )
    headers = {"Content-Disposition": f'attachment; filename="{decision_id}.capsule.json"', "Cache-Control": "no-store"}
    return Response(seal(made), media_type="application/json", headers=headers)


async def _bars(peers: Peers, inputs: dict[str, Any], instant: datetime) -> dict[str, CapsuleBars]:
    if inputs["bars_revision"] is None:
        return {}
    found: dict[str, CapsuleBars] = {}
    for symbol, revision in {inputs["symbol"]: inputs["bars_revision"], **(inputs.get("basket") or {})}.items():
        question = GetBars(symbol, count=WINDOW, revision=revision)
        page = await peers.try_ask_then(instant, "market-data", "get_bars", question, Bars)
        if isinstance(page, Problem):
            raise page
        if page.revision != revision:
            words = f"market-data has the bars of {symbol} in the version {revision[:12]} no more"
            raise Problem(409, "BARS_GONE", words)
        found[symbol] = CapsuleBars(revision, page.bars)
    return found


async def _file(peers: Peers, version: str, name: str) -> bytes:
    return await fetch_parts(
        lambda offset: peers.ask("ml-model", "get_artifact", GetArtifact(version, name, offset), FilePart)
    )
