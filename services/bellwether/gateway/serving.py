"""GET /v1/serving: how the models in service fare, by symbol, and how far their inputs drifted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from bellwether.gateway.access import needs
from bellwether.gateway.answers import answer, gateway_of
from bellwether.gateway.auth import Scope
from bellwether.gateway.problems import Problem
from bellwether.messages.models import Drift, GetDrift, GetServingRecord, ServingRecord
from bellwether.reporting.judging import judge

router = APIRouter(dependencies=[Depends(needs(Scope.READ))])


@router.get("/v1/serving")
async def serving(request: Request) -> Response:
    """Return live hit rate and Brier score beside the base rate by symbol, and the drift of features by model.

    Intervals of a symbol are of its own sessions. Drift compares the newest 500 decisions that may trade, at most, with
    the training rows.
    """
    gateway = gateway_of(request)
    question = GetServingRecord(list(gateway.system.spec.symbols))
    found = await gateway.peers.ask("prediction", "get_serving_record", question, ServingRecord)
    symbols = {symbol: judge(days, [], found.horizon_sessions) for symbol, days in found.outcomes.items()}
    drift: list[dict[str, Any]] = []
    for rows in found.rows:
        asked = GetDrift(rows.version, rows.values)
        told = await gateway.peers.try_ask("ml-model", "get_drift", asked, Drift)
        shown: dict[str, Any] = {"version": rows.version, "rows": max(map(len, rows.values.values()), default=0)}
        if isinstance(told, Problem):
            drift.append({**shown, "index": {}, "problem": told.message})
        else:
            drift.append({**shown, "index": told.index, "problem": told.problem})
    return answer({"symbols": symbols, "drift": drift})
