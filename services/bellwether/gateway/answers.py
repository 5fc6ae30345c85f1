"""Answers over HTTP: JSON as it goes over the bus, and errors in one shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bellwether.gateway.gateway import Gateway
from bellwether.gateway.problems import Problem
from bellwether.messages.envelope import encode

_log = logging.getLogger(__name__)
_LONGEST_VALUE = 60


def gateway_of(request: Request) -> Gateway:
    """Return the gateway that a request came to."""
    found: Gateway = request.app.state.gateway
    return found


def answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON: money as strings, times as ISO 8601 in UTC."""
    return Response(encode(value), status_code=status, media_type="application/json")


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
    told = isinstance(value, str | int | float) and len(repr(value)) <= _LONGEST_VALUE
    return f"{field}{f' {value!r}' if told else ''}: {fault['msg']}"
