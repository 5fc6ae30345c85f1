"""Who may do what at a gateway: tokens, what each opens, and the page's cookie. Pure but for the token's file."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from bellwether.gateway.problems import Problem
from bellwether.render.keys import scoped_token

_SCHEME = "bearer"
_MINIMUM = 16
_COOKIE = "bellwether-"
_SEND = "send one as `Authorization: Bearer <token>`"
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class TokenError(Exception):
    """The token file cannot be used; the message names the file and what would be right."""


class Scope(StrEnum):
    """What a token opens."""

    READ = "read"
    """Looking: also a prediction made for looking at, and a decision computed again."""
    HALT = "halt"
    """Stopping every order."""
    OPERATE = "operate"
    """Everything else that changes something: the declaration, resuming, spans of others."""


def read_token(path: Path) -> str:
    """Return the token of a file, without the white space around it.

    Raises:
        TokenError: if there is no such file, or it holds fewer than 16 characters.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise TokenError(f"gateway token {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TokenError(f"gateway token {path}: a token is plain ASCII text") from error
    if len(token) < _MINIMUM:
        raise TokenError(f"gateway token {path}: {len(token)} characters, a token has at least {_MINIMUM}")
    return token


def scopes_of(given: str, token: str) -> frozenset[Scope]:
    """Return what a token opens at the gateway whose own token, which opens everything, is `token`.

    Each comparison takes the same time whatever is given.
    """
    known = {
        token: frozenset(Scope),
        scoped_token(token, Scope.HALT): frozenset({Scope.READ, Scope.HALT}),
        scoped_token(token, Scope.READ): frozenset({Scope.READ}),
    }
    opened = [scopes for each, scopes in known.items() if hmac.compare_digest(given.encode(), each.encode())]
    return opened[0] if opened else frozenset()


def check(
    needed: Scope, *, method: str, headers: Mapping[str, str], cookies: Mapping[str, str], token: str | None
) -> None:
    """Refuse a request that does not carry a token of this scope.

    Raises:
        Problem: 401 without a token of this gateway, 403 for one that does not open this; it says what would be right.
    """
    if token is None:
        raise Problem(401, "UNAUTHORIZED", "this gateway was started without a token: nothing can be asked of it")
    given = _given(method, headers, cookies, token)
    if given is None:
        raise Problem(401, "UNAUTHORIZED", f"this needs a token of the gateway that may {needed}: {_SEND}")
    scopes = scopes_of(given, token)
    if not scopes:
        raise Problem(401, "UNAUTHORIZED", "the token in `Authorization: Bearer <token>` is not this gateway's")
    if needed not in scopes:
        may = " and ".join(sorted(scopes))
        raise Problem(403, "FORBIDDEN", f"this token may {may}; this needs one that may {needed}: {_SEND}")


def _given(method: str, headers: Mapping[str, str], cookies: Mapping[str, str], token: str) -> str | None:
    """Return the token that a request carries: in its header, else in the page's cookie.

    Any page on this host, on whatever port, has its browser send the cookie along. So where something is asked to be
    done, the request has to come from this gateway's own page.
    """
    header = headers.get("authorization")
    if header is not None:
        scheme, _, given = header.partition(" ")
        return given.strip() if scheme.lower() == _SCHEME else ""
    cookie = cookies.get(cookie_name(token))
    if cookie is None or method in _SAFE_METHODS:
        return cookie
    origin = urlsplit(headers.get("origin", "")).netloc
    return cookie if origin and origin == headers.get("host") else None


def cookie_name(token: str) -> str:
    """Return the name of the page's cookie: a browser has one jar for all gateways of a host, whatever their port."""
    return _COOKIE + hashlib.sha256(token.encode()).hexdigest()[:12]


def page_token(given: str, token: str | None) -> str:
    """Return what the page's cookie holds for whoever showed this token: never more than looking and halting.

    Raises:
        Problem: 401 if it is none of this gateway's.
    """
    scopes = frozenset() if token is None else scopes_of(given, token)
    if token is None or not scopes:
        raise Problem(401, "UNAUTHORIZED", f"this is no token of this gateway: {_SEND}, or open the page again")
    return scoped_token(token, Scope.HALT if Scope.HALT in scopes else Scope.READ)
