"""Errors as people get them over HTTP: a status, a code for programs, a sentence for people."""

from __future__ import annotations

from typing import Any

from bellwether.runtime import errors
from bellwether.runtime.errors import RpcError

_STATUS = {
    errors.INVALID_PARAMS: 422,
    errors.UNAVAILABLE: 503,
    errors.OVERLOADED: 503,
    errors.STOPPING: 503,
    errors.DEADLINE_EXCEEDED: 504,
    errors.INTERNAL: 502,
    errors.INVALID_REPLY: 502,
    errors.REPLY_TOO_LARGE: 502,
    errors.UNKNOWN_METHOD: 502,
    "BARS_LOADING": 503,
    "MODEL_NOT_READY": 503,
}
UNREACHABLE = (errors.UNAVAILABLE, errors.DEADLINE_EXCEEDED, errors.STOPPING)


class Problem(Exception):
    """A request that cannot be answered; `code` is UPPER_SNAKE and stable."""

    def __init__(self, status: int, code: str, message: str, **detail: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail

    def body(self) -> dict[str, Any]:
        """Return the JSON form."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail:
            error["detail"] = self.detail
        return {"error": error}


def status_of(code: str) -> int:
    """Return the HTTP status of an error code: what is not there is 404, what is not allowed now is 409."""
    if code in _STATUS:
        return _STATUS[code]
    if code.startswith(("UNKNOWN_", "NO_", "NOT_A_")) or code.endswith("_NOT_FOUND"):
        return 404
    return 409


def problem_from(error: RpcError, peer: str) -> Problem:
    """Return a peer's error as a problem; when the peer is unreachable, the message names it."""
    message = error.message
    if error.code in UNREACHABLE:
        message = f"{peer} does not answer: {message}"
    return Problem(status_of(error.code), error.code, message, **error.detail)
