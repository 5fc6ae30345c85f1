"""Who may change something: whoever knows the token."""

from __future__ import annotations

import hmac
from pathlib import Path

from bellwether.gateway.problems import Problem

_SCHEME = "bearer"
_MINIMUM = 16


class TokenError(Exception):
    """The token file cannot be used; the message names the file and what would be right."""


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


def check_token(header: str | None, token: str | None) -> None:
    """Refuse a request whose `Authorization` header does not hold the token; in constant time.

    Raises:
        Problem: 401, saying what is missing.

    """
    if token is None:
        raise Problem(
            401, "UNAUTHORIZED", "this gateway was started without a token: nothing can be changed through it"
        )
    if header is None:
        raise Problem(
            401, "UNAUTHORIZED", "this changes something: send the gateway's token as `Authorization: Bearer <token>`"
        )
    scheme, _, given = header.partition(" ")
    if scheme.lower() != _SCHEME or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Problem(401, "UNAUTHORIZED", "the token in `Authorization: Bearer <token>` is not this gateway's")
