"""Errors that services raise and callers see."""

from __future__ import annotations

from typing import Any


class RpcError(Exception):
    """A call failed on purpose or for a stated reason.

    `code` is UPPER_SNAKE and stable, `message` a sentence for people that holds no secret, `detail` facts by name.
    """

    def __init__(self, code: str, message: str, **detail: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.detail = detail


class StartRefused(Exception):
    """A service differs from its topology row; the message lists every difference."""


UNKNOWN_METHOD = "UNKNOWN_METHOD"
INVALID_PARAMS = "INVALID_PARAMS"
INVALID_REQUEST = "INVALID_REQUEST"
INVALID_REPLY = "INVALID_REPLY"
INTERNAL = "INTERNAL"
DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
REPLY_TOO_LARGE = "REPLY_TOO_LARGE"
REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
OVERLOADED = "OVERLOADED"
UNAVAILABLE = "UNAVAILABLE"
STOPPING = "STOPPING"
NOT_SETTLED = "NOT_SETTLED"
