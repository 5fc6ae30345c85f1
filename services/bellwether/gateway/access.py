"""Letting requests in: what each route asks of a token, and the cookie of the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.responses import Response

from bellwether.gateway.answers import gateway_of
from bellwether.gateway.auth import Scope, check, cookie_name, page_token


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


def needs(scope: Scope) -> Callable[[Request], Awaitable[None]]:
    """Return what refuses a request without a token of this scope, before its body is looked at."""

    async def authorized(request: Request) -> None:
        gateway = gateway_of(request)
        if scope is Scope.READ and gateway.open_reads:
            return
        token = gateway.settings.token
        check(scope, method=request.method, headers=request.headers, cookies=request.cookies, token=token)

    return authorized
