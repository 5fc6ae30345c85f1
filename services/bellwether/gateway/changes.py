"""Routes that do something: each says what a token has to open for it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from bellwether.gateway.delivery import WAIT_SECONDS
from bellwether.gateway.problems import Problem
from bellwether.gateway.routing import HALT, OPERATE, READ, answer, gateway_of, read_body, read_model, relay
from bellwether.messages.models import TrainModel
from bellwether.messages.monitoring import PickDeadLetter, SendTestMessage
from bellwether.messages.prediction import GenerateSinglePrediction, ReplayDecision
from bellwether.messages.registry import PromoteModel, RollbackModel, ShadowCandidate
from bellwether.messages.trading import Halt, Resume
from bellwether.spec.wire import known_part

_DECLARATION_BYTES = 1024 * 1024
_PREDICT_BUDGET = 20.0


router = APIRouter()


class Reason(BaseModel):
    """Why something is stopped or allowed again."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1, max_length=60)] = "gateway"


class ResumeReason(Reason):
    """Why orders are allowed again."""

    seen: Annotated[
        int | None,
        Field(ge=0, description="`newest_halt` of the account as you saw it: with a newer halt nothing is resumed."),
    ] = None


# Not a parameter of the routes: the framework would read a body of any size before it asks for the token.
def _shape(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


Wait = Annotated[float, Query(ge=0, le=30, description="Seconds to wait at most.")]


@router.put("/v1/declaration", dependencies=OPERATE)
async def declare(request: Request, wait: Wait = WAIT_SECONDS) -> Response:
    """Deliver a newer spec to all services; wait until each acknowledged it, 5 s unless given."""
    body = _declaration_body(await read_body(request, _DECLARATION_BYTES))
    spec = known_part(body["spec"], body.get("defaults") or ())
    return answer(await gateway_of(request).declare(body["generation"], spec, wait=wait))


def _declaration_body(raw: bytes) -> dict[str, Any]:
    shape = 'send {"generation": <whole number>, "spec": {...}}'
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Problem(422, "INVALID_PARAMS", f"the body is not JSON: {error}; {shape}") from error
    generation = body.get("generation") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(generation, int) or isinstance(generation, bool):
        raise Problem(422, "INVALID_PARAMS", f"generation: {generation!r} is not a whole number; {shape}")
    if not isinstance(body.get("spec"), dict):
        raise Problem(422, "INVALID_PARAMS", f"spec: missing or not an object; {shape}")
    if not isinstance(body.get("defaults") or [], list):
        raise Problem(422, "INVALID_PARAMS", "defaults: not a list of the paths in spec that are at their default")
    return body


@router.post("/v1/halt", dependencies=HALT, openapi_extra=_shape(Reason))
async def halt(request: Request) -> Response:
    """Stop every order until somebody resumes."""
    why = await read_model(request, Reason)
    return await relay(request, "paper-trading", "halt", Halt(reason=why.reason, source=why.source))


@router.post("/v1/resume", dependencies=OPERATE, openapi_extra=_shape(ResumeReason))
async def resume(request: Request) -> Response:
    """Clear every latch; a halt that the declaration states stays.

    `seen` is the number of the newest halt that you know of: with a newer one the answer is 409 NEWER_HALT and nothing
    is resumed. Without it, several halts are not resumed (409 HALT_NOT_STATED).
    """
    why = await read_model(request, ResumeReason)
    return await relay(request, "paper-trading", "resume", Resume(reason=why.reason, source=why.source, seen=why.seen))


@router.post("/v1/training", dependencies=OPERATE)
async def train(request: Request, model_name: str | None = None) -> Response:
    """Begin to make a recipe's models again, the declared one's unless another is named."""
    return await relay(request, "ml-training", "train_model", TrainModel(model_name))


@router.post("/v1/models/{version}/promote", dependencies=OPERATE, openapi_extra=_shape(Reason))
async def promote(request: Request, version: str) -> Response:
    """Let a model serve in place of what serves for its recipe and symbol."""
    why = await read_model(request, Reason)
    return await relay(request, "ml-training", "promote_model", PromoteModel(version, why.reason))


@router.post("/v1/models/{version}/shadow", dependencies=OPERATE, openapi_extra=_shape(Reason))
async def shadow(request: Request, version: str, end: bool = False) -> Response:
    """Ask a candidate beside what serves, without trading by it; with `end` no longer."""
    why = await read_model(request, Reason)
    return await relay(request, "ml-training", "shadow_model", ShadowCandidate(version, why.reason, end))


@router.post("/v1/models/{model_name}/rollback", dependencies=OPERATE, openapi_extra=_shape(Reason))
async def rollback(request: Request, model_name: str, symbol: str | None = None) -> Response:
    """Let the model serve again that served before."""
    why = await read_model(request, Reason)
    return await relay(request, "ml-training", "rollback_model", RollbackModel(model_name, why.reason, symbol))


@router.post("/v1/predict/{symbol}", dependencies=READ)
async def predict(request: Request, symbol: str, force_refresh: bool = False) -> Response:
    """Return a fresh prediction of one symbol, made for looking at: it never leads to an order."""
    question = GenerateSinglePrediction(symbol, force_refresh)
    return await relay(request, "prediction", "generate_single_prediction", question, budget=_PREDICT_BUDGET)


@router.post("/v1/decisions/{decision_id}/replay", dependencies=READ)
async def replay(request: Request, decision_id: str) -> Response:
    """Compute a decision again from its stored inputs and compare the bytes."""
    return await relay(request, "prediction", "replay_decision", ReplayDecision(decision_id), budget=_PREDICT_BUDGET)


@router.post("/v1/notifications/test", dependencies=OPERATE)
async def send_test_messages(request: Request, name: str | None = None) -> Response:
    """Send a test message to one declared notification, or to all, and return what became of each."""
    return await relay(request, "monitoring", "test_notification", SendTestMessage(name), budget=_PREDICT_BUDGET)


@router.post("/v1/dead-letters/{number}/replay", dependencies=OPERATE)
async def replay_dead_letter(request: Request, number: int) -> Response:
    """Publish the event of a dead letter again, and take the letter away."""
    return await relay(request, "monitoring", "replay_dead_letter", PickDeadLetter(number))


@router.delete("/v1/dead-letters/{number}", dependencies=OPERATE)
async def drop_dead_letter(request: Request, number: int) -> Response:
    """Take a dead letter away for good."""
    return await relay(request, "monitoring", "drop_dead_letter", PickDeadLetter(number))
