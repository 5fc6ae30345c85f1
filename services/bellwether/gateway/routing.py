"""What the routes share: who is let in, bodies that are checked, and answers and errors in one shape each."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bellwether.gateway.auth import Scope, check, cookie_name, page_token
from bellwether.gateway.gateway import Gateway
from bellwether.gateway.peers import BUDGET
from bellwether.gateway.problems import Problem
from bellwether.messages.envelope import encode

M = TypeVar("M", bound=BaseModel)

_log = logging.getLogger(__name__)
_LONGEST_VALUE = 60
_BODY_BYTES = 16 * 1024


def gateway_of(request: Request) -> Gateway:
    """Return the gateway that a request came to."""
    found: Gateway = request.app.state.gateway
    return found


def _needs(scope: Scope) -> Any:
    """Return what refuses a request without a token of this scope, before its body is looked at."""

    async def authorized(request: Request) -> None:
        gateway = gateway_of(request)
        if scope is Scope.READ and gateway.open_reads:
            return
        token = gateway.settings.token
        check(scope, method=request.method, headers=request.headers, cookies=request.cookies, token=token)

    return Depends(authorized)


READ, HALT, OPERATE = ([_needs(scope)] for scope in (Scope.READ, Scope.HALT, Scope.OPERATE))
"""What a route depends on: a token that opens this."""


def let_in(request: Request, response: Response, given: str) -> Response:
    """Give a browser the cookie by which the page is let in from now on, until it is closed.

    Raises:
        Problem: 401 if the token is none of this gateway's.
    """
    token = gateway_of(request).settings.token
    value = page_token(given, token)
    secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
    response.set_cookie(cookie_name(token or ""), value, httponly=True, samesite="strict", secure=secure)
    response.headers["Cache-Control"] = "no-store"
    return response


def answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON: money as strings, times as ISO 8601 in UTC."""
    return Response(encode(value), status_code=status, media_type="application/json")


async def relay(request: Request, peer: str, method: str, params: Any = None, *, budget: float = BUDGET) -> Response:
    """Call a method of a service, and answer with its result as it came."""
    return answer(await gateway_of(request).peers.ask(peer, method, params, msgspec.Raw, budget=budget))


async def read_body(request: Request, limit: int) -> bytes:
    """Return a request's body.

    Raises:
        Problem: 413 if it has more than `limit` bytes.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise Problem(413, "TOO_LARGE", f"the body has more than {limit} bytes")
    return bytes(body)


async def read_model(request: Request, model: type[M]) -> M:
    """Return a request's JSON body, at most 16 KiB; an empty one stands for `{}`.

    Raises:
        Problem: 413 if it is larger, 422 naming each field that is wrong.
    """
    try:
        return model.model_validate_json(await read_body(request, _BODY_BYTES) or b"{}")
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
        raise Problem(422, "INVALID_PARAMS", "; ".join(said)) from error


def add_error_answers(app: FastAPI) -> None:
    """Answer every error in the one shape: {"error": {"code", "message"}}."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        found = answer(error.body(), error.status)
        if error.status == 401:
            found.headers["WWW-Authenticate"] = "Bearer"
        return found

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        said = "; ".join(_invalid(one) for one in error.errors())
        return answer(Problem(422, "INVALID_PARAMS", said).body(), 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            message = f"there is no {request.url.path} here; /openapi.json lists what there is"
            return answer(Problem(404, "NOT_FOUND", message).body(), 404)
        return answer(Problem(error.status_code, "HTTP_ERROR", str(error.detail)).body(), error.status_code)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        _log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer(Problem(500, "INTERNAL", f"{type(error).__name__}; the log says more").body(), 500)


def _invalid(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with one field, with its value where that is short."""
    field = ".".join(str(part) for part in fault["loc"][1:]) or fault["loc"][0]
    value = fault.get("input")
    short = isinstance(value, str | int | float) and len(repr(value)) <= _LONGEST_VALUE
    return f"{field}{f' {value!r}' if short else ''}: {fault['msg']}"
